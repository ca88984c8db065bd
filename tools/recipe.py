"""Train the models of a recipe, test them on all its lists, and print one table.

Missing data sets are skipped with a notice. An interrupted command resumes when it is repeated; the work dir
always holds the table of the finished tests::

    python tools/recipe.py configs/recipes/large_scale.py
    python tools/recipe.py configs/recipes/large_scale.py --models 'bot_r50 VehicleID' --dry-run
"""

from __future__ import annotations

import argparse
import shlex
import sys

from pgan.cli import ArgumentParser, report_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("config", help="a recipe, see configs/recipes")
    add(
        "--work-dir",
        default="work_dirs/recipes",
        help="folder of runs, which recipes share, and tables",
    )
    add("--models", nargs="+", default=[], metavar="NAME", help="train and test only these models")
    add("--no-training", action="store_true", help="only test models that are trained")
    add("--jobs", type=int, help="parallel training runs (one per GPU, or one without a GPU)")
    add(
        "--gpus-per-run",
        type=int,
        default=1,
        help="GPUs per training run, with a batch on each (1)",
    )
    add("--dry-run", action="store_true", help="print what would be trained and tested")
    parser.add_cfg_options("override keys of every model")
    return parser.parse_args()


@report_errors
def main() -> int:
    """Run what is not finished, print the table and say where it is kept."""
    args = parse_args()
    from pgan.experiments.recipes import Recipe

    recipe = Recipe.read(args.config, args.models, args.cfg_options)
    if args.dry_run:
        runs, cells = recipe.ready(args.work_dir, not args.no_training)
        for command in (job.train_command() for job in runs if job.pending()):
            print(f"python {shlex.join(command)}")
        for model, test in cells:
            print(f"test {model.name} on {test.name}")
        return 0
    matrix = recipe.run(args.work_dir, args.jobs, args.gpus_per_run, not args.no_training)
    print(f"\n**{recipe.models.title}**\n\n{matrix.markdown()}")
    print(f"also in {args.work_dir}/{recipe.name}: matrix.md, matrix.csv, matrix.json")
    return 0


if __name__ == "__main__":
    sys.exit(main())
