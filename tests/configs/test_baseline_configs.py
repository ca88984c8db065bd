"""Every config of the baselines trains and tests on a tiny data set, at the size that its name states."""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest

from pgan.apis import build_runner, load_config
from tests.configs.test_dataset_configs import LOADERS, SMALL, plain_config_text, tiny_data

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).resolve().parents[2] / "configs/baseline"
VERI = sorted(FOLDER.glob("*_veri776-*.py"))

__all__ = ["plain_config_text"]


@pytest.mark.parametrize("config", VERI, ids=lambda path: path.stem)
def test_the_name_states_size_and_epochs(config: Path) -> None:
    cfg = load_config(str(config))
    _, high, wide = re.fullmatch(r".*_(veri776)-(\d+)x(\d+)", config.stem).group(0, 2, 3)
    for loader in LOADERS:
        resize = cfg[loader].dataset.pipeline[1]
        assert resize == {
            "type": "torchvision/Resize",
            "size": (int(high), int(wide)),
            "antialias": True,
        }
    assert f"-{cfg.train_cfg.max_epochs}e_" in config.stem


@pytest.mark.usefixtures("plain_config_text")
@pytest.mark.parametrize("config", VERI, ids=lambda path: path.stem)
def test_config_trains_and_tests(config: Path, tmp_path: Path) -> None:
    own = load_config(str(config)).model
    options = {**SMALL, "model.feature_dim": own.feature_dim and 16}
    cfg = load_config(str(config), options | tiny_data("veri776", tmp_path, with_parts=False))
    runner = build_runner(cfg, str(tmp_path / "run"))
    runner.train()
    assert math.isfinite(runner.message_hub.get_scalar("train/loss").current())
    assert 0 <= runner.test()["reid/mAP"] <= 100


def test_the_strong_baseline_has_the_tricks() -> None:
    cfg = load_config(str(FOLDER / "bot_r50_1xb64-120e_veri776-128x256.py"))
    assert cfg.model.type == "StrongBaseline"
    assert cfg.model.backbone.last_stride == 1
    assert cfg.model.label_smoothing == 0.1
    assert cfg.model.feature_dim is None
    assert cfg.param_scheduler[0].type == "LinearLR"
    steps = [step.type for step in cfg.train_dataloader.dataset.pipeline]
    assert "torchvision/RandomErasing" in steps
