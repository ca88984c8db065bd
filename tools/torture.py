"""Crash-test training and extraction: kill them at random moments and compare with an uninterrupted run.

A job is killed with SIGKILL, resumed and killed again until it finishes::

    python tools/torture.py training --kills 20 --seed 0

Other jobs are ``extraction``, ``shared_extraction`` (by two ranks) and ``finalisation`` (the assembly of a
part cache). The tool prints a table, and returns 1 if anything was lost.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from pgan.cli import ArgumentParser, report_errors

if TYPE_CHECKING:
    from pgan.benchmarks.crash_test import Job


def _late(module: str, function: str) -> Callable[[Path], Job]:
    """Return a function of `pgan.benchmarks.crash_test` that is imported when it is called."""
    return lambda folder: getattr(import_module(f"pgan.benchmarks.crash_test.{module}"), function)(
        folder
    )


# Name -> function that returns the job, given a folder for its data.
JOBS: dict[str, Callable[[Path], Job]] = {
    "training": _late("training", "training"),
    "extraction": _late("extraction", "extraction"),
    "shared_extraction": _late("extraction", "shared_extraction"),
    "finalisation": _late("extraction", "finalisation"),
}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("job", choices=JOBS, help="what is killed")
    parser.add_argument("--kills", type=int, default=20, help="number of kills (%(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the moments (%(default)s)")
    parser.add_argument("--work-dir", type=Path, help="folder to keep (a temporary one)")
    return parser.parse_args()


@report_errors
def main() -> int:
    """Run the crash test and print its table."""
    args = parse_args()
    from pgan.benchmarks.crash_test import crash_test

    with tempfile.TemporaryDirectory(prefix="crash_test_") as temporary:
        folder = args.work_dir or Path(temporary)
        job = JOBS[args.job](folder / "data")
        report = crash_test(
            job, folder, args.kills, args.seed, lambda line: print(line, flush=True)
        )
    print(
        f"\n{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, seed {args.seed}; "
        f"uninterrupted, {args.job} took {report.seconds:.1f} s; {len(report.compared)} contents compared\n"
    )
    print(report.table())
    for fault in (*report.differing, *report.leftovers):
        print(f"error: {fault}", file=sys.stderr)
    return 0 if report.survived else 1


if __name__ == "__main__":
    sys.exit(main())
