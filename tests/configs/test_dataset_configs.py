"""Every re-identification config trains and tests on a tiny data set in its layout."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from mmengine.config import Config

from detector.cache import Parts
from detector.cache.writer import PartCacheWriter
from pgan.apis import build_runner, load_config
from tests.pgan.datasets.layouts import LAYOUTS, make_vehicle1m, make_vehicleid, make_veri

CONFIGS = sorted((Path(__file__).resolve().parents[2] / "configs/pgan").glob("*.py"))
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
SMALL = {
    "model.backbone.name": "resnet18",
    "model.backbone.out": "layer1",
    "model.backbone.last_stride": 2,
    "model.backbone.weights": None,
    "model.feature_dim": 16,
    "train_dataloader.batch_size": 4,
    "train_dataloader.sampler.identities": 2,
    "train_dataloader.sampler.images": 2,
    "train_cfg.max_epochs": 1,
    "train_cfg.val_interval": 9,
    "default_hooks.checkpoint.save_last": False,
    "default_hooks.checkpoint.interval": 9,
    "visualizer.vis_backends": [],
    **{f"{loader}.num_workers": 0 for loader in LOADERS},
    "image_size": (32, 32),
}
# The same with the smallest model of timm, which has no stages to end at.
SMALL_TIMM = {
    **{key: value for key, value in SMALL.items() if key != "model.backbone.out"},
    "model.backbone.name": "test_resnet",
}
MEMBERS = {"VehicleID": make_vehicleid, "Vehicle-1M": make_vehicle1m, "VeRi": make_veri}


def cache_parts(root: Path) -> str:
    """A cache with one part in the middle of each image below a folder."""
    images = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.jpg"))
    out = root.parent / f"{root.name}_parts"
    writer = PartCacheWriter(out, images, {"classes": ["wheel"], "max_parts": 8}, shard_size=99)
    part = Parts(
        np.array([[5, 5, 20, 15]], np.float32), np.ones(1, np.float32), np.zeros(1, int), (20, 30)
    )
    writer.write(0, [part] * len(images))
    writer.finish()
    return str(out)


def tiny_data(layout: str, root: Path, with_parts: bool) -> dict[str, str]:
    """Make what the config reads; returns the keys that lead there."""
    if layout != "union":
        options = {"data_root": str(LAYOUTS[layout](root / "data"))}
        return options | ({"part_cache": cache_parts(root / "data")} if with_parts else {})
    options = {}
    for number, (name, make) in enumerate(MEMBERS.items()):
        data = make(root / name)
        here = {"data_root": str(data)} | ({"part_cache": cache_parts(data)} if with_parts else {})
        # The first member has the test set's folder.
        prefix = f"train_dataloader.dataset.datasets.{number}." if number else ""
        options |= {prefix + key: value for key, value in here.items()}
    return options


@pytest.fixture
def plain_config_text(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep mmengine from laying its configs out nicely, again and again: most of a tiny run's time."""
    monkeypatch.setattr(Config, "pretty_text", property(lambda config: repr(config)))


@pytest.mark.usefixtures("plain_config_text")
@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_config_trains_and_tests(config: Path, tmp_path: Path) -> None:
    layout = re.search(r"_(\w+)-\d+x\d+$", config.stem)[1].split("_")[-1]
    parts = config.stem.startswith("pgan")
    small = SMALL_TIMM if "efflite0" in config.stem else SMALL
    cfg = load_config(str(config), small | tiny_data(layout, tmp_path, parts))
    runner = build_runner(cfg, str(tmp_path / "run"))
    runner.train()
    assert math.isfinite(runner.message_hub.get_scalar("train/loss").current())
    assert 0 <= runner.test()["reid/mAP"] <= 100


def test_every_layout_has_a_config_of_pgan_and_of_its_baseline() -> None:
    names = [path.stem for path in CONFIGS]
    for layout in [*LAYOUTS, "union"]:
        for model in ("pgan", "baseline"):
            assert any(n.startswith(model) and f"_{layout}-" in n for n in names), (model, layout)
