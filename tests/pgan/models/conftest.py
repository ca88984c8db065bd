"""Small models and random samples that are fast on one core."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import nn

from pgan.models.reid_model import ReIDModel
from pgan.registry import MODELS
from pgan.structures import ReIDSample


@MODELS.register_module()
class TinyBackbone(nn.Sequential):
    """A third-party backbone that returns a tuple of maps, the last at 1/8 of the input size."""

    out_channels = 24

    def __init__(self) -> None:
        layers = []
        for inside, out in ((3, 8), (8, 16), (16, 24)):
            conv = nn.Conv2d(inside, out, 3, stride=2, padding=1, bias=False)
            layers += [conv, nn.BatchNorm2d(out), nn.ReLU()]
        super().__init__(*layers)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return x, super().forward(x)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)


@pytest.fixture
def build() -> Callable[..., ReIDModel]:
    """Return a function that builds a small model: ``build('PGAN', **changes)``."""

    def build(name: str, **changes: object) -> ReIDModel:
        config = {
            "type": name,
            "backbone": {"type": "TinyBackbone"},
            "num_vehicles": 4,
            **(
                {"graph": {"out_channels": 12, "hidden_channels": 8}}
                if name == "SSRNet"
                else {"feature_dim": 32}
            ),
            **({"attention_channels": 16} if name == "PGAN" else {}),
        }
        return MODELS.build({**config, **changes})

    return build


@pytest.fixture
def batch() -> Callable[..., tuple[torch.Tensor, list[ReIDSample]]]:
    """Return a function that makes 64 x 64 images of four vehicles; every third part slot is empty."""

    def make(images: int = 8, parts: int = 5) -> tuple[torch.Tensor, list[ReIDSample]]:
        corners = torch.rand(images, parts, 2) * 40
        boxes = torch.cat([corners, corners + 4 + 20 * torch.rand(images, parts, 2)], -1)
        boxes[:, 2::3] = 0
        samples = [ReIDSample(part_boxes=b, vehicle_label=i % 4) for i, b in enumerate(boxes)]
        return torch.randn(images, 3, 64, 64), samples

    return make


@pytest.fixture
def fit() -> Callable[..., tuple[list[float], dict[str, torch.Tensor]]]:
    """Return a function that trains ten steps on one batch and returns all losses and the last output."""

    def fit(
        model: ReIDModel, inputs: torch.Tensor, samples: list[ReIDSample]
    ) -> tuple[list[float], dict[str, torch.Tensor]]:
        optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
        totals = []
        for _ in range(10):
            losses = model(inputs, samples, mode="loss")
            total = sum(value for key, value in losses.items() if key.startswith("loss"))
            optimizer.zero_grad()
            total.backward()
            optimizer.step()
            totals.append(total.item())
        return totals, losses

    return fit
