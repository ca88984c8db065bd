"""Fit PCA, with or without whitening, on training features, to reduce their dimensions.

From a model, whose training images are processed as in a test; or from features that were dumped:

    python tools/fit_projection.py CONFIG CHECKPOINT --dims 128 --whiten --out pca128.npz
    python tools/fit_projection.py work_dirs/projection/features.npz --dims 64 --out pca64.npz

``tools/test.py ... --cfg-options test_evaluator.projection=pca128.npz`` and ``tools/evaluate.py
features.npz --projection pca128.npz`` apply the file to features of the same model.
"""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from pgan.cli import ArgumentParser, report_errors

if TYPE_CHECKING:
    from pgan.evaluation import FeatureSet


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add(
        "source",
        nargs="+",
        metavar="CONFIG CHECKPOINT | FEATURES",
        help="a model, or features to fit on",
    )
    add("--out", required=True, help=".npz file to write")
    add("--dims", type=_dims, help="dimensions, or the fraction of variance to keep, as 0.9 (all)")
    add("--whiten", action="store_true", help="divide each dimension by its standard deviation")
    add("--images", type=int, default=100_000, help="most training images to use (%(default)s)")
    add("--seed", type=int, default=0, help="seed of their draw (%(default)s)")
    add(
        "--work-dir",
        default="work_dirs/projection",
        help="folder for log and features (%(default)s)",
    )
    parser.add_cfg_options("override config keys")
    args = parser.parse_args()
    if len(args.source) > 2 or (len(args.source) == 1) != args.source[0].endswith(".npz"):
        parser.error("give a config and a checkpoint, or one .npz file of features")
    if args.images < 2:
        parser.error(f"--images {args.images}: at least 2 are needed")
    return args


def _dims(text: str) -> int | float:
    return float(text) if "." in text else int(text)


def _features(args: argparse.Namespace) -> FeatureSet:
    if len(args.source) == 1:
        from pgan.evaluation import load_features

        return load_features(args.source[0])
    from pgan.apis import load_reid_config
    from pgan.inference.training_features import training_features

    config, checkpoint = args.source
    cfg = load_reid_config(config, args.cfg_options)
    return training_features(cfg, checkpoint, args.work_dir, args.images, args.seed)


@report_errors
def main() -> int:
    """Fit and write the projection, and print how much variance it keeps."""
    args = parse_args()
    from pgan.evaluation import fit_projection, save_projection

    features = _features(args)
    projection = fit_projection(features, args.dims, args.whiten)
    path = save_projection(args.out, projection)
    print(
        f"{projection}, fitted on {projection.num_features} features of "
        f"{projection.dataset or 'an unknown data set'}: {projection.variance_kept:.1%} of their variance is "
        f"kept; model {projection.model[:12]}"
    )
    if set(features.roles) != {"train"}:
        print("note: these are test features: scores on that test set would be biased")
    print(f"written: {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
