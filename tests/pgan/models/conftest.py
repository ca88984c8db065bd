"""Small models and random samples, quick on one core."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from pgan.models.reid_model import ReIDModel
from pgan.registry import MODELS
from pgan.structures import ReIDSample

SMALL_BACKBONE = {"type": "TorchvisionBackbone", "name": "resnet18", "out": "layer3"}


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def build() -> Callable[..., ReIDModel]:
    """Builds a small model: ``build('PGAN', **changes)``."""

    def build(name: str, **changes: object) -> ReIDModel:
        config = {
            "type": name,
            "backbone": SMALL_BACKBONE,
            "feature_dim": 32,
            "num_vehicles": 4,
            **({"attention_channels": 16} if name == "PGAN" else {}),
        }
        return MODELS.build({**config, **changes})

    return build


@pytest.fixture
def batch() -> Callable[..., tuple[torch.Tensor, list[ReIDSample]]]:
    """Makes 64 x 64 images and samples of four vehicles; every third part slot is empty."""

    def make(images: int = 8, parts: int = 5) -> tuple[torch.Tensor, list[ReIDSample]]:
        corners = torch.rand(images, parts, 2) * 40
        boxes = torch.cat([corners, corners + 4 + 20 * torch.rand(images, parts, 2)], -1)
        boxes[:, 2::3] = 0
        samples = [ReIDSample(part_boxes=b, vehicle_label=i % 4) for i, b in enumerate(boxes)]
        return torch.randn(images, 3, 64, 64), samples

    return make
