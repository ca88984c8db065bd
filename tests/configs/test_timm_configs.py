"""Configs with timm's backbones: each builds what it says, and pretrained layers learn more slowly."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmengine.optim import build_optim_wrapper

from pgan.apis import build_runner, load_config
from pgan.engine import load_plain
from pgan.registry import MODELS
from tests.configs.test_dataset_configs import SMALL_TIMM, plain_config_text, tiny_data

__all__ = ["plain_config_text"]

FOLDER = Path(__file__).resolve().parents[2] / "configs/pgan"
LITE0 = [f"{model}_efflite0-cpu_1xb32-12e_csv-128x128" for model in ("baseline", "pgan")]
DINO = [f"backbones/{model}_dinov2-s14_1xb64-60e_veri776-224x224" for model in ("baseline", "pgan")]


def rates_and_decays(model, config) -> dict[str, tuple[float, float]]:
    optimizer = build_optim_wrapper(model, config).optimizer
    groups = {id(p): g for g in optimizer.param_groups for p in g["params"]}
    return {
        key: (groups[id(p)]["lr"], groups[id(p)]["weight_decay"])
        for key, p in model.named_parameters()
        if p.requires_grad
    }


@pytest.mark.parametrize("name", LITE0)
def test_lite0_starts_from_the_package_and_learns_slower_than_what_is_new(name):
    cfg = load_config(str(FOLDER / f"{name}.py"))
    model = MODELS.build({**cfg.model, "num_vehicles": 2})
    before = model.backbone.model.conv_stem.weight.clone()
    model.backbone.init_weights()
    assert not torch.equal(model.backbone.model.conv_stem.weight, before)
    with torch.no_grad():
        shape = model.eval().backbone(torch.zeros(1, 3, *cfg.image_size)).shape
    assert shape == (1, 1280, 8, 8)
    rates = rates_and_decays(model, cfg.optim_wrapper)
    backbone = {rate for key, (rate, _) in rates.items() if key.startswith("backbone.")}
    others = {rate for key, (rate, _) in rates.items() if not key.startswith("backbone.")}
    assert max(backbone) < min(others)
    sampler = cfg.train_dataloader.sampler
    assert sampler.identities * sampler.images == cfg.train_dataloader.batch_size


@pytest.mark.slow
@pytest.mark.parametrize("name", DINO)
def test_dinov2_has_the_map_and_the_rates_that_are_stated(name):
    cfg = load_config(str(FOLDER / f"{name}.py"))
    cfg.model.backbone.options.depth = 2
    model = MODELS.build({**cfg.model, "num_vehicles": 2}).eval()
    with torch.no_grad():
        assert model.backbone(torch.zeros(1, 3, 224, 224)).shape == (1, 384, 16, 16)
    rates = rates_and_decays(model, cfg.optim_wrapper)
    blocks = [rates[f"backbone.model.blocks.{i}.attn.qkv.weight"][0] for i in (0, 1)]
    assert blocks[0] == pytest.approx(0.75 * blocks[1])
    assert rates["classifier.weight"][0] == 3e-4 > blocks[1]
    for key in ("cls_token", "pos_embed", "blocks.0.norm1.weight", "blocks.0.mlp.fc1.bias"):
        assert rates[f"backbone.model.{key}"][1] == 0, key
    assert rates["backbone.model.blocks.0.mlp.fc1.weight"][1] == 0.05
    assert cfg.param_scheduler[-1].end == cfg.train_cfg.max_epochs


@pytest.mark.slow
@pytest.mark.usefixtures("plain_config_text")
def test_averaged_weights_are_saved_and_resumed(tmp_path):
    options = SMALL_TIMM | tiny_data("csv", tmp_path, with_parts=False)
    options |= {"default_hooks.checkpoint.interval": 1, "train_cfg.max_epochs": 2}
    ema = {"type": "EMAHook", "momentum": 0.1, "priority": "ABOVE_NORMAL"}
    cfg = load_config(str(FOLDER / f"{LITE0[0]}.py"), options)
    cfg.custom_hooks = [ema]
    build_runner(cfg, str(tmp_path / "run")).train()
    saved = load_plain(str(tmp_path / "run/epoch_2.pth"))
    name = "backbone.model.conv1.0.weight"
    averaged, plain = saved["state_dict"][name], saved["ema_state_dict"][f"module.{name}"]
    assert not torch.equal(averaged, plain)
    cfg.train_cfg.max_epochs = 3
    resumed = build_runner(cfg, str(tmp_path / "run"), resume=True)
    resumed.train()
    assert resumed.epoch == 3
