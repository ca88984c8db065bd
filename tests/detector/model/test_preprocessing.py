"""The preprocessing gives the network the same input as mmdet's classes, bit for bit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures import DetDataSample

import detector.model.preprocessing  # noqa: F401  # registers the classes
from detector.model.preprocessing import with_fewer_copies

PACK = {"type": "PackDetInputs", "meta_keys": ("ori_shape", "img_shape", "scale_factor")}
NORMALISE = {
    "type": "DetDataPreprocessor",
    "mean": [123.675, 116.28, 103.53],
    "std": [58.395, 57.12, 57.375],
    "bgr_to_rgb": False,
    "pad_size_divisor": 1,
}


def packed(sizes: list[tuple[int, int]]) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Random images, packed by mmdet and by `PackImage`."""
    rng = np.random.default_rng(0)
    ways = [TRANSFORMS.build(step) for step in (PACK, with_fewer_copies(PACK))]
    answers: tuple[list, list] = ([], [])
    for size in sizes:
        image = rng.integers(0, 256, (*size, 3), np.uint8)
        facts = {"ori_shape": (7, 9), "img_shape": size, "scale_factor": (0.5, 2.0), "flip": False}
        for way, items in zip(ways, answers):
            items.append(way({"img": image} | facts))
    return answers


def batch(items: list[dict[str, Any]]) -> dict[str, Any]:
    return {key: [item[key] for item in items] for key in ("inputs", "data_samples")}


def test_pack_image_equals_mmdet_without_a_copy() -> None:
    (theirs,), (ours,) = packed([(20, 30)])
    assert torch.equal(ours["inputs"], theirs["inputs"])
    assert ours["inputs"].stride() == (1, 90, 3)
    assert ours["data_samples"].metainfo == theirs["data_samples"].metainfo


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("sizes", [[(20, 30)] * 3, [(8, 8)], [(20, 30), (24, 8)]])
@pytest.mark.parametrize("change", [{}, {"bgr_to_rgb": True}, {"pad_size_divisor": 32}])
def test_batch_preprocessor_equals_mmdet(change: dict, sizes: list, training: bool) -> None:
    theirs, ours = packed(sizes)
    settings = NORMALISE | change
    expected = MODELS.build(settings)(batch(theirs), training)
    preprocessor = MODELS.build(with_fewer_copies(settings))
    for items in (theirs, ours):
        found = preprocessor(batch(items), training)
        assert torch.equal(found["inputs"], expected["inputs"])
        assert all(isinstance(sample, DetDataSample) for sample in found["data_samples"])


def test_with_fewer_copies_keeps_other_classes() -> None:
    for step in ({"type": "Resize", "scale": (8, 8)}, {"type": "pgan.PackReID"}):
        assert with_fewer_copies(step) == step
    assert with_fewer_copies(PACK | {"type": "mmdet.PackDetInputs"})["type"] == "PackImage"
