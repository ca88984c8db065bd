"""Test the paper's claims on the synthetic fleet: do parts help, how many, weighted and found how?

All models are trained from random weights by a config of configs/study. An interrupted command resumes when
it is repeated; the work dir always holds the tables and plots of the finished runs::

    python tools/fleet_study.py configs/study/fleet_cpu.py
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pgan.cli import ArgumentParser, report_errors
from pgan.tools.sweep import print_results


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("config", help="config of a study")
    parser.add_argument(
        "--work-dir", help="folder of fleet, caches, runs and tables (work_dirs/NAME of the config)"
    )
    return parser.parse_args()


@report_errors
def main() -> int:
    """Run what is not finished, and print the tables."""
    args = parse_args()
    from pgan.experiments.fleet_study import FleetStudy

    work_dir = args.work_dir or f"work_dirs/{Path(args.config).stem}"
    for results in FleetStudy.read(args.config, work_dir).run():
        print_results(results, work_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
