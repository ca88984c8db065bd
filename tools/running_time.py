"""Measure the time per frame of the detector, the baseline and PGAN, as in the paper's Table VII.

Networks have random weights and run on random images of their configs' sizes, in float32, without reading
files. The three take turns, so that their ratios are stable where the milliseconds are not::

    python tools/running_time.py                      # the paper's sizes
    python tools/running_time.py --detector DETECTOR_CONFIG --pgan PGAN_CONFIG --baseline BASELINE_CONFIG
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from pgan.cli import ArgumentParser, report_errors
from pgan.errors import ConfigError

DETECTOR = "configs/detector/ssd300_vgg16_parts.py"
PGAN = "configs/pgan/pgan_r50_1xb64-130e_veri776-224x224.py"
BASELINE = "configs/pgan/baseline_r50_1xb64-130e_veri776-224x224.py"


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("--detector", default=DETECTOR, metavar="CONFIG", help="%(default)s")
    add("--pgan", default=PGAN, metavar="CONFIG", help="%(default)s")
    add("--baseline", default=BASELINE, metavar="CONFIG", help="%(default)s")
    add("--batch-size", type=int, default=1, help="frames per batch (1)")
    add("--repeats", type=int, default=11, help="timed rounds, of which medians are taken (11)")
    add("--json", type=Path, help="also write the numbers to this file")
    return parser.parse_args()


def running_time(
    detector: str = DETECTOR,
    pgan: str = PGAN,
    baseline: str = BASELINE,
    batch_size: int = 1,
    repeats: int = 11,
) -> dict[str, float]:
    """Milliseconds per frame of each stage, and PGAN's time over its baseline's; on a GPU where there is one.

    Args:
        detector: Config of the detector.
        pgan: Config of PGAN.
        baseline: Config of its baseline.
        batch_size: Frames at once.
        repeats: Timed rounds; medians are taken.

    Raises:
        ConfigError: A config is missing, or a number is below 1.
    """
    if batch_size < 1 or repeats < 1:
        raise ConfigError("--batch-size and --repeats are 1 or more")
    import torch

    from pgan.apis import load_config
    from pgan.benchmarks.detector_running_time import detection
    from pgan.benchmarks.running_time import extraction
    from pgan.benchmarks.timing import paired_medians

    device = "cuda" if torch.cuda.is_available() else "cpu"
    calls = {
        "baseline": extraction(load_config(baseline), batch_size, device),
        "pgan": extraction(load_config(pgan), batch_size, device),
        "detector": detection(load_config(detector), batch_size, device),
    }
    seconds = paired_medians(calls, repeats)
    milliseconds = {f"{name}_ms": 1000 * seconds[name] / batch_size for name in sorted(seconds)}
    return milliseconds | {
        "detector_and_pgan_ms": milliseconds["detector_ms"] + milliseconds["pgan_ms"],
        "pgan_over_baseline": seconds["pgan"] / seconds["baseline"],
    }


@report_errors
def main() -> int:
    """Measure, and print it."""
    args = parse_args()
    import torch

    from detector.common.files import write_json

    numbers = running_time(args.detector, args.pgan, args.baseline, args.batch_size, args.repeats)
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"{where}, {torch.get_num_threads()} threads, batches of {args.batch_size}, float32")
    for name, value in numbers.items():
        print(f"  {name}: {value:.4g}")
    if args.json:
        write_json(args.json, {"device": where, "batch_size": args.batch_size, **numbers})
    return 0


if __name__ == "__main__":
    sys.exit(main())
