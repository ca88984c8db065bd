"""Test any model on any test set and print a train x test matrix.

A model determines the test transforms and the number of parts, a test set the images, the part cache and the
protocol::

    python tools/cross_test.py \\
        --models PGAN_CONFIG:PGAN.pth:PGAN BASELINE_CONFIG:BASELINE.pth:baseline \\
        --tests VERI_CONFIG VEHICLEID_CONFIG:VehicleID-1600:test_size=1600:part_cache=FOLDER
"""

from __future__ import annotations

import argparse
import sys

from pgan.cli import ArgumentParser, report_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("--models", nargs="+", required=True, metavar="CONFIG:CHECKPOINT[:NAME][:KEY=VALUE...]")
    add("--tests", nargs="+", required=True, metavar="CONFIG[:NAME][:KEY=VALUE...]")
    add(
        "--work-dir",
        default="work_dirs/cross_test",
        help="folder of features, scores and the matrix (%(default)s)",
    )
    add("--metrics", nargs="+", default=["mAP", "Rank-1"], help="mAP, mINP, Rank-k (mAP Rank-1)")
    parser.add_cfg_options("override keys of every config")
    return parser.parse_args()


@report_errors
def main() -> int:
    """Test what is not tested yet, print the matrix and say where it is kept."""
    args = parse_args()
    from pgan.experiments.cross_test import Side, cross_test

    models = [Side.parse(text, True, args.cfg_options) for text in args.models]
    tests = [Side.parse(text, False, args.cfg_options) for text in args.tests]
    matrix = cross_test(models, tests, args.work_dir, args.metrics)
    print(f"\n{matrix.markdown()}\nalso in {args.work_dir}: matrix.md, matrix.csv, matrix.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
