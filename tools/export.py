"""Export a trained re-identification model or part detector as an ONNX file.

Before the file is written, onnxruntime's outputs are compared with PyTorch's on random images and boxes::

    python tools/export.py CONFIG CHECKPOINT --out FILE.onnx

Inputs and outputs of the files: docs/serving.md.
"""

from __future__ import annotations

import argparse
import sys

from pgan.cli import ArgumentParser, report_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("config", help="config of a re-identification model or part detector")
    add("checkpoint", help="weights of the model")
    add("--out", required=True, metavar="FILE", help="the .onnx file to write")
    add(
        "--max-parts",
        type=int,
        default=16,
        help="boxes that a detector returns per image (%(default)s)",
    )
    add(
        "--tolerance",
        type=float,
        default=1e-4,
        help="greatest accepted distance from PyTorch's outputs (%(default)s)",
    )
    add("--seed", type=int, default=0, help="seed of the images that are compared (%(default)s)")
    parser.add_cfg_options("override keys, such as num_parts=8")
    return parser.parse_args()


@report_errors
def main() -> int:
    """Export, compare, and print the metadata of the file."""
    args = parse_args()
    from pgan.inference.export import export  # imports torch and mmengine

    options = (args.cfg_options, args.max_parts, args.tolerance, args.seed)
    done = export(args.config, args.checkpoint, args.out, *options)
    size = done.path.stat().st_size / 1e6
    print(f"{done.path}: {done.metadata['task']}, {done.metadata['model']}, {size:.1f} MB")
    for name, distance in done.distances.items():
        print(f"  {name}: at most {distance:.2g} from PyTorch's")
    for key, value in done.metadata.items():
        print(f"  {key} = {value}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
