"""Run the whole pipeline on a synthetic fleet, from images to a ranked gallery and a page of results.

It can be interrupted at any time: the same command resumes from the last finished step or epoch.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pgan.cli import ArgumentParser, report_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("--work-dir", type=Path, default=Path("work_dirs/demo"))
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="train both models once per seed (0)"
    )
    return parser.parse_args()


@report_errors
def main() -> int:
    """Run the demo and say where its page is."""
    args = parse_args()
    from pgan.experiments.demo import Demo

    page = Demo(args.work_dir, args.seeds).run()
    print(f"\nThe page: {page.resolve()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
