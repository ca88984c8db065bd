"""Timing two ways of doing one thing so that the ratio can be believed on a noisy machine."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def paired_medians(
    functions: Mapping[str, Callable[[], object]], repeats: int, warmup: int = 1
) -> dict[str, float]:
    """Median wall-clock seconds of each function, the functions taking turns.

    Taking turns lets a slow spell of the machine hit all of them alike, so ratios of the medians
    last where the seconds do not. A GPU is waited for before and after each call.

    Args:
        functions: Name -> function without arguments.
        repeats: Timed rounds, at least 1; each round calls every function once.
        warmup: Rounds before those, not timed.

    Returns:
        Name -> median seconds, in the order given.

    Raises:
        ValueError: ``repeats`` below 1 or ``warmup`` below 0.
    """
    if repeats < 1 or warmup < 0:
        raise ValueError(f"repeats must be >= 1 and warmup >= 0, got {repeats} and {warmup}.")
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    for turn in range(warmup + repeats):
        for name, function in functions.items():
            elapsed = _seconds(function)
            if turn >= warmup:
                seconds[name].append(elapsed)
    return {name: statistics.median(values) for name, values in seconds.items()}


def _seconds(function: Callable[[], object]) -> float:
    _wait_for_gpu()
    start = time.perf_counter()
    function()
    _wait_for_gpu()
    return time.perf_counter() - start


def _wait_for_gpu() -> None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        torch.cuda.synchronize()
