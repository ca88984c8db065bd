"""The backbones of the paper's Figure 7: each config builds what its name says."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from pgan.apis import build_runner, load_config
from pgan.registry import MODELS
from tests.pgan.datasets.layouts import make_veri
from tests.configs.test_dataset_configs import SMALL, cache_parts

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[2] / "configs/pgan/paper"
MAPS = {
    "r18": (512, 14, 14),
    "r50-plain": (2048, 14, 14),
    "googlenet": (1024, 7, 7),
    "vggm": (512, 13, 13),
}


def config(model: str, backbone: str) -> str:
    return str(FOLDER / f"{model}_{backbone}_1xb64-130e_veri776-224x224.py")


@pytest.mark.filterwarnings("ignore:The default weight initialization of GoogleNet")
@pytest.mark.parametrize("name", MAPS)
def test_the_backbone_gives_the_map_that_is_stated(name: str) -> None:
    backbones = [load_config(config(model, name)).model.backbone for model in ("pgan", "baseline")]
    assert backbones[0] == backbones[1]
    if "weights" in backbones[0]:
        assert backbones[0].weights == "IMAGENET1K_V1"
        backbones[0].weights = None
    backbone = MODELS.build(backbones[0])
    assert backbone(torch.zeros(2, 3, 224, 224)).shape[1:] == MAPS[name]


@pytest.mark.parametrize("model", ["pgan", "baseline"])
def test_what_differs_besides_the_backbone(model: str) -> None:
    release = load_config(str(FOLDER.parent / f"{model}_r50_1xb64-130e_veri776-224x224.py"))
    for name in MAPS:
        cfg = load_config(config(model, name))
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
            wanted = release[loader].dataset.pipeline
            if name == "r50-plain":
                wanted = [step for step in wanted if not step.type.endswith("RandomErasing")]
            if name == "googlenet":
                half = {"mean": (0.5, 0.5, 0.5), "std": (0.5, 0.5, 0.5)}
                wanted = [{**s, **half} if s.type.endswith("Normalize") else s for s in wanted]
            assert cfg[loader].dataset.pipeline == wanted
        assert cfg.optim_wrapper == release.optim_wrapper
        del cfg.model.backbone
        assert cfg.model == {k: v for k, v in release.model.items() if k != "backbone"}


def test_vgg_m_trains_and_tests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Config, "pretty_text", property(lambda config: repr(config)))
    data = make_veri(tmp_path / "VeRi")
    options = {key: value for key, value in SMALL.items() if not key.startswith("model.backbone")}
    options |= {"data_root": str(data), "part_cache": cache_parts(data), "num_parts": 4}
    runner = build_runner(load_config(config("pgan", "vggm"), options), str(tmp_path / "run"))
    runner.train()
    assert math.isfinite(runner.message_hub.get_scalar("train/loss").current())
    assert 0 <= runner.test()["reid/mAP"] <= 100
