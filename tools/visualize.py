"""Look inside a trained model: rankings with parts and heat maps, its surest mistakes, its attention.

Of the config's test set, as figures to print and one page::

    python tools/visualize.py CONFIG CHECKPOINT --out DIR --pdf

The same from a test's features, without a model and without heat maps::

    python tools/visualize.py CONFIG --features features.npz --out DIR

Of any images below ``data_root`` that are in ``part_cache``::

    python tools/visualize.py CONFIG CHECKPOINT --out DIR --images FOLDER \\
        --cfg-options data_root=FOLDER part_cache=CACHE
"""

from __future__ import annotations

import argparse
import shlex
import sys

from pgan.cli import ArgumentParser, positive_int, report_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("config", help="config of a re-identification model")
    add("checkpoint", nargs="?", help="its weights")
    add("--out", required=True, metavar="DIR", help="folder for figures and index.html")
    add("--features", metavar="FILE", help="in place of a checkpoint: what tools/test.py dumped")
    add("--images", nargs="+", metavar="PATH", help="files or folders, in place of the test set")
    add(
        "--queries",
        type=positive_int,
        default=6,
        metavar="N",
        help="and as many mistakes (%(default)s)",
    )
    add("--top", type=positive_int, default=5, metavar="K", help="results of each (%(default)s)")
    add("--pdf", action="store_true", help="each figure as PDF, too, a column or a page wide")
    parser.add_cfg_options("override config keys")
    args = parser.parse_args()
    if (args.checkpoint is None) == (args.features is None):
        parser.error("name a checkpoint or --features, one of them")
    if args.features and args.images:
        parser.error("--images needs a checkpoint: features are of the test set")
    return args


@report_errors
def main() -> int:
    """Draw, and say where."""
    args = parse_args()
    from pgan.visualization.inspection import Inspection

    inspection = Inspection(
        args.config,
        args.cfg_options,
        args.out,
        ("png", "pdf") if args.pdf else ("png",),
        shlex.join(["python", "tools/visualize.py", *sys.argv[1:]]),
    )
    if args.images:
        page = inspection.of_images(args.checkpoint, args.images)
    elif args.checkpoint:
        page = inspection.of_test_set(args.checkpoint, args.queries, args.top)
    else:
        page = inspection.of_features(args.features, args.queries, args.top)
    print(f"written: {page}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
