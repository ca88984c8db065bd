"""Count how many values of each row are within bounds: the inner loop of the ranking, exact, unsorted."""

from __future__ import annotations

import numpy as np
import torch

_MOST_CELLS = 8192  # a row's counts, 64 KiB, stay in the CPU caches next to its values
_BLOCK_VALUES = (
    1 << 18
)  # at a time: enough to hide the cost of NumPy calls, few enough for the caches
_BLOCK_ROWS = 1024  # float32 can number all their cells exactly


def count_within(rows: torch.Tensor, bounds: torch.Tensor) -> np.ndarray:
    """Count how many values of each row are <= each of its bounds, on the device of the values.

    Args:
        rows: (B, G) finite values.
        bounds: (B, M) finite values of the same dtype, on the CPU, ascending in each row, M at least 1.

    Returns:
        (B, M) int64.

    Example:
        >>> rows, bounds = torch.tensor([[0.3, 0.1, 0.2]]), torch.tensor([[0.15, 0.3]])
        >>> count_within(rows, bounds).tolist()
        [[1, 3]]
    """
    if rows.device.type != "cpu":
        return count_by_sorting(rows, bounds.to(rows.device)).cpu().numpy()
    step = min(_BLOCK_ROWS, max(1, _BLOCK_VALUES // rows.shape[1]))
    blocks = zip(rows.split(step), bounds.split(step))
    return np.concatenate([count_by_cells(r.numpy(), b.numpy()) for r, b in blocks])


def count_by_sorting(rows: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    """Count by bisection in each sorted row: fast on a GPU, where sorting is fast."""
    return torch.searchsorted(rows.sort(dim=1).values, bounds.contiguous(), right=True)


def count_by_cells(rows: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Count without sorting.

    Values are counted into cells that span the bounds of their row. Rounding keeps the order, so only the
    few values that share a cell with a bound have to be compared with it.
    """
    if bounds.shape[1] == 1:
        return np.count_nonzero(rows <= bounds, axis=1)[:, None]
    cell_of = _CellOf(bounds, min(_MOST_CELLS, rows.shape[1]))
    # torch counts and looks up 32-bit cells; NumPy would make 64-bit copies.
    cells, bound_cells = torch.from_numpy(cell_of(rows).reshape(-1)), cell_of(bounds)
    counts = torch.bincount(cells, minlength=cell_of.total).numpy()
    counts[bound_cells] = 0
    edges = np.concatenate([cell_of.first.astype(np.int32), bound_cells], axis=1)
    below = np.add.reduceat(counts, edges.reshape(-1)).reshape(edges.shape)[:, :-1]

    shared = np.zeros(cell_of.total, dtype=bool)
    shared[bound_cells] = True
    hits = torch.from_numpy(shared).index_select(0, cells).numpy().nonzero()[0]
    return below.cumsum(axis=1) + _count_few(rows, hits, bounds)


def _count_few(rows: np.ndarray, hits: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """Count how many of the values at flat, ascending indices are <= each bound of their row."""
    row = hits // rows.shape[1]
    place = np.arange(len(hits)) - np.searchsorted(row, np.arange(len(rows)))[row]
    few = np.full((len(rows), place.max(initial=0) + 1), np.inf, dtype=rows.dtype)
    few[row, place] = rows.reshape(-1)[hits]
    few.sort(axis=1)
    return torch.searchsorted(torch.from_numpy(few), torch.from_numpy(bounds), right=True).numpy()


class _CellOf:
    """Maps values to cells, in ascending order.

    Each row has cells of its own, numbered after those of the previous row: one for values below its
    bounds, ``cells`` + 1 for its bounds and the values between them, one for values above them.
    """

    def __init__(self, bounds: np.ndarray, cells: int) -> None:
        dtype = bounds.dtype.type
        self.total = len(bounds) * (cells + 3)
        self.origin = bounds[:, :1]
        with np.errstate(over="ignore", divide="ignore"):  # bounds may be adjacent numbers
            scale = dtype(cells) / (bounds[:, -1:] - self.origin)
        self.scale = np.minimum(scale, np.finfo(dtype).max)
        self.first = np.arange(0, self.total, cells + 3, dtype=dtype)[:, None]
        self.last = self.first + dtype(cells + 2)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            cells = values - self.origin
            cells *= self.scale
            cells += self.first + cells.dtype.type(1)
        return np.clip(cells, self.first, self.last, out=cells).astype(np.int32)
