"""The result of a ranking: what search returns, and what metrics, panels, pages and the gallery share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np

from pgan.evaluation.errors import RankingError

EMPTY = -1  # index of a slot that no image fills


@dataclass(frozen=True, eq=False)
class RetrievalResult:
    """The first k gallery images of each query, nearest first.

    A row with fewer than k images ends in empty slots: index -1, distance infinite, no match.

    Attributes:
        indices: (Q, k) int64, rows of the gallery.
        distances: (Q, k) float32 or float64. Ascending, unless the images were re-ranked.
        matches: (Q, k) bool, whether the image shows the query's vehicle; None where that is unknown.
        reranked: (Q, k) float, the distances by which the first images of a row were re-ranked,
            ascending; NaN for the images behind them, which keep the order of ``distances``. None
            without re-ranking.

    Raises:
        RankingError: The arrays differ in shape or have the wrong dtype; a row is out of order, has an
            image twice, or an empty slot before an image.

    Example:
        >>> import numpy as np
        >>> result = RetrievalResult(
        ...     indices=np.array([[4, 0, 2], [1, -1, -1]]),
        ...     distances=np.array([[0.1, 0.3, 0.9], [0.2, np.inf, np.inf]]),
        ...     matches=np.array([[False, True, True], [False, False, False]]),
        ... )
        >>> len(result), result.k, result.counts.tolist()
        (2, 3, [3, 1])
        >>> result.first_match.tolist()
        [2, 0]
        >>> result.query(1).indices.tolist()
        [[1]]
    """

    indices: np.ndarray
    distances: np.ndarray
    matches: np.ndarray | None = None
    reranked: np.ndarray | None = None

    def __post_init__(self) -> None:
        self._check_arrays()
        self._check_order()

    def __len__(self) -> int:
        """Return Q, the number of queries."""
        return len(self.indices)

    @property
    def k(self) -> int:
        """Slots per query."""
        return int(self.indices.shape[1])

    @property
    def filled(self) -> np.ndarray:
        """(Q, k) bool: the slot holds an image."""
        return self.indices != EMPTY

    @property
    def counts(self) -> np.ndarray:
        """(Q,) int64, images per query."""
        return self.filled.sum(axis=1, dtype=np.int64)

    @property
    def first_match(self) -> np.ndarray:
        """(Q,) int64, rank of the first match among the k, from 1; 0 where there is none among them.

        Raises:
            RankingError: The matches are unknown.
        """
        if self.matches is None:
            raise RankingError("which images are matches is unknown: search with labels")
        first = self.matches.argmax(axis=1) if self.k else np.zeros(len(self), np.int64)
        return np.where(self.matches.any(axis=1), first + 1, 0)

    def take(self, queries: Sequence[int] | np.ndarray) -> RetrievalResult:
        """Return the results of some queries, by index or as a mask, in that order."""
        rows = np.asarray(queries)
        return self._sliced(rows if rows.dtype == bool else rows.astype(np.int64))

    def truncate(self, k: int) -> RetrievalResult:
        """Return the first k images of each query.

        Raises:
            RankingError: k below 0.
        """
        if k < 0:
            raise RankingError(f"a result is truncated to 0 images or more, not {k}")
        return self._sliced((slice(None), slice(k)))

    def query(self, index: int) -> RetrievalResult:
        """Return the result of one query, without empty slots: its arrays are (1, n)."""
        return self.take([index]).truncate(int(self.counts[index]))

    @classmethod
    def from_rows(
        cls,
        indices: Sequence[Sequence[int] | np.ndarray],
        distances: Sequence[Sequence[float] | np.ndarray],
        matches: Sequence[Sequence[bool] | np.ndarray] | None = None,
        reranked: Sequence[Sequence[float] | np.ndarray] | None = None,
        dtype: type[np.floating] = np.float32,
    ) -> RetrievalResult:
        """Build a result from one sequence per query; shorter ones are padded with empty slots.

        Args:
            indices: Rows of the gallery.
            distances: Their distances.
            matches: Whether they show the query's vehicle.
            reranked: The re-ranked distances of the first of them.
            dtype: Data type of the distances.

        Raises:
            RankingError: A query's sequences differ in length, or one of the class's rules is broken.

        Example:
            >>> result = RetrievalResult.from_rows([[4, 0], [1]], [[0.25, 0.5], [0.125]])
            >>> result.indices.tolist(), result.distances.tolist()
            ([[4, 0], [1, -1]], [[0.25, 0.5], [0.125, inf]])
        """
        lengths = [len(row) for row in indices]
        pairs = [("distances", distances), ("matches", matches)]
        for name, rows in pairs:
            if rows is not None and [len(row) for row in rows] != lengths:
                raise RankingError(f"indices and {name} differ in length")
        shape = len(lengths), max(lengths, default=0)
        return cls(
            _padded(indices, shape, EMPTY, np.int64),
            _padded(distances, shape, np.inf, dtype),
            None if matches is None else _padded(matches, shape, False, np.bool_),
            None if reranked is None else _padded(reranked, shape, np.nan, dtype),
        )

    @classmethod
    def concatenate(cls, results: Sequence[RetrievalResult]) -> RetrievalResult:
        """Join results of the same kind and k, one or more, query by query."""
        columns: dict[str, Any] = {
            field.name: [getattr(part, field.name) for part in results] for field in fields(cls)
        }
        return cls(**{name: np.concatenate(c) for name, c in columns.items() if c[0] is not None})

    def _sliced(self, key: np.ndarray | tuple[slice, slice]) -> RetrievalResult:
        arrays = {name: array[key] for name, array in vars(self).items() if array is not None}
        return replace(self, **arrays)

    def _check_arrays(self) -> None:
        shape = self.indices.shape
        if self.indices.ndim != 2 or not np.issubdtype(self.indices.dtype, np.integer):
            raise RankingError(
                f"indices must be a matrix of integers, got shape {shape} of {self.indices.dtype}"
            )
        kinds = {"distances": np.floating, "matches": np.bool_, "reranked": np.floating}
        for name, kind in kinds.items():
            array = getattr(self, name)
            if array is None:
                continue
            if array.shape != shape or not np.issubdtype(array.dtype, kind):
                raise RankingError(
                    f"{name} must be {kind.__name__} of the indices' shape {shape}, got shape "
                    f"{array.shape} of {array.dtype}"
                )

    def _check_order(self) -> None:
        if not self.indices.size:
            return
        filled = self.filled
        unique = np.sort(np.where(filled, self.indices, -1 - np.arange(self.k)), axis=1)
        ordered = [self.distances] if self.reranked is None else self._reranked_order(self.reranked)
        faults = {
            "has an index below -1": (self.indices < EMPTY).any(axis=1),
            "has an empty slot before an image": (filled[:, 1:] > filled[:, :-1]).any(axis=1),
            "has an image twice": (unique[:, 1:] == unique[:, :-1]).any(axis=1),
            "has a distance that is not finite, or one in an empty slot": (
                np.where(filled, ~np.isfinite(self.distances), self.distances != np.inf).any(axis=1)
            ),
            "is not in the order of its distances": np.logical_or.reduce(
                [(values[:, 1:] < values[:, :-1]).any(axis=1) for values in ordered]
            ),
        }
        if self.matches is not None:
            faults["has a match in an empty slot"] = (self.matches & ~filled).any(axis=1)
        for fault, rows in faults.items():
            if rows.any():
                raise RankingError(f"the result of query {int(rows.argmax())} {fault}")

    def _reranked_order(self, reranked: np.ndarray) -> list[np.ndarray]:
        """Two matrices that must ascend along each row: first the re-ranked images, then the others."""
        behind = np.isnan(reranked)
        return [
            np.where(behind, np.inf, reranked),
            np.where(behind, self.distances, -np.inf),
        ]


def _padded(
    rows: Sequence[Sequence[float] | np.ndarray],
    shape: tuple[int, int],
    empty: float,
    dtype: type[np.generic],
) -> np.ndarray:
    padded = np.full(shape, empty, dtype)
    for row, values in zip(padded, rows):
        row[: len(values)] = values
    return padded
