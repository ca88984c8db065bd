import pytest
import torch
from mmengine.optim import build_optim_wrapper
from torch import nn

from pgan.errors import ConfigError
from pgan.models import TimmBackbone

OPTIMIZER = {"type": "AdamW", "lr": 1e-3, "weight_decay": 0.1}


class Model(nn.Module):
    def __init__(self, name: str = "test_vit") -> None:
        super().__init__()
        self.backbone = TimmBackbone(name)
        self.head = nn.Linear(2, 2)


def build(model: nn.Module, **paramwise: object):
    config = {
        "type": "OptimWrapper",
        "optimizer": OPTIMIZER,
        "constructor": "pgan.LayerDecayConstructor",
        "paramwise_cfg": paramwise,
    }
    return build_optim_wrapper(model, config).optimizer


def rates(model: nn.Module, **paramwise: object) -> dict[str, float]:
    groups = {id(g["params"][0]): g["lr"] for g in build(model, **paramwise).param_groups}
    return {key: groups[id(parameter)] for key, parameter in model.named_parameters()}


def test_each_layer_before_the_head_has_half_the_rate_of_the_next():
    found = rates(Model(), layer_decay=0.5)
    blocks = len(TimmBackbone("test_vit").model.blocks)
    assert found["head.weight"] == 1e-3
    for block in range(blocks):
        expected = 1e-3 * 0.5 ** (blocks - block)
        assert found[f"backbone.model.blocks.{block}.attn.qkv.weight"] <= expected
    later, earlier = (found[f"backbone.model.blocks.{i}.attn.qkv.weight"] for i in (1, 0))
    assert earlier == pytest.approx(later / 2)
    patches = found["backbone.model.patch_embed.proj.weight"]
    assert patches == found["backbone.model.pos_embed"] == pytest.approx(earlier / 2)


def test_mmengines_keys_still_hold():
    model = Model("test_efficientnet")
    optimizer = build(model, layer_decay=0.9, norm_decay_mult=0.0)
    norm = id(model.backbone.model.bn1.weight)
    (decay,) = (g["weight_decay"] for g in optimizer.param_groups if id(g["params"][0]) == norm)
    assert decay == 0
    assert len({g["lr"] for g in optimizer.param_groups}) > 3


def test_a_step_moves_the_head_more_than_the_patches():
    torch.manual_seed(0)
    model = Model()
    optimizer = build(model, layer_decay=0.1)
    before = {key: value.clone() for key, value in model.state_dict().items()}
    for parameter in model.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    moved = {k: (v - before[k]).abs().mean() for k, v in model.state_dict().items()}
    assert moved["head.bias"] > 50 * moved["backbone.model.patch_embed.proj.bias"]


@pytest.mark.parametrize("decay", [None, 0, 1.5, "0.5"])
def test_a_factor_out_of_range_is_refused(decay):
    with pytest.raises(ConfigError, match="layer_decay=.*above 0 and at most 1"):
        build(Model(), layer_decay=decay)


def test_another_backbone_is_refused():
    with pytest.raises(ConfigError, match="needs a TimmBackbone"):
        build(nn.Linear(1, 1), layer_decay=0.5)
