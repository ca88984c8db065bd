"""What the models cost, as ratios measured in one run. `tools/benchmark.py` prints them."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from pgan.benchmarks.attention_reference import literal_part_guidance
from pgan.benchmarks.timing import paired_medians
from pgan.models.part_attention import PartAttention, guide_features
from pgan.models.part_masks import part_masks
from pgan.registry import MODELS
from pgan.structures import ReIDSample


def part_attention(
    batch: int = 16, parts: int = 8, channels: int = 2048, size: int = 14, repeats: int = 9
) -> dict[str, float]:
    """Part attention against the literal equations: forward and backward, float32.

    Args:
        batch: B.
        parts: D.
        channels: C.
        size: Height and width of the feature map.
        repeats: Timed rounds; medians are taken.

    Returns:
        ``speedup`` (literal time / ours); ``memory_ratio`` (our extra memory / literal's, extra being the
        peak less what is left at the end: F_p and the gradients, equal for both); ``peak_ratio`` (the
        same with those results counted); ``max_error`` (largest difference of F_p); and the seconds and
        bytes they come from.
    """
    torch.manual_seed(0)
    features = torch.randn(batch, channels, size, size).relu_().requires_grad_()
    boxes = random_part_boxes(batch, parts, size * 16)
    masks = part_masks(boxes, (size * 16, size * 16), (size, size))
    attention = PartAttention(channels)
    upstream = torch.randn(batch, channels, size, size)

    def ours() -> Tensor:
        return guide_features(features, masks, attention(features, masks))

    def literal() -> Tensor:
        return literal_part_guidance(features, masks, attention)[1]

    def forget() -> None:
        features.grad = None
        attention.zero_grad()

    def step(forward: Callable[[], Tensor]) -> Callable[[], Tensor]:
        def run() -> Tensor:
            forget()
            guided = forward()
            guided.backward(upstream)
            return guided.detach()

        return run

    with torch.no_grad():
        error = (ours() - literal()).abs().max().item()
    steps = {"ours": step(ours), "literal": step(literal)}
    seconds = paired_medians(steps, repeats)
    peaks, kept = {}, 0
    for name, run in steps.items():
        forget()
        peaks[name], kept = allocated_bytes(run)  # what is kept is equal for both
    return {
        "speedup": seconds["literal"] / seconds["ours"],
        "memory_ratio": (peaks["ours"] - kept) / (peaks["literal"] - kept),
        "peak_ratio": peaks["ours"] / peaks["literal"],
        "max_error": error,
        "ours_s": seconds["ours"],
        "literal_s": seconds["literal"],
        "ours_extra_bytes": peaks["ours"] - kept,
        "literal_extra_bytes": peaks["literal"] - kept,
        "result_bytes": kept,
    }


def pgan_over_baseline(
    batch: int = 8,
    size: int = 224,
    parts: int = 8,
    repeats: int = 15,
    channels_last: bool = True,
    backbone: str = "resnet50",
) -> dict[str, float]:
    """Inference of PGAN against its baseline, on one ResNet with last stride 1.

    Args:
        batch: Images in a batch.
        size: Height and width of the input in pixels.
        parts: D.
        repeats: Timed rounds; medians are taken.
        channels_last: Memory format of both.
        backbone: torchvision's name of the ResNet.

    Returns:
        ``ratio`` (PGAN time / baseline time), and the seconds of a batch each.
    """
    torch.manual_seed(0)
    inputs = torch.randn(batch, 3, size, size)
    boxes = random_part_boxes(batch, parts, size)
    samples = [ReIDSample(part_boxes=b) for b in boxes]
    runs = {}
    for name in ("Baseline", "PGAN"):
        config = {"type": name, "backbone": {"type": "TorchvisionBackbone", "name": backbone}}
        model = MODELS.build({**config, "channels_last": channels_last}).eval()
        runs[name] = _inference(model, inputs, samples)
    seconds = paired_medians(runs, repeats)
    return {
        "ratio": seconds["PGAN"] / seconds["Baseline"],
        "pgan_s": seconds["PGAN"],
        "baseline_s": seconds["Baseline"],
    }


def random_part_boxes(batch: int, parts: int, size: int) -> Tensor:
    """(B, D, 4) boxes inside a square image of ``size`` pixels, sides of a tenth to a half of it."""
    sides = size * (0.1 + 0.4 * torch.rand(batch, parts, 2))
    corners = torch.rand(batch, parts, 2) * (size - sides)
    return torch.cat([corners, corners + sides], -1)


def allocated_bytes(run: Callable[[], object]) -> tuple[int, int]:
    """Bytes that a call allocates on the CPU: at its peak, and still held when it has returned.

    Read off torch's allocator, which the profiler records call by call: operators' own scratch tensors
    and what autograd saves are in it.
    """
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as profiler:
        result = run()
    held = peak = 0
    for event in profiler.profiler.kineto_results.events():
        if event.name() == "[memory]":
            held += event.nbytes()
            peak = max(peak, held)
    del result  # Kept up to here, so that it counts as held.
    return peak, held


def _inference(
    model: torch.nn.Module, inputs: Tensor, samples: list[ReIDSample]
) -> Callable[[], object]:
    @torch.inference_mode()
    def run() -> object:
        return model(inputs, samples, mode="tensor")

    return run
