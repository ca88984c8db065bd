"""VGG-M against its paper, and as a backbone of PGAN."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pgan.models import VGGM
from pgan.registry import MODELS
from pgan.structures import ReIDSample


def test_vggm_layers_match_paper() -> None:
    model = VGGM()
    described = [
        (c.out_channels, c.kernel_size[0], c.stride[0], c.padding[0])
        for c in model
        if isinstance(c, torch.nn.Conv2d)
    ]
    # Chatfield et al., Table 1, CNN-M: filters, receptive field, stride, padding.
    assert described == [(96, 7, 2, 0), (256, 5, 2, 1), *[(512, 3, 1, 1)] * 3]
    assert model(torch.zeros(1, 3, 224, 224)).shape == (1, model.out_channels, 13, 13)


def test_vggm_norm_equals_krizhevsky_formula() -> None:
    # From the formula: a_i / (2 + 1e-4 * sum of a_j^2 over the 5 channels around i) ^ 0.75.
    x = 100 * torch.randn(2, 9, 3, 3)
    expected = torch.empty_like(x)
    for i in range(9):
        near = x[:, max(0, i - 2) : i + 3]
        expected[:, i] = x[:, i] / (2 + 1e-4 * (near**2).sum(1)) ** 0.75
    torch.testing.assert_close(VGGM().norm1(x), expected)


def test_pgan_trains_vggm_from_weights_file(tmp_path: Path) -> None:
    torch.save(VGGM().state_dict(), tmp_path / "vggm.pth")
    init = {"type": "Pretrained", "checkpoint": str(tmp_path / "vggm.pth")}
    backbone = {"type": "VGGM", "init_cfg": init}
    config = {"type": "PGAN", "backbone": backbone, "feature_dim": 16, "num_vehicles": 2}
    model = MODELS.build({**config, "attention_channels": 8})
    model.init_weights()
    stored = torch.load(tmp_path / "vggm.pth", weights_only=True)
    assert torch.equal(model.backbone.conv3.weight, stored["conv3.weight"])
    boxes = torch.tensor([[0.0, 0, 30, 30], [20, 10, 60, 64]])
    samples = [ReIDSample(part_boxes=boxes, vehicle_label=i % 2) for i in range(4)]
    losses = model(torch.randn(4, 3, 64, 64), samples, mode="loss")
    sum(value for name, value in losses.items() if name != "acc").backward()
    assert model.backbone.conv1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize("size", [(224, 224), (96, 64)])
def test_vggm_map_is_about_a_sixteenth_of_image(size: tuple[int, int]) -> None:
    shape = VGGM()(torch.zeros(1, 3, *size)).shape[2:]
    assert all(length / 16 - 2 <= cells <= length / 16 for cells, length in zip(shape, size))
