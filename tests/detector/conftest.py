"""A small data set of part annotations, and a detector that is small enough to train in a test."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.registry import init_default_scope

import detector.model.dataset  # noqa: F401 - registers the classes
from tests.detector.parts_samples import XML

IMAGES = ("image_train/0001_c001.jpg", "image_train/0002_c001.png", "image_test/0001_c001.jpg")


@pytest.fixture
def capture_log(monkeypatch: pytest.MonkeyPatch) -> Callable[[], str]:
    """Return everything that the data set has logged so far."""
    lines: list[str] = []
    monkeypatch.setattr("detector.model.dataset.print_log", lambda text, logger: lines.append(text))
    return lambda: "\n".join(lines)


@pytest.fixture
def voc(tmp_path: Path) -> Callable[..., Path]:
    """Create a data set: ``voc(a='<object>...', b='')`` has two images of 64x48 pixels."""

    def make(size: tuple[int, int] = (48, 64), **annotations: str) -> Path:
        root = tmp_path / "parts"
        for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
            (root / folder).mkdir(parents=True, exist_ok=True)
        for name, objects in annotations.items():
            image = np.full((*size, 3), 127, np.uint8)
            cv2.imwrite(str(root / "JPEGImages" / f"{name}.png"), image)
            if not objects.lstrip().startswith("<?xml") and "<annotation" not in objects:
                objects = XML.format(
                    filename=f"{name}.png", height=size[0], width=size[1], objects=objects
                )
            (root / "Annotations" / f"{name}.xml").write_text(objects)
        names = "\r\n".join(annotations) + "\r\n"
        (root / "ImageSets/Main/train.txt").write_text(names, newline="")
        return root

    return make


@pytest.fixture
def tiny_config() -> Config:
    """An SSDLite of two classes on 64x64 pixels, based on the fleet's config."""
    base = Path(__file__).resolve().parents[2] / "configs/detector/ssdlite_resnet_fleet.py"
    config = Config.fromfile(base)
    config.merge_from_dict(
        {
            "model.backbone.base_channels": 8,
            "model.backbone.stem_channels": 8,
            "model.neck.in_channels": [16, 32, 64],
            "model.neck.out_channels": 16,
            "model.bbox_head.in_channels": [16, 16, 16],
            "model.bbox_head.num_classes": 2,
            "test_dataloader.dataset.metainfo": {"classes": ["wheel", "plate"]},
        }
    )
    for loader in ("train_dataloader", "test_dataloader"):
        for step in config[loader].dataset.pipeline:
            if step.type == "Resize":
                step.scale = (64, 64)
    return config


@pytest.fixture
def checkpoint(tmp_path: Path, tiny_config: Config) -> Path:
    """Random weights of the tiny detector."""
    init_default_scope("mmdet")
    torch.manual_seed(1)
    model = MODELS.build(tiny_config.model)
    model.init_weights()
    meta = {"dataset_meta": {"classes": ("wheel", "plate")}}
    torch.save({"state_dict": model.state_dict(), "meta": meta}, tmp_path / "weights.pth")
    return tmp_path / "weights.pth"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three images of 30 x 40 pixels (height, width) in two folders; two have the same name."""
    for image in IMAGES:
        (tmp_path / "VeRi" / image).parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(tmp_path / "VeRi" / image), np.full((30, 40, 3), 99, np.uint8))
    return tmp_path / "VeRi"
