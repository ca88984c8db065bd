"""Train and test PGAN with several numbers of parts D from one part cache; print a table and the best D.

D = 0 is PGAN without parts: its part-guided map is the global one. An interrupted command resumes when it is
repeated::

    python tools/ablate_parts.py PGAN_CONFIG --cache CACHE --num-parts 0 4 6 8 10 12 --seeds 0 1 2 \\
        --baseline BASELINE_CONFIG --work-dir work_dirs/parts
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pgan.cli import ArgumentParser, report_errors
from pgan.tools.sweep import add_run_options, print_results

if TYPE_CHECKING:
    from pgan.experiments.sweeps import Sweep


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("config", help="config of PGAN")
    add("--cache", required=True, help="part cache written by tools/extract_parts.py")
    add("--num-parts", type=int, nargs="+", default=[0, 4, 6, 8, 10, 12], metavar="D")
    add("--baseline", metavar="CONFIG", help="a model without parts to compare with")
    add_run_options(parser)
    return parser.parse_args()


def make_sweep(args: argparse.Namespace) -> Sweep:
    """PGAN with each D, and its baseline beside it.

    Raises:
        CacheError: No such cache, or it holds fewer parts than the largest D.
    """
    from detector.cache import PartCache
    from pgan.experiments.sweeps import Point, Sweep

    PartCache.open(args.cache).check([], max(args.num_parts))
    points = [Point({"D": d}, args.config, {"num_parts": d}) for d in args.num_parts]
    if args.baseline:
        points.insert(0, Point({"D": "baseline"}, args.baseline, reference=True))
    options = {**(args.cfg_options or {}), "part_cache": args.cache}
    return Sweep(
        "Number of parts D", points, tuple(args.seeds), options, "parts", args.keep_features
    )


@report_errors
def main() -> int:
    """Run what is not finished, print the table and the best D."""
    args = parse_args()
    from pgan.experiments.sweeps import run_sweep

    results = run_sweep(make_sweep(args), args.work_dir, args.jobs, args.gpus_per_run, args.metric)
    print_results(results, args.work_dir)
    if results.best is not None:
        print(f"Best D: {results.best.point.values['D']}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
