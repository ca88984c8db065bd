"""Folding batch norms keeps the outputs of a detector, or leaves the detector unchanged."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from detector.extraction.loading import load_detector
from detector.model.batch_norm_folding import fold_norms

PIPELINE = [
    {"type": "LoadVehicleImage"},
    {"type": "Resize", "scale": (64, 64), "keep_ratio": False},
    {"type": "PackDetInputs", "meta_keys": ("ori_shape", "img_shape", "scale_factor")},
]


class Swapped(nn.Module):
    """Calls the norm before the convolution, although its name comes after."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 3, 3), nn.BatchNorm2d(3)
        # Batch uint8 images as float32, as mmdet's preprocessor does.
        self.data_preprocessor = lambda data: {"inputs": torch.stack(data["inputs"]).float()}
        self.change = nn.Identity()

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.conv(self.norm(images))]


class Straight(Swapped):
    """Calls the convolution and the norm in the order of their names."""

    def forward(self, images: Tensor) -> list[Tensor]:
        return [self.norm(self.change(self.conv(images)))]


def norms(model: nn.Module) -> Iterator[nn.Module]:
    return (module for module in model.modules() if isinstance(module, _BatchNorm))


def trained(model: nn.Module) -> nn.Module:
    """Give the norms statistics and weights as after training."""
    torch.manual_seed(0)
    for norm in norms(model):
        norm.running_mean.normal_()
        norm.running_var.uniform_(0.5, 2)
        nn.init.uniform_(norm.weight, 0.5, 2)
        nn.init.normal_(norm.bias)
    return model.eval()


def test_fold_norms_keeps_the_outputs_of_a_detector(tiny_config: Config, checkpoint: Path) -> None:
    init_default_scope("mmdet")
    weights = torch.load(checkpoint, weights_only=True)["state_dict"]
    model = MODELS.build(tiny_config.model)
    model.load_state_dict(weights)
    model = trained(model)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    folded = fold_norms(model, PIPELINE)
    assert any(norms(model))
    assert not any(norms(folded))
    for name, value in model.state_dict().items():
        assert torch.equal(value, before[name])
    images = torch.randn(2, 3, 64, 64)
    with torch.inference_mode():
        for expected, found in zip(model(images), folded(images), strict=True):
            for a, b in zip(expected, found, strict=True):
                torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-4 * float(a.abs().max()))


def test_load_detector_folds_norms(tiny_config: Config, checkpoint: Path) -> None:
    assert not any(norms(load_detector(tiny_config, checkpoint, 6, device="cpu").model))


@pytest.mark.parametrize(("kind", "folds"), [(Straight, True), (Swapped, False)])
def test_fold_norms_requires_the_norm_to_follow_its_convolution(kind: type, folds: bool) -> None:
    init_default_scope("mmdet")
    model = trained(kind())
    assert (fold_norms(model, PIPELINE) is not model) == folds


def test_fold_norms_notices_small_differences() -> None:
    init_default_scope("mmdet")
    model = Straight().eval()
    model.change = nn.ReLU(inplace=True)
    model.norm.running_mean.fill_(1e-4)
    assert fold_norms(model, PIPELINE) is model


@pytest.mark.parametrize("lacking", [{"track_running_stats": False}, {"affine": False}])
def test_fold_norms_keeps_a_norm_that_cannot_be_folded(lacking: dict[str, bool]) -> None:
    init_default_scope("mmdet")
    model = Straight().eval()
    model.norm = nn.BatchNorm2d(3, **lacking).eval()
    assert fold_norms(model, PIPELINE) is model


def test_fold_norms_skips_pipelines_with_another_loader() -> None:
    model = trained(Straight())
    assert fold_norms(model, [{"type": "LoadImageFromFile"}, *PIPELINE[1:]]) is model
