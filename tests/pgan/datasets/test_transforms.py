"""Every transform moves the boxes with the image; the last one packs both for the model."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.dataset import Compose

import pgan.datasets  # noqa: F401  (registers the transforms)
from detector.common.errors import DetectorError
from pgan.datasets.errors import DatasetError
from pgan.registry import TRANSFORMS

BOX = (10, 4, 18, 12)  # a white square in a black 40 x 24 image


@pytest.fixture
def record(tmp_path: Path) -> dict:
    image = np.zeros((24, 40, 3), np.uint8)
    image[BOX[1] : BOX[3], BOX[0] : BOX[2]] = 255
    cv2.imwrite(str(tmp_path / "a.png"), image)
    return {
        "image_file": str(tmp_path / "a.png"),
        "img_path": "a.png",
        "role": "train",
        "vehicle_id": 3,
        "camera_id": 1,
        "vehicle_label": 0,
        "part_boxes": np.array([BOX, (0, 0, 0, 0)], np.float32),
    }


def run(record: dict, *steps: dict) -> tuple[torch.Tensor, object]:
    pipeline = [{"type": "LoadReIDImage"}, *steps, {"type": "ToFloat"}, {"type": "PackReID"}]
    packed = Compose([TRANSFORMS.build(step) for step in pipeline])(record)
    return packed["inputs"], packed["data_samples"]


def white_extent(image: torch.Tensor) -> list[float]:
    rows, cols = torch.nonzero(image[0] > 0.5, as_tuple=True)
    return [cols.min(), rows.min(), cols.max() + 1, rows.max() + 1]


@pytest.mark.parametrize(
    "step",
    [
        {"type": "torchvision/Resize", "size": (48, 80)},
        {"type": "PillowResize", "size": (48, 80), "antialias": True},
        {"type": "torchvision/RandomHorizontalFlip", "p": 1.0},
        {"type": "torchvision/Pad", "padding": [3, 5, 2, 1]},
    ],
)
def test_geometric_transform_moves_boxes_with_image(record: dict, step: dict) -> None:
    image, sample = run(record, step)
    np.testing.assert_allclose(sample.part_boxes[0], white_extent(image), atol=1)
    assert sample.part_boxes[1].tolist() == [0, 0, 0, 0]


def test_crop_clips_boxes_and_empties_those_outside(record: dict) -> None:
    seen = set()
    for seed in range(30):
        torch.manual_seed(seed)
        image, sample = run(dict(record), {"type": "torchvision/RandomCrop", "size": (10, 12)})
        if (image[0] > 0.5).any():
            assert sample.part_boxes[0].tolist() == white_extent(image)
        else:
            assert sample.part_boxes[0].tolist() == [0, 0, 0, 0]
        seen.add(bool((image[0] > 0.5).any()))
    assert seen == {True, False}


def test_random_erasing_keeps_boxes(record: dict) -> None:
    step = {
        "type": "torchvision/RandomErasing",
        "p": 1.0,
        "scale": (0.3, 0.5),
        "value": [0.1, 0.2, 0.3],
    }
    pipeline = [{"type": "LoadReIDImage"}, {"type": "ToFloat"}, step, {"type": "PackReID"}]
    packed = Compose([TRANSFORMS.build(part) for part in pipeline])(record)
    erased = torch.isclose(packed["inputs"][1], torch.tensor(0.2))
    assert 0.25 < erased.float().mean() < 0.55
    assert packed["data_samples"].part_boxes[0].tolist() == list(BOX)


def test_pack_reid_packs_rgb_and_sample_fields(record: dict, tmp_path: Path) -> None:
    blue = np.zeros((24, 40, 3), np.uint8)
    blue[..., 0] = 255  # OpenCV writes BGR
    cv2.imwrite(record["image_file"], blue)
    image, sample = run(record)
    assert image.shape == (3, 24, 40)
    assert image[:, 0, 0].tolist() == [0, 0, 1]
    assert (sample.img_path, sample.vehicle_id, sample.camera_id) == ("a.png", 3, 1)
    assert type(image) is torch.Tensor
    assert type(sample.part_boxes) is np.ndarray


@pytest.mark.parametrize("shape", [(96, 160), (97, 158)])
def test_load_reid_image_scales_boxes_with_reduced_image(
    record: dict, tmp_path: Path, shape: tuple[int, int]
) -> None:
    image = np.zeros((*shape, 3), np.uint8)
    image[16:48, 40:72] = 255
    record["image_file"] = str(tmp_path / "a.jpg")
    cv2.imwrite(record["image_file"], image)
    record["part_boxes"] = np.array(
        [(40, 16, 72, 48), (0, 0, *shape[::-1]), (0, 0, 0, 0)], np.float32
    )
    resize = {"type": "torchvision/Resize", "size": (24, 39), "antialias": True}
    load = {"type": "LoadReIDImage", "size": (24, 39)}
    steps = [load, resize, {"type": "ToFloat"}, {"type": "PackReID"}]
    packed = Compose([TRANSFORMS.build(step) for step in steps])(dict(record))
    boxes = packed["data_samples"].part_boxes
    assert packed["inputs"].shape == (3, 24, 39)
    # The mean of four pixels exceeds grey only inside the box.
    np.testing.assert_allclose(boxes[0], white_extent(packed["inputs"]), atol=0.6)
    # libjpeg rounds the size up, so the box ends before the last row and column do.
    ends = [24 * (shape[0] / 4) / np.ceil(shape[0] / 4), 39 * (shape[1] / 4) / 40]
    np.testing.assert_allclose(boxes[1], [0, 0, *ends[::-1]], rtol=1e-5)
    assert boxes[2].tolist() == [0, 0, 0, 0]
    assert boxes.dtype == np.float32


def test_invalid_size_is_refused() -> None:
    with pytest.raises(DetectorError, match="height and width"):
        TRANSFORMS.build({"type": "LoadReIDImage", "size": 224})


# --- masks without boxes ---------------------------------------------------------------------


@pytest.fixture
def masked(record: dict) -> dict:
    """The record with two masks over 2 x 4 cells instead of boxes; the second slot is empty."""
    mask = np.zeros((2, 2, 4), bool)
    mask[0, 0, :2] = True
    mask[0, 1, 3] = True
    kept = {key: value for key, value in record.items() if not key.startswith("part_")}
    return {**kept, "part_masks": mask}


def test_cell_masks_follow_flip_and_ignore_resize(masked: dict) -> None:
    mask = torch.from_numpy(masked["part_masks"])
    resize = {"type": "torchvision/Resize", "size": (48, 80), "antialias": True}
    erase = {"type": "torchvision/RandomErasing", "p": 1.0}
    for chance, expected in ((0.0, mask), (1.0, mask.flip(-1))):
        flip = {"type": "torchvision/RandomHorizontalFlip", "p": chance}
        image, sample = run(dict(masked), resize, flip, erase)
        assert image.shape == (3, 48, 80)
        np.testing.assert_array_equal(sample.part_masks, expected)
        assert type(sample.part_masks) is np.ndarray
        assert "part_boxes" not in sample


@pytest.mark.parametrize(
    "step",
    [
        {"type": "torchvision/RandomCrop", "size": (10, 12)},
        {"type": "torchvision/Pad", "padding": 3},
        {"type": "torchvision/RandomAffine", "degrees": 10},
    ],
)
def test_cell_masks_refuse_crop_pad_and_affine(masked: dict, step: dict) -> None:
    # The flip comes first, to check that its result is still of type CellMasks.
    flip = {"type": "torchvision/RandomHorizontalFlip", "p": 1.0}
    with pytest.raises(DatasetError, match=r"masks and no boxes, .* leave that transform out"):
        run(masked, flip, step)
