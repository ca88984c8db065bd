"""Study on the synthetic fleet what the paper claims: do parts help, how weighted, how many, how well found?

Everything is trained from random weights, by a config of configs/study. The same command goes on from where
it was stopped; tables and plots of what there is are in the work dir all the time::

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
    parser.add_argument("--work-dir", help="fleet, caches, runs, tables (work_dirs/CONFIG's name)")
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
