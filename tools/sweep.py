"""Train and test a config with every combination of values of some keys; print a table.

Each run is a training run and a test, by tools/train.py and tools/test.py, in its own folder. An interrupted
command resumes when it is repeated. Each GPU has one run at a time::

    python tools/sweep.py CONFIG --set num_parts=4,8 --set model.feature_dim=256,512 --seeds 0 1 2 \\
        --work-dir work_dirs/parts_and_dims

Run experiments of the PGAN and SSR-Net papers, on VeRi-776 or with your own configs. Experiments in one work
dir share their common runs::

    python tools/sweep.py --paper table3 --work-dir work_dirs/paper
    python tools/sweep.py --paper table3 --model PGAN_CONFIG --baseline BASELINE_CONFIG --work-dir DIR
"""

from __future__ import annotations

import argparse
import shlex
import sys
from dataclasses import replace

from pgan.cli import ArgumentParser, report_errors
from pgan.errors import ConfigError
from pgan.experiments.papers import EXPERIMENTS, paper_sweep
from pgan.experiments.sweeps import Sweep, SweepResults, grid, parse_settings, plan, run_sweep


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    epilog = "\n".join(f"  {name:16} {item.title}" for name, item in EXPERIMENTS.items())
    parser = ArgumentParser(__doc__, epilog=f"experiments of --paper:\n{epilog}")
    add = parser.add_argument
    add(
        "configs", nargs="*", metavar="CONFIG", help="config files, each run with every combination"
    )
    add(
        "--set",
        action="append",
        default=[],
        metavar="KEY=V1,V2,...",
        help="a key and the values to try",
    )
    add(
        "--set-test",
        action="append",
        default=[],
        metavar="KEY=V1,V2,...",
        help="a key that only affects the test: one training run serves all",
    )
    add("--paper", metavar="NAME", help="experiment of a paper, see below")
    add("--model", "--pgan", metavar="CONFIG", help="with --paper: replaces the model's config")
    add(
        "--baseline",
        metavar="CONFIG",
        help="a model to compare with; with --paper: replaces its baseline",
    )
    add_run_options(parser)
    add("--dry-run", action="store_true", help="only print the commands")
    return parser.parse_args()


def add_run_options(parser: ArgumentParser) -> None:
    """Add the options that all sweeps share."""
    add = parser.add_argument
    add("--seeds", type=int, nargs="+", default=[0], help="each point is trained once per seed (0)")
    add("--work-dir", required=True, help="folder of runs, tables and plots")
    add("--jobs", type=int, help="parallel runs (one per GPU, or one without a GPU)")
    add(
        "--gpus-per-run",
        type=int,
        default=1,
        help="GPUs per training run, with a batch on each (1)",
    )
    add(
        "--keep-features",
        action="store_true",
        help="keep the features of each test, for tools/evaluate.py",
    )
    add("--metric", default="mAP", help="metric to plot and to select the best point by (mAP)")
    parser.add_cfg_options("override keys of every run")


def make_sweep(args: argparse.Namespace) -> Sweep:
    """The sweep that the command line names.

    Raises:
        ConfigError: It names none, or two.
    """
    if args.paper:
        if args.configs or args.set or args.set_test:
            raise ConfigError("--paper names its own configs and keys: leave CONFIG and --set out")
        sweep = paper_sweep(args.paper, args.model, args.baseline, args.seeds, args.cfg_options)
        return replace(sweep, keep_features=args.keep_features)
    if args.model:
        raise ConfigError("--model goes with --paper")
    settings, tested = parse_settings(args.set), parse_settings(args.set_test)
    points = grid(args.configs, settings, tested, args.baseline)
    title = f"Sweep over {', '.join([*settings, *tested]) or 'configs'}"
    return Sweep(
        title, points, tuple(args.seeds), args.cfg_options or {}, keep_features=args.keep_features
    )


def print_commands(sweep: Sweep, work_dir: str) -> None:
    """Print what a sweep would run."""
    for job in plan(sweep, work_dir):
        for command in job.commands():
            print(f"python {shlex.join(command)}")


def print_results(results: SweepResults, work_dir: str) -> None:
    """Print the table, and where it and the plot are kept."""
    name = f"{work_dir}/{results.sweep.name}"
    print(f"\n{results.markdown()}\nKept as {name}.md, .csv, .json, .png and .svg")


@report_errors
def main() -> int:
    """Run what is not finished, print the table and say where it is kept."""
    args = parse_args()
    sweep = make_sweep(args)
    if args.dry_run:
        print_commands(sweep, args.work_dir)
        return 0
    results = run_sweep(sweep, args.work_dir, args.jobs, args.gpus_per_run, args.metric)
    print_results(results, args.work_dir)
    return 0


if __name__ == "__main__":
    sys.exit(main())
