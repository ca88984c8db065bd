"""What a model costs: parameters, operations and time, of several models side by side."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from mmengine.config import Config
from torch.utils.flop_counter import FlopCounterMode

from pgan.benchmarks.running_time import extraction, on_random_images
from pgan.benchmarks.timing import paired_medians


@dataclass(frozen=True)
class Complexity:
    """What a model costs when it is tested.

    Attributes:
        parameters: Of the network, its classifiers left out.
        operations: Multiplications with their additions, of one image, in convolutions and matrix products:
            what papers print as FLOPs.
        seconds: Median wall-clock time of a batch, from normalised images to features.
    """

    parameters: int
    operations: int
    seconds: float


def complexity(
    configs: Mapping[str, Config], batch_size: int, repeats: int, device: str
) -> dict[str, Complexity]:
    """Count and time models of random weights, the models taking turns.

    Args:
        configs: Name -> re-identification config.
        batch_size: Images at once, for the time.
        repeats: Timed rounds.
        device: 'cpu' or 'cuda'.
    """
    counts = {name: count_costs(config) for name, config in configs.items()}
    calls = {name: extraction(config, batch_size, device) for name, config in configs.items()}
    seconds = paired_medians(calls, repeats)
    return {name: Complexity(*counts[name], seconds[name]) for name in configs}


def count_costs(config: Config) -> tuple[int, int]:
    """Parameters and operations of a model; see `Complexity`."""
    model, inputs, samples = on_random_images(config, 1, "cpu")
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        model(inputs, samples, mode="predict")
    # torch counts a multiplication and its addition as two.
    parameters = [p for name, p in model.named_parameters() if not name.startswith("classifier.")]
    return sum(p.numel() for p in parameters), counter.get_total_flops() // 2
