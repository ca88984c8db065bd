"""Test a part detector or a re-identification model: ``python tools/test.py CONFIG CHECKPOINT``."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from pgan.cli import ArgumentParser, report_errors
from pgan.errors import ConfigError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("config", help="config of a detector or a re-identification model")
    parser.add_argument("checkpoint", help="weights to test")
    parser.add_argument(
        "--work-dir", help="folder of the log and results (work_dirs/NAME of the config)"
    )
    parser.add_argument("--launcher", choices=["none", "pytorch", "slurm", "mpi"], default="none")
    parser.add_argument("--local_rank", "--local-rank", type=int, default=0)
    parser.add_argument(
        "--dump", help="write features, ids and cameras to this .npz file (re-identification)"
    )
    parser.add_cfg_options("override config keys, e.g. num_parts=4")
    return parser.parse_args()


@report_errors
def main() -> int:
    """Test as the config says; write the metrics to the log and to results.json in the work dir."""
    args = parse_args()
    from mmengine.dist import is_main_process

    from detector.common.files import write_json
    from pgan.apis import build_runner, load_config, load_weights_for_test
    from pgan.engine import ReIDMetric

    os.environ.setdefault("LOCAL_RANK", str(args.local_rank))
    cfg = load_config(args.config, args.cfg_options)
    if args.dump:
        if cfg.test_evaluator.get("type") != "ReIDMetric":
            raise ConfigError(
                f"{args.config}: --dump writes features, which a detector does not have"
            )
        cfg.test_evaluator["dump"] = args.dump
    work_dir = args.work_dir or cfg.get("work_dir") or f"work_dirs/{Path(args.config).stem}"
    runner = build_runner(cfg, work_dir, launcher=args.launcher)
    load_weights_for_test(runner, args.checkpoint)
    metrics = runner.test()
    if is_main_process():
        results = {"config": args.config, "checkpoint": args.checkpoint, "metrics": metrics}
        for metric in runner.test_evaluator.metrics:
            if isinstance(metric, ReIDMetric) and metric.evaluation:
                results |= metric.evaluation.provenance()
        path = write_json(Path(work_dir) / "results.json", results)
        print(f"results written to {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
