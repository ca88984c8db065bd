"""Kill a work with SIGKILL at random moments, let it go on, and compare the end with an undisturbed one.

``python tools/torture.py training --kills 20 --seed 0``, or of ``extraction``, ``shared_extraction`` (by two
ranks), ``finalisation`` (of a part cache). It ends with a table, and with status 1 if
anything was lost.
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
    from pgan.benchmarks.crash_test import Work


def _late(module: str, function: str) -> Callable[[Path], Work]:
    """Return a function of `pgan.benchmarks.crash_test` that is imported when it is called."""
    return lambda folder: getattr(import_module(f"pgan.benchmarks.crash_test.{module}"), function)(
        folder
    )


# Name -> function that makes the work to be killed, given a folder for its data.
WORKS: dict[str, Callable[[Path], Work]] = {
    "training": _late("training", "training"),
    "extraction": _late("extraction", "extraction"),
    "shared_extraction": _late("extraction", "shared_extraction"),
    "finalisation": _late("extraction", "finalisation"),
}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("work", choices=WORKS)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    parser.add_argument("--work-dir", type=Path, help="kept; by default a folder that is removed")
    return parser.parse_args()


@report_errors
def main() -> int:
    """Torture, and print what came of it."""
    args = parse_args()
    from pgan.benchmarks.crash_test import torture

    with tempfile.TemporaryDirectory(prefix="torture_") as temporary:
        folder = args.work_dir or Path(temporary)
        work = WORKS[args.work](folder / "data")
        report = torture(work, folder, args.kills, args.seed, lambda line: print(line, flush=True))
    print(
        f"\n{datetime.date.today()}, {os.cpu_count()} cores, {platform.machine()}, seed {args.seed}; "
        f"undisturbed, {args.work} took {report.seconds:.1f} s; {len(report.compared)} contents compared\n"
    )
    print(report.table())
    for fault in (*report.differing, *report.leftovers):
        print(f"error: {fault}", file=sys.stderr)
    return 0 if report.survived else 1


if __name__ == "__main__":
    sys.exit(main())
