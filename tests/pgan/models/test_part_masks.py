from fractions import Fraction

import pytest
import torch

from pgan.models.errors import ModelError
from pgan.models.part_masks import grid_masks, masks_on_map, part_masks


def quarter_boxes(count: int, height: int, width: int) -> torch.Tensor:
    """Boxes with exact binary coordinates, some of them empty or with swapped corners."""
    x = torch.randint(0, 4 * width + 1, (count, 2)) / 4
    y = torch.randint(0, 4 * height + 1, (count, 2)) / 4
    boxes = torch.stack([x[:, 0], y[:, 0], x[:, 1], y[:, 1]], -1)
    ordered = torch.cat([torch.minimum(boxes[:, :2], boxes[:, 2:]), boxes.flip(0)[:, 2:]], -1)
    return torch.cat([boxes, ordered, torch.zeros(1, 4)])


@pytest.mark.parametrize(
    ("image", "cells"), [((64, 96), (4, 6)), ((50, 30), (7, 7)), ((8, 8), (16, 3))]
)
def test_part_masks_sets_cell_iff_box_overlaps_it(image, cells):
    boxes = quarter_boxes(60, *image)
    masks = part_masks(boxes, image, cells)
    assert masks.dtype == torch.bool
    high, wide = Fraction(image[0], cells[0]), Fraction(image[1], cells[1])
    for box, mask in zip(boxes.tolist(), masks):
        x1, y1, x2, y2 = map(Fraction, box)
        for row in range(cells[0]):
            for col in range(cells[1]):
                overlap = (
                    min(x2, (col + 1) * wide) > max(x1, col * wide)
                    and min(y2, (row + 1) * high) > max(y1, row * high)
                    and x1 < x2
                    and y1 < y2
                )
                assert mask[row, col] == overlap, (box, row, col)


def test_part_masks_of_flipped_boxes_are_flipped():
    boxes = quarter_boxes(100, 64, 64)
    flipped = boxes.clone()
    flipped[:, 0], flipped[:, 2] = 64 - boxes[:, 2], 64 - boxes[:, 0]
    boxes[-1] = flipped[-1] = 0
    expected = part_masks(boxes, (64, 64), (14, 14)).flip(-1)
    assert torch.equal(part_masks(flipped, (64, 64), (14, 14)), expected)


def test_part_masks_covers_tiny_box_and_keeps_leading_dimensions():
    boxes = torch.tensor([[[223.9, 223.9, 224, 224], [0, 0, 0.01, 0.01]]]).expand(3, -1, -1)
    for size in (1, 7, 14, 56, 500):
        masks = part_masks(boxes, (224, 224), (size, size))
        assert masks.shape == (3, 2, size, size)
        assert masks.flatten(2).sum(-1).eq(1).all()
        assert masks[:, 0, -1, -1].all()
        assert masks[:, 1, 0, 0].all()


def test_grid_masks_makes_every_cell_a_part():
    masks = grid_masks((2, 3))
    assert masks.shape == (6, 2, 3)
    for part, mask in enumerate(masks):
        assert mask.nonzero().tolist() == [[part // 3, part % 3]]


def test_masks_on_map_refuses_masks_of_another_size():
    masks = torch.rand(2, 3, 14, 14) < 0.5
    assert masks_on_map(masks, (224, 224), (14, 14)) is masks
    with pytest.raises(
        ModelError, match=r"masks of 14x14 cells and no boxes.* map has 16x12 cells"
    ):
        masks_on_map(masks, (256, 192), (16, 12))
    boxes = quarter_boxes(6, 64, 64)[None]
    assert torch.equal(masks_on_map(boxes, (64, 64), (5, 5)), part_masks(boxes, (64, 64), (5, 5)))
