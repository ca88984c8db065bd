"""Show what a trained model does: rankings with parts and heat maps, confident errors, attention.

The test set of a config, as figures to print and one page:

    python tools/visualize.py CONFIG CHECKPOINT --out DIR --pdf

The same from the features of a test, without the model and without heat maps:

    python tools/visualize.py CONFIG --features features.npz --out DIR

Any images below ``data_root`` that are in ``part_cache``:

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
    add("checkpoint", nargs="?", help="weights of the model")
    add("--out", required=True, metavar="DIR", help="folder for figures and index.html")
    add("--features", metavar="FILE", help="features that tools/test.py dumped, not a checkpoint")
    add("--images", nargs="+", metavar="PATH", help="files or folders to show, not the test set")
    add(
        "--queries",
        type=positive_int,
        default=6,
        metavar="N",
        help="queries to show, and as many errors (%(default)s)",
    )
    add("--top", type=positive_int, default=5, metavar="K", help="results per query (%(default)s)")
    add("--pdf", action="store_true", help="also write each figure as PDF, a column or a page wide")
    parser.add_cfg_options("override config keys")
    args = parser.parse_args()
    if (args.checkpoint is None) == (args.features is None):
        parser.error("give either a checkpoint or --features")
    if args.features and args.images:
        parser.error("--images needs a checkpoint: features only cover the test set")
    return args


@report_errors
def main() -> int:
    """Draw the figures, and print where they are."""
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
