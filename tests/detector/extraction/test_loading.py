"""Loading a detector from a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import pytest
import torch
from mmdet.registry import MODELS
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

from detector.common.errors import DetectorError
from detector.extraction.loading import load_detector
from tests.detector.parts_samples import paint

STRIDES = [8, 16, 32]
HEADS = {
    "FCOS": {"strides": STRIDES, "regress_ranges": ((-1, 16), (16, 32), (32, 1e8))},
    "RetinaNet": {
        "anchor_generator": {
            "type": "AnchorGenerator",
            "octave_base_scale": 4,
            "scales_per_octave": 1,
            "ratios": [1.0],
            "strides": STRIDES,
        }
    },
}


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: s["state_dict"].pop("backbone.conv1.weight"), "1 tensor missing"),
        (lambda s: s["state_dict"].update(x=torch.ones(1)), r"1 tensor unexpected \(first: x\)"),
        (
            lambda s: s["state_dict"].update({"backbone.conv1.weight": torch.ones(1)}),
            "1 tensor of another shape",
        ),
        (lambda s: s["meta"]["dataset_meta"].update(classes=("wheel",)), "predicts 2 classes"),
        (lambda s: s["meta"]["dataset_meta"].update(classes=5), "classes are not names"),
        (lambda s: s["meta"].update(dataset_meta=[]), "classes are not names"),
        (lambda s: s["state_dict"]["backbone.conv1.weight"].fill_(math.nan), "1 tensors hold NaN"),
        (lambda s: s.update(history=Path("x")), "not a checkpoint of tensors"),
    ],
)
def test_load_detector_refuses_a_checkpoint_that_does_not_fit(
    tiny_config: Config, checkpoint: Path, spoil: Callable[[dict], object], words: str
) -> None:
    state = torch.load(checkpoint, weights_only=True)
    spoil(state)
    torch.save(state, checkpoint)
    with pytest.raises(DetectorError, match=words):
        load_detector(tiny_config, checkpoint, 6, device="cpu")


def test_load_detector_refuses_a_checkpoint_with_a_flipped_bit(
    tiny_config: Config, checkpoint: Path
) -> None:
    data = bytearray(checkpoint.read_bytes())
    weight = torch.load(checkpoint, weights_only=True)["state_dict"]["backbone.conv1.weight"]
    data[data.index(weight.numpy().tobytes())] ^= 1
    checkpoint.write_bytes(data)
    with pytest.raises(DetectorError, match=f"{checkpoint}: damaged"):
        load_detector(tiny_config, checkpoint, 6, device="cpu")


@pytest.mark.parametrize("detector_type", ["FCOS", "RetinaNet"])
def test_load_detector_accepts_other_heads_of_mmdet(
    tiny_config: Config, tmp_path: Path, detector_type: str
) -> None:
    """These heads read their ``test_cfg`` by attributes."""
    head = {"type": f"{detector_type.removesuffix('Net')}Head", "num_classes": 2, "in_channels": 16}
    tiny_config.model.type = detector_type
    tiny_config.model.bbox_head = head | HEADS[detector_type]
    tiny_config.model.test_cfg = {"nms_pre": 100, "nms": {"type": "nms", "iou_threshold": 0.5}}
    init_default_scope("mmdet")
    torch.save(MODELS.build(tiny_config.model).state_dict(), tmp_path / "weights.pth")
    detector = load_detector(tiny_config, tmp_path / "weights.pth", 6, device="cpu")
    cv2.imwrite(str(tmp_path / "a.png"), paint(0)[0])
    item = Compose(detector.pipeline)({"img_path": str(tmp_path / "a.png"), "img_id": 0})
    assert len(detector.detect([item])[0]) == 6
