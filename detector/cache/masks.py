"""Convert part boxes to masks over the cells of a feature map of any size."""

from __future__ import annotations

from typing import Any


def overlap_masks(
    boxes: Any, image_size: tuple[float, float], cell_rows: Any, cell_cols: Any
) -> Any:
    """Convert boxes to masks over the cells of a feature map: True iff box and cell overlap.

    It accepts NumPy arrays and torch tensors on any device.

    Args:
        boxes: (..., 4) float ``x1 y1 x2 y2`` in pixels of the image, right and bottom exclusive.
        image_size: Height and width of the image in the same pixels.
        cell_rows: ``arange(h)`` for a map of h rows, of the boxes' library and device; in NumPy the boxes'
            dtype is faster.
        cell_cols: ``arange(w)`` for a map of w columns.

    Returns:
        (..., h, w) bool. A box of positive area inside the image covers at least one cell at any
        resolution; a box of zero or negative area, as in an empty slot, covers none.

    >>> import numpy as np
    >>> boxes = np.array([[0.0, 0, 10, 10]])
    >>> overlap_masks(boxes, (20, 20), np.arange(2), np.arange(2)).astype(int).tolist()
    [[[1, 0], [0, 0]]]
    """
    height, width = image_size
    x1, y1, x2, y2 = (boxes[..., i, None] for i in range(4))
    rows = _overlap(y1, y2, height, cell_rows)
    cols = _overlap(x1, x2, width, cell_cols)
    return rows[..., :, None] & cols[..., None, :]


def _overlap(low: Any, high: Any, length: float, cells: Any) -> Any:
    """Return which cells, each ``length / n`` long, overlap the interval [low, high)."""
    count = cells.shape[0]
    # Scaled so that cell c is [c, c + 1) * length: whole numbers, compared without a division.
    start, end, edges = low * count, high * count, cells * length
    starts_before_end = (start < edges + length) | (cells == count - 1)
    # `start >= edges` keeps the first cell when rounding has made start equal to end.
    ends_after_start = (end > edges) | (start >= edges)
    is_in_image = (low < high) & (low < length) & (high > 0)  # one value a box, not one a cell
    return starts_before_end & ends_after_start & is_in_image
