"""How many of each row's values lie within bounds: the inner loop of the ranking, exact and unsorted."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from types import TracebackType

import numpy as np
import torch

_MOST_CELLS = 8192  # a row's counts, 64 KiB, stay in the caches next to its values
_BLOCK_VALUES = 1 << 18  # at a time: enough to hide numpy's calls, few enough for the caches
_BLOCK_ROWS = 1024  # all their cells are numbered by float32 without gaps


class RowCounter:
    """Counts on the values' own device; on the CPU in as many threads as torch is set to use.

    A context manager: leaving it ends the threads.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(torch.get_num_threads())

    def __enter__(self) -> RowCounter:
        return self

    def __exit__(
        self, kind: type | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown()

    def count(self, rows: torch.Tensor, bounds: torch.Tensor) -> np.ndarray:
        """How many values of each row are <= each of its bounds.

        Args:
            rows: (B, G) finite values, on any device.
            bounds: (B, M) likewise, of the same dtype, ascending in each row, M at least 1.

        Returns:
            (B, M) int64.
        """
        if rows.device.type != "cpu":
            return count_by_sorting(rows, bounds).cpu().numpy()
        values, limits = rows.numpy(), bounds.numpy()
        step = min(_BLOCK_ROWS, max(1, _BLOCK_VALUES // rows.shape[1]))
        blocks = [slice(start, start + step) for start in range(0, len(rows), step)]
        counts = self._pool.map(lambda block: count_by_cells(values[block], limits[block]), blocks)
        return np.concatenate(list(counts))


def count_by_sorting(rows: torch.Tensor, bounds: torch.Tensor) -> torch.Tensor:
    """The count by bisection in each sorted row: fast where sorting is, on a GPU."""
    return torch.searchsorted(rows.sort(dim=1).values, bounds.contiguous(), right=True)


def count_by_cells(rows: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """The count without sorting.

    Values are counted into cells that span their row's bounds. Rounding keeps the order, so only the
    few values that share a cell with a bound have to be compared with it.
    """
    if bounds.shape[1] == 1:
        return np.count_nonzero(rows <= bounds, axis=1)[:, None]
    cell_of = _CellOf(bounds, min(_MOST_CELLS, rows.shape[1]))
    cells, bound_cells = cell_of(rows).reshape(-1), cell_of(bounds)
    counts = np.bincount(cells, minlength=cell_of.total)
    counts[bound_cells] = 0
    edges = np.concatenate([cell_of.first.astype(np.intp), bound_cells], axis=1)
    below = np.add.reduceat(counts, edges.reshape(-1)).reshape(edges.shape)[:, :-1]

    shared = np.zeros(cell_of.total, dtype=bool)
    shared[bound_cells] = True
    hits = shared.take(cells).nonzero()[0]
    compared = np.bincount(_first_bound(rows, bounds, hits), minlength=bounds.size)
    return below.cumsum(axis=1) + compared.reshape(bounds.shape).cumsum(axis=1)


class _CellOf:
    """The cell of a value, ascending with it.

    Each row has cells of its own, after those of the row before: one for what lies before its bounds,
    ``cells`` and one for its bounds and what lies between, one for what lies after them.
    """

    def __init__(self, bounds: np.ndarray, cells: int) -> None:
        dtype = bounds.dtype.type
        self.total = len(bounds) * (cells + 3)
        self.origin = bounds[:, :1]
        with np.errstate(over="ignore", divide="ignore"):  # bounds may be as near as numbers can be
            scale = dtype(cells) / (bounds[:, -1:] - self.origin)
        self.scale = np.minimum(scale, np.finfo(dtype).max)
        self.first = np.arange(0, self.total, cells + 3, dtype=dtype)[:, None]
        self.last = self.first + dtype(cells + 2)

    def __call__(self, values: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore"):
            cells = values - self.origin
            cells *= self.scale
            cells += self.first + cells.dtype.type(1)
        return np.clip(cells, self.first, self.last, out=cells).astype(np.intp)


def _first_bound(rows: np.ndarray, bounds: np.ndarray, hits: np.ndarray) -> np.ndarray:
    """Flat index of the first bound in its row that is not below each hit; hits beyond all are left out."""
    row_of = hits // rows.shape[1]
    # Complex numbers are ordered by real part, then imaginary part: by row, then value.
    keys, sequence = np.empty(len(hits), complex), np.empty(bounds.shape, complex)
    keys.real, keys.imag = row_of, rows.reshape(-1)[hits]
    sequence.real, sequence.imag = np.arange(len(bounds))[:, None], bounds
    first = sequence.reshape(-1).searchsorted(keys)
    return first[first < (row_of + 1) * bounds.shape[1]]
