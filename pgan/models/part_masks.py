"""Masks of part boxes over the cells of a feature map."""

from __future__ import annotations

import torch
from torch import Tensor

from detector.cache.masks import overlap_masks
from pgan.models.errors import ModelError


def masks_on_map(parts: Tensor, image_size: tuple[int, int], map_size: tuple[int, int]) -> Tensor:
    """Return masks of parts, given as boxes or masks, at the size of a feature map.

    Args:
        parts: (B, D, 4) boxes, as `part_masks` takes them; or (B, D, h, w) bool masks of the whole image,
            from a part cache that holds masks only.
        image_size: Height and width of the network's input in pixels.
        map_size: Height h and width w of the feature map in cells.

    Returns:
        (B, D, h, w) bool.

    Raises:
        ModelError: The masks have another size; without boxes they cannot be resized.
    """
    if parts.ndim == 3:
        return part_masks(parts, image_size, map_size)
    if parts.shape[2:] != torch.Size(map_size):
        have, need = ("x".join(map(str, size)) for size in (parts.shape[2:], map_size))
        raise ModelError(
            f"The part cache has masks of {have} cells and no boxes, the model's map has {need} cells: "
            f"choose an image_size that gives {have}, or use a part cache with boxes."
        )
    return parts


def part_masks(boxes: Tensor, image_size: tuple[int, int], mask_size: tuple[int, int]) -> Tensor:
    """Return masks of part boxes at the size of a feature map (PGAN, Eq. 1).

    Args:
        boxes: (..., 4) float ``x1 y1 x2 y2`` in pixels of the network's input, right and bottom
            exclusive. An empty slot is all zeros.
        image_size: Height and width of the network's input in pixels.
        mask_size: Height h and width w of the feature map in cells.

    Returns:
        (..., h, w) bool on the boxes' device: true where box and cell overlap. An empty slot covers
        no cell.

    >>> part_masks(torch.tensor([[0.0, 0, 16, 16]]), (32, 32), (2, 2)).int().tolist()
    [[[1, 0], [0, 0]]]
    """
    rows, cols = (torch.arange(n, device=boxes.device) for n in mask_size)
    # Half precision cannot represent every pixel of a large input.
    return overlap_masks(boxes.float(), image_size, rows, cols)


def grid_masks(mask_size: tuple[int, int], device: torch.device | str | None = None) -> Tensor:
    """Return masks of single cells, in reading order (PGAN, Table III, 'grid').

    Args:
        mask_size: Height h and width w of the feature map in cells.
        device: Device of the masks.

    Returns:
        (h * w, h, w) bool; mask i covers exactly cell ``(i // w, i % w)``.
    """
    height, width = mask_size
    # onnxruntime has no eye of bool.
    return torch.eye(height * width, device=device).bool().view(-1, height, width)
