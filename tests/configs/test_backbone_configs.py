"""Modern backbones under PGAN and its baseline: each config builds what it says, and a model that trains."""

from __future__ import annotations

import functools
from pathlib import Path

import pytest
import torch
import torchvision
from mmengine.optim import build_optim_wrapper
from torch import Tensor, nn
from torchvision.models import ConvNeXt, ResNet, SwinTransformer, VisionTransformer
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.resnet import Bottleneck

from pgan.apis import load_config
from pgan.models import ReIDModel, TorchvisionBackbone
from pgan.registry import MODELS
from pgan.structures import ReIDSample

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[2] / "configs/pgan/backbones"
MAPS = {  # at 224 x 224, and at 64 x 96
    "r50-ibn": ((2048, 14, 14), (4, 6)),
    "convnext-t": ((768, 13, 13), (3, 5)),
    "swin-t": ((768, 7, 7), (2, 3)),
    "vit-b16": ((768, 14, 14), (4, 6)),
}
LAYER_NORM = [name for name in MAPS if name != "r50-ibn"]


def config(model: str, name: str):
    (path,) = FOLDER.glob(f"{model}_{name}_*.py")
    return load_config(str(path))


SHALLOW = {
    "resnet50": lambda: ResNet(Bottleneck, [1, 1, 1, 1]),
    "convnext_tiny": lambda: ConvNeXt(
        [CNBlockConfig(a, b, 1) for a, b in ((96, 192), (192, 384), (384, 768), (768, None))]
    ),
    "swin_t": lambda: SwinTransformer([4, 4], 96, [1, 1, 1, 1], [3, 6, 12, 24], [7, 7]),
    "vit_b_16": lambda: VisionTransformer(224, 16, 1, 12, 768, 3072),
}


@functools.cache
def built(name: str) -> TorchvisionBackbone:
    """A config's backbone with one block a stage, which is quick; its widths and strides are its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torchvision.models, "get_model", lambda name, weights: SHALLOW[name]())
        return MODELS.build({**config("pgan", name).model.backbone, "weights": None})


@pytest.fixture(scope="module", autouse=True)
def _forget_afterwards():
    yield
    built.cache_clear()


@MODELS.register_module()
def given_backbone(name: str) -> nn.Module:
    return built(name)


def build(model: str, name: str) -> ReIDModel:
    backbone = {"type": "given_backbone", "name": name}
    return MODELS.build({**config(model, name).model, "backbone": backbone, "num_vehicles": 2})


def batch(parts: int = 3) -> tuple[Tensor, list[ReIDSample]]:
    boxes = torch.tensor([[0.0, 0, 30, 20], [40, 30, 96, 64], [0, 0, 0, 0]])[:parts]
    samples = [
        ReIDSample(part_boxes=boxes + i * (boxes > 0), vehicle_label=i % 2) for i in range(4)
    ]
    return torch.randn(4, 3, 64, 96), samples


@pytest.mark.parametrize("name", MAPS)
def test_both_models_share_the_backbone_and_the_map_that_is_stated(name: str) -> None:
    backbones = [config(model, name).model.backbone for model in ("pgan", "baseline")]
    assert backbones[0] == backbones[1]
    assert (backbones[0].weights == "IMAGENET1K_V1") == (name in LAYER_NORM)
    with torch.no_grad():
        shape = built(name).eval()(torch.zeros(1, 3, 224, 224)).shape[1:]
    assert shape == MAPS[name][0]


@pytest.mark.parametrize("model", ["pgan", "baseline"])
@pytest.mark.parametrize("name", MAPS)
def test_a_step_of_training_reaches_every_weight(model: str, name: str) -> None:
    torch.manual_seed(0)
    net = build(model, name).train()
    net.zero_grad()
    losses = net(*batch(), mode="loss")
    loss = sum(value for key, value in losses.items() if key.startswith("loss"))
    assert torch.isfinite(loss)
    loss.backward()
    for key, parameter in net.named_parameters():
        if parameter.requires_grad:
            assert parameter.grad is not None, key
            assert torch.isfinite(parameter.grad).all(), key
    (sample, *_) = net.eval()(*batch(), mode="predict")
    assert sample.feature.shape == (512,)


@pytest.mark.parametrize("name", MAPS)
def test_part_masks_are_cut_at_the_size_of_the_map(name: str) -> None:
    net, (images, samples) = build("pgan", name).eval(), batch()
    seen: list[tuple[Tensor, Tensor]] = []
    net.attention.register_forward_pre_hook(lambda module, args: seen.append(args))
    with torch.no_grad():
        net(images, samples, mode="predict")
    (features, masks) = seen[0]
    height, width = MAPS[name][1]
    assert features.shape[2:] == (height, width)
    assert masks.shape == (4, 3, height, width)
    for image, sample in enumerate(samples):
        for part, (left, top, right, bottom) in enumerate(sample.part_boxes.tolist()):
            for row in range(height):
                for column in range(width):
                    y, x, high, wide = row, column, 64 / height, 96 / width
                    overlaps = (
                        left < (x + 1) * wide
                        and right > x * wide
                        and top < (y + 1) * high
                        and bottom > y * high
                        and right > left
                    )
                    assert masks[image, part, row, column] == overlaps


@pytest.mark.parametrize("name", LAYER_NORM)
def test_adamw_spares_norms_biases_positions_and_scales(name: str) -> None:
    cfg, net = config("baseline", name), build("baseline", name)
    wrapper = build_optim_wrapper(net, cfg.optim_wrapper)
    assert type(wrapper.optimizer) is torch.optim.AdamW
    decays = {
        id(parameter): group["weight_decay"]
        for group in wrapper.param_groups
        for parameter in group["params"]
    }
    for key, parameter in net.named_parameters():
        if parameter.requires_grad:
            matrix = parameter.ndim > 1 and not key.endswith(
                ("pos_embedding", "class_token", "bias_table", "layer_scale")
            )
            assert decays[id(parameter)] == (0.05 if matrix else 0), key
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_epochs
