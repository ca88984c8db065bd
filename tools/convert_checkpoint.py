"""Convert a checkpoint of the PGAN authors' release to ours, or ours to theirs.

Test their ``model_best.pth`` here, or train from it::

    python tools/convert_checkpoint.py model_best.pth veri776.pth
    python tools/test.py configs/pgan/pgan_r50_1xb64-130e_veri776-224x224.py veri776.pth

Their program resizes with Pillow. To reproduce its features to 1e-5, resize in the same way:
``--cfg-options test_dataloader.dataset.pipeline.1.type=PillowResize``.

Convert a model of ours for their program::

    python tools/convert_checkpoint.py work_dirs/RUN/epoch_130.pth ours.pth --to authors

Tensors keep their bytes; a missing, surplus or misshaped tensor is refused.
"""

from __future__ import annotations

import argparse
import sys

from pgan.cli import ArgumentParser, report_errors
from pgan.errors import ConfigError


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("source", help="checkpoint to convert")
    parser.add_argument("target", help="file to write; must not exist")
    parser.add_argument(
        "--to", choices=("ours", "authors"), default="ours", help="layout to convert to"
    )
    parser.add_argument(
        "--config", help="config of the PGAN, if it is not the released one on a ResNet-50"
    )
    return parser.parse_args()


@report_errors
def main() -> int:
    """Convert, and say what was written."""
    args = parse_args()
    from mmengine.registry import init_default_scope

    import pgan.models  # noqa: F401  (registers the models)
    from pgan.apis import load_config
    from pgan.models.authors import convert_checkpoint

    model = None
    if args.config:
        model = load_config(args.config).get("model")
        if not model or model.get("type") != "PGAN":
            raise ConfigError(f"{args.config}: its model is no PGAN: see configs/pgan")
    init_default_scope("pgan")
    done = convert_checkpoint(args.source, args.target, args.to, model)
    print(f"{done.path}: {done.tensors} tensors, classifier of {done.num_vehicles} vehicles")
    if done.left_out:
        print(f"  left out of {args.source}: {', '.join(done.left_out)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
