"""Write a trained model as an ONNX file: re-identification or the part detector, as the config says.

The file is compared with PyTorch before it is written, on random images and boxes, by onnxruntime::

    python tools/export.py CONFIG CHECKPOINT --out FILE.onnx

What the files take and give: docs/serving.md.
"""

from __future__ import annotations

import argparse
import sys

from pgan.cli import ArgumentParser, report_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("config", help="of re-identification, or of a part detector")
    add("checkpoint", help="its weights")
    add("--out", required=True, metavar="FILE", help="the .onnx file")
    add("--max-parts", type=int, default=16, help="boxes that a detector gives (%(default)s)")
    add("--tolerance", type=float, default=1e-4, help="distance from PyTorch's (%(default)s)")
    add("--seed", type=int, default=0, help="of the images that are compared (%(default)s)")
    parser.add_cfg_options("override keys, such as num_parts=8")
    return parser.parse_args()


@report_errors
def main() -> int:
    """Export, compare, and say what is in the file."""
    args = parse_args()
    from pgan.inference.export import export

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
