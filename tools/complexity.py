"""Print parameters, FLOPs and inference time of models, as in the SSR-Net paper's Table 7.

Networks have random weights and run on random images of their configs' sizes, in float32. They take turns, so
that ratios are stable where the milliseconds are not; ratios are relative to the first model::

    python tools/complexity.py                        # SSR-Net over its global branch, beside the paper's
    python tools/complexity.py CONFIG CONFIG ...      # any others
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pgan.cli import ArgumentParser, report_errors
from pgan.errors import ConfigError
from pgan.experiments.papers.ssrnet import TABLE_7
from pgan.tables import markdown_table


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("configs", nargs="*", default=list(TABLE_7), metavar="CONFIG", help="re-identification")
    add("--batch-size", type=int, default=1, help="images per batch (%(default)s)")
    add("--repeats", type=int, default=11, help="timed rounds, of which medians are taken (11)")
    parser.add_cfg_options("override keys of every config")
    add("--json", type=Path, help="also write the numbers to this file")
    args = parser.parse_args()
    if twice := [config for config in args.configs if args.configs.count(config) > 1]:
        parser.error(f"{twice[0]} is named twice")
    return args


def table(rows: dict[str, dict[str, float]]) -> str:
    """Return our numbers as a table, with the paper's in italics beside them."""
    lines = []
    for config, row in rows.items():
        paper = TABLE_7.get(config, {})
        formats = {"parameters": ".2e", "flops": ".2e", "time_ratio": ".2f"}
        numbers = [
            f"{row[key]:{form}}" + (f" *{paper[key]:{form}}*" if key in paper else "")
            for key, form in formats.items()
        ]
        lines.append([Path(config).stem, *numbers, f"{row['ms']:.1f}"])
    return markdown_table(["config", "parameters", "FLOPs", "time, ratio", "ms per image"], lines)


@report_errors
def main() -> int:
    """Count, measure and print."""
    args = parse_args()
    import torch

    from detector.common.files import write_json
    from pgan.apis import load_reid_config
    from pgan.benchmarks.complexity import complexity

    if args.batch_size < 1 or args.repeats < 1:
        raise ConfigError("--batch-size and --repeats are 1 or more")
    device = "cuda" if torch.cuda.is_available() else "cpu"
    configs = {path: load_reid_config(path, args.cfg_options) for path in args.configs}
    found = complexity(configs, args.batch_size, args.repeats, device)
    first = found[args.configs[0]]
    rows = {
        config: {
            "parameters": it.parameters,
            "flops": it.operations,
            "time_ratio": it.seconds / first.seconds,
            "ms": 1000 * it.seconds / args.batch_size,
        }
        for config, it in found.items()
    }
    where = torch.cuda.get_device_name() if device == "cuda" else "CPU"
    print(f"{where}, {torch.get_num_threads()} threads, batches of {args.batch_size}, float32\n")
    print(table(rows))
    print(
        "\nIn italics: the paper's. Parameters without classifiers. FLOPs: multiplications with their "
        "additions,\nof one image, in convolutions and matrix products."
    )
    if args.json:
        write_json(args.json, {"device": where, "batch_size": args.batch_size, "models": rows})
    return 0


if __name__ == "__main__":
    sys.exit(main())
