"""Every detector config builds, has sixteen classes and keeps all scores, as in the paper."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

from detector.common.attributes import ATTRIBUTES
from detector.model.part_head import PartSSDHead

pytestmark = pytest.mark.slow

CONFIGS = sorted((Path(__file__).resolve().parents[3] / "configs/detector").glob("*.py"))


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_config_builds_a_part_detector(path: Path) -> None:
    config = Config.fromfile(path)
    init_default_scope(config.default_scope)
    with torch.device("meta"):
        model = MODELS.build(config.model)
    head = model.bbox_head
    assert isinstance(head, PartSSDHead)
    assert head.num_classes == len(ATTRIBUTES)
    assert head.test_cfg.score_thr == 0
    assert head.test_cfg.nms == {"type": "nms", "iou_threshold": 0.45}
    assert config.model.data_preprocessor.bgr_to_rgb is False
    for loader in ("train_dataloader", "val_dataloader", "test_dataloader"):
        pipeline = config[loader].dataset.pipeline
        assert pipeline[0].type == "LoadVehicleImage"
        assert config[loader].dataset.type == "VehiclePartsDataset"
    assert config.default_hooks.checkpoint.type == "pgan.AtomicCheckpointHook"


def test_configs_include_the_documented_ones() -> None:
    assert {path.stem for path in CONFIGS} >= {
        "ssd300_vgg16_parts",
        "ssd512_vgg16_parts",
        "ssdlite_mobilenetv2_parts",
        "ssdlite_resnet_fleet",
    }


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ssd300_vgg16_parts", {}),
        ("ssd512_vgg16_parts", {}),
        ("ssdlite_mobilenetv2_parts", {"_delete_": True, "prefix": "backbone."}),
    ],
)
def test_backbone_loads_imagenet_weights_from_a_local_file(
    name: str, options: dict, tmp_path: Path
) -> None:
    config = Config.fromfile(next(path for path in CONFIGS if path.stem == name))
    init_default_scope(config.default_scope)
    weight = "features.0.weight" if "vgg" in name else "conv1.conv.weight"
    shape = (64, 3, 3, 3) if "vgg" in name else (32, 3, 3, 3)
    stored = {options.get("prefix", "") + weight: torch.full(shape, 7.0)}
    torch.save({"state_dict": stored}, tmp_path / "imagenet.pth")
    options |= {"type": "Pretrained", "checkpoint": str(tmp_path / "imagenet.pth")}
    config.merge_from_dict({f"model.backbone.init_cfg.{key}": options[key] for key in options})
    backbone = MODELS.build(config.model.backbone)
    backbone.init_weights()
    assert (backbone.state_dict()[weight] == 7).all()
