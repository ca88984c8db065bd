"""Check the data sets of a config before you train: ``python tools/check_dataset.py CONFIG``.

It reads all lists, compares their counts with the published ones and checks that every image exists. It
prints the first fault of each kind, and returns 1 if there is any.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

from pgan.cli import ArgumentParser, report_errors
from pgan.errors import ConfigError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("config", help="config of a re-identification model")
    parser.add_argument(
        "--decode", action="store_true", help="also decode every image: minutes, for a large set"
    )
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="threads to decode with"
    )
    parser.add_cfg_options("override config keys, e.g. data_root=…")
    return parser.parse_args()


@report_errors
def main() -> int:
    """Print what was found, and the faults."""
    args = parse_args()
    from pgan.apis import load_config
    from pgan.datasets.check import check_config

    cfg = load_config(args.config, args.cfg_options)
    if cfg.get("default_scope") != "pgan":
        raise ConfigError(f"{args.config} is not a re-identification config: see configs/pgan")
    start = time.perf_counter()
    report = check_config(cfg, args.decode, args.workers, progress=True)
    print(*report.found, sep="\n")
    how = "decoded" if args.decode else "looked for, not decoded"
    print(f"{report.images} images {how}, in {time.perf_counter() - start:.1f} s")
    for kind, messages in report.faults.items():
        print(f"FAULT  {kind}: {len(messages)}, the first is\n       {next(iter(messages))}")
    print("faults were found" if report.faults else "no faults found")
    return 1 if report.faults else 0


if __name__ == "__main__":
    sys.exit(main())
