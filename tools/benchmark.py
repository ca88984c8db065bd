"""Measure how fast the library is, as ratios between two ways of doing one thing in one run.

``python tools/benchmark.py [NAME …] [--json FILE]``; ``search`` also takes ``--images N …``, and with
``--extrapolate`` computes what ten million images to a thousand million would take. Seconds vary
between machines and between runs; ratios are stable. Run it on an idle machine.
"""

from __future__ import annotations

import argparse
import datetime
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import asdict
from importlib import import_module
from pathlib import Path
from typing import Any

from detector.common.files import write_json
from pgan.cli import ArgumentParser, report_errors
from pgan.tables import markdown_table


def _late(module: str, function: str, *arguments: Any) -> Callable[..., dict[str, Any]]:
    """Return a function of `pgan.benchmarks` that is imported when it is called."""

    def call(*more: Any) -> dict[str, Any]:
        return getattr(import_module(f"pgan.benchmarks.{module}"), function)(*arguments, *more)

    return call


# Name -> what is compared, and the function that measures it.
BENCHMARKS: dict[str, tuple[str, Callable[..., dict[str, Any]]]] = {
    "loader": (
        "a training's loader of one process against its model, in images a second, JPEGs whole and reduced",
        _late("loader", "loader_benchmark"),
    ),
    "part_attention": (
        "forward and backward against the literal Eq. 2, float32",
        _late("models", "part_attention"),
    ),
    "pgan_over_baseline": (
        "inference with ResNet-50 at 224 x 224",
        _late("models", "pgan_over_baseline"),
    ),
    "ranking": (
        "VeRi-776's size, 1,678 x 11,579, against the literal loop and against sorting",
        _late("ranking", "ranking_benchmark"),
    ),
    "reading": (
        "417,000 images in VERI-Wild's layout: the lists, and all checks",
        _late("datasets", "reading_benchmark"),
    ),
    "search": (
        "one query among many features of 512: NumPy, exact, and an index",
        _late("search", "search_benchmark"),
    ),
    "scaling": (
        "evaluation of up to 4,000 x 32,000 features of 512",
        _late("ranking", "scaling_benchmark"),
    ),
    "vehicleid_13164": (
        "VehicleID's largest test, 10 draws, with ROC, in a process of its own",
        _late("ranking", "vehicleid_13164_benchmark"),
    ),
    "veriwild_large": (
        "10,000 x 128,517 features of 512, with ROC, in a process of its own",
        _late("ranking", "veriwild_large_benchmark"),
    ),
    "cache": (
        "reading parts against a .npy of masks for each image; a cache of a million images",
        _late("part_cache", "cache_benchmark"),
    ),
    "extraction": (
        "SSDLite, MobileNetV2 at 320 x 320, against mmdet's DetInferencer, and where its time goes",
        _late("extraction", "extraction_benchmark"),
    ),
    "extraction_small": (
        "the same with the small network of the demo at 256 x 256",
        _late("extraction", "extraction_benchmark", "configs/detector/ssdlite_resnet_parts.py"),
    ),
    "top_d": (
        "post-processing of 16 images against mmdet's image-by-image path",
        _late("top_d", "top_d_benchmark"),
    ),
}


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}")
    parser.add_argument(
        "--suite", choices=["gpu"], help="what one GPU does, in under eight minutes"
    )
    parser.add_argument(
        "--toy", action="store_true", help="with --suite: try it on the CPU, at toy size"
    )
    parser.add_argument("--only", nargs="+", metavar="NAME", default=[], help="the same")
    parser.add_argument("--json", type=Path, help="also write the numbers to this file")
    search = parser.add_argument_group("search")
    search.add_argument("--images", nargs="+", type=int, default=[10_000, 100_000], metavar="N")
    search.add_argument(
        "--extrapolate", action="store_true", help="to 10^7 … 10^9, from the greatest N"
    )
    args = parser.parse_args()
    args.names = [*args.names, *args.only] or list(BENCHMARKS)
    if args.toy and not args.suite:
        parser.error("--toy goes with --suite gpu")
    unknown = set(args.names) - set(BENCHMARKS)
    if unknown:
        parser.error(
            f"no benchmark {', '.join(sorted(unknown))}: choose of {', '.join(BENCHMARKS)}"
        )
    if min(args.images) < 1000:
        parser.error(f"--images {min(args.images)}: measure among 1000 or more")
    return args


def machine() -> dict[str, str]:
    """Return where and when the measurement was made."""
    import torch

    return {
        "date": datetime.date.today().isoformat(),
        "cpu": f"{os.cpu_count()} cores, {platform.machine()}, {torch.get_num_threads()} threads",
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        "torch": torch.__version__,
        "python": platform.python_version(),
        "seed": "0, of every random input",
    }


@report_errors
def main() -> int:
    """Run the selected benchmarks and print their results."""
    args = parse_args()
    from mmengine.logging import MMLogger

    if args.suite:
        return run_gpu_suite(args.toy, args.json)
    results: dict[str, dict] = {"machine": machine()}
    print("  ".join(f"{key}: {value}" for key, value in results["machine"].items()))
    # Of the networks' random weights mmengine logs hundreds of lines.
    MMLogger.get_instance("benchmark", log_level="WARNING")
    for name in args.names:
        title, measure = BENCHMARKS[name]
        print(f"\n{name}: {title}\n", flush=True)
        results[name] = measure(args.images) if name == "search" else measure()
        print(_table(name, results[name]), flush=True)
        if name == "search":
            from pgan.benchmarks.search import measure_index_costs, search_table

            print(f"\n{search_table(results[name])}", flush=True)
        if name == "search" and args.extrapolate:
            from pgan.benchmarks.search_extrapolation import extrapolation_table

            parts = measure_index_costs(max(args.images))
            results["search_parts"] = asdict(parts)
            print(f"\n{parts}\n\n{extrapolation_table(parts)}", flush=True)
        if args.json:
            write_json(args.json, results)
    return 0


def run_gpu_suite(toy: bool, json_file: Path | None) -> int:
    """Run the GPU suite and print each item when it is measured; a machine without a GPU is skipped."""
    import torch
    from mmengine.logging import MMLogger

    import pgan.models  # noqa: F401 - registers the models
    from pgan.benchmarks.gpu import TOY, Sizes, run_suite

    if not toy and not torch.cuda.is_available():
        print("skipped: --suite gpu needs a GPU, and torch sees none; --toy tries it on the CPU")
        return 0
    MMLogger.get_current_instance().setLevel("WARNING")

    def report(results: dict[str, Any]) -> None:
        name, figures = list(results["items"].items())[-1]
        print(f"\n{_table(name, figures)}", flush=True)
        if json_file:
            write_json(json_file, results)

    results = run_suite("cpu" if toy else "cuda", TOY if toy else Sizes(), report=report)
    print("\n" + "  ".join(f"{key}: {value}" for key, value in results["machine"].items()))
    return int(any("error" in figures for figures in results["items"].values()))


def _table(name: str, figures: dict[str, float | str]) -> str:
    rows = [
        [key, value if isinstance(value, str) else f"{value:.4g}"] for key, value in figures.items()
    ]
    return markdown_table([f"`{name}`", ""], rows)


if __name__ == "__main__":
    sys.exit(main())
