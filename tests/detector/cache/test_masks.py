"""Masks of boxes: a cell is in the mask where the box overlaps it, whatever the resolution."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from detector.cache.masks import overlap_masks


def literal_mask(box: np.ndarray, size: tuple[int, int], h: int, w: int) -> np.ndarray:
    """Cell by cell: does the open rectangle of the box meet that of the cell?"""
    height, width = size
    x1, y1, x2, y2 = (float(v) for v in box)
    mask = np.zeros((h, w), bool)
    if x1 >= x2 or y1 >= y2:
        return mask
    for r, c in itertools.product(range(h), range(w)):
        top, bottom, left, right = r * height, (r + 1) * height, c * width, (c + 1) * width
        mask[r, c] = y1 * h < bottom and y2 * h > top and x1 * w < right and x2 * w > left
    return mask


@pytest.mark.parametrize(("h", "w"), [(1, 1), (14, 14), (7, 3), (16, 16), (33, 12)])
def test_masks_equal_the_overlap_of_every_cell(h: int, w: int) -> None:
    rng = np.random.default_rng(h)
    size = (120, 97)
    # Quarter pixels are exact in float32, so the literal reference is exact too.
    corners = rng.integers(0, 4 * np.array([97, 120, 97, 120]) + 1, (300, 4)) / 4
    boxes = corners.astype(np.float32)
    boxes[:10] = 0
    masks = overlap_masks(boxes, size, np.arange(h), np.arange(w))
    assert masks.shape == (300, h, w)
    assert masks.dtype == bool
    for box, mask in zip(boxes, masks):
        np.testing.assert_array_equal(mask, literal_mask(box, size, h, w))
    assert not masks[:10].any()


def test_masks_are_the_same_in_torch_with_leading_dimensions() -> None:
    rng = np.random.default_rng(1)
    boxes = rng.random((5, 40, 4)).astype(np.float32) * 224
    ours = overlap_masks(boxes, (224, 224), np.arange(14), np.arange(14))
    theirs = overlap_masks(torch.from_numpy(boxes), (224, 224), torch.arange(14), torch.arange(14))
    assert theirs.dtype == torch.bool
    assert theirs.shape == (5, 40, 14, 14)
    np.testing.assert_array_equal(ours, theirs.numpy())


def test_the_thinnest_box_covers_a_cell_at_any_resolution() -> None:
    size = (211, 333)
    x1 = np.linspace(0, 332.9, 500, dtype=np.float32)
    x1[-1] = np.nextafter(np.float32(333), np.float32(0))
    x1[:400:20] = np.arange(20) * np.float32(333 / 20)
    y1 = np.linspace(0, 210.9, 500, dtype=np.float32)[::-1]
    boxes = np.stack(
        [x1, y1, np.nextafter(x1, np.float32(999)), np.nextafter(y1, np.float32(999))], 1
    )
    for n in range(1, 70):
        masks = overlap_masks(boxes, size, np.arange(n), np.arange(n))
        covered = masks.sum((1, 2))
        assert covered.min() >= 1
        assert covered.max() <= 4


def test_a_box_outside_the_image_covers_nothing() -> None:
    boxes = np.array([[-9, 2, -1, 5], [100, 2, 120, 5], [2, 50, 9, 60], [np.nan] * 4], np.float32)
    assert not overlap_masks(boxes, (50, 100), np.arange(5), np.arange(7)).any()
