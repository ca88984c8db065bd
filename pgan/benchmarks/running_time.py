"""The re-identification's share of a running time: from normalised images to features."""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn

from pgan.benchmarks.models import random_part_boxes
from pgan.registry import MODELS
from pgan.structures import ReIDSample


def on_random_images(
    config: Config, batch_size: int, device: str
) -> tuple[nn.Module, Tensor, list[ReIDSample]]:
    """A model of random weights, for testing, and a batch for it of random images of its config's size.

    Args:
        config: Of a re-identification model; its number of parts are drawn at random.
        batch_size: B, images.
        device: 'cpu' or 'cuda'.

    Returns:
        The model, (B, 3, H, W) float32 images, and their samples.
    """
    init_default_scope(config.get("default_scope", "pgan"))
    torch.manual_seed(0)
    model = MODELS.build(config.model).to(device).eval()
    pipeline = config.test_dataloader.dataset.pipeline
    height, width = next(step.size for step in pipeline if step.type == "torchvision/Resize")
    inputs = torch.randn(batch_size, 3, height, width, device=device)
    boxes = random_part_boxes(batch_size, config.get("num_parts", 0), height)
    return model, inputs, [ReIDSample(part_boxes=box) for box in boxes]


def extraction(config: Config, batch_size: int, device: str) -> Callable[[], object]:
    """A call that gives the features of a batch of random images of the config's size, in float32.

    Args:
        config: See `on_random_images`, as all arguments.
        batch_size: Images at once.
        device: 'cpu' or 'cuda'.
    """
    model, inputs, samples = on_random_images(config, batch_size, device)

    @torch.inference_mode()
    def run() -> object:
        # Features come to the CPU, as those of a search do.
        return model(inputs, samples, mode="predict")

    return run
