"""Train a part detector or a re-identification model: ``python tools/train.py CONFIG``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pgan.cli import ArgumentParser, report_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("config", help="config of a detector or a re-identification model")
    parser.add_argument(
        "--work-dir", help="folder of logs and checkpoints (work_dirs/NAME of the config)"
    )
    parser.add_argument(
        "--resume", action="store_true", help="resume from the newest checkpoint in the work dir"
    )
    parser.add_argument("--load-from", help="start from the weights of this checkpoint")
    parser.add_argument("--amp", action="store_true", help="train with automatic mixed precision")
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)
    parser.add_cfg_options("override config keys, e.g. num_parts=4")
    return parser.parse_args()


@report_errors
def main() -> int:
    """Train as the config says."""
    args = parse_args()
    from pgan.apis import build_runner, load_config
    from pgan.engine import training_alone

    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options)
    work_dir = args.work_dir or cfg.get("work_dir") or f"work_dirs/{Path(args.config).stem}"
    with training_alone(work_dir, args.launcher):
        runner = build_runner(cfg, work_dir, args.load_from, args.resume, args.amp, args.launcher)
        runner.train()
    return 0


if __name__ == "__main__":
    sys.exit(main())
