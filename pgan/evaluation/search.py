"""Exact search: the nearest gallery images of each query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pgan.evaluation.distances import (
    CHUNK_SIZE,
    DistanceChunks,
    feature_distances,
    matrix_distances,
)
from pgan.evaluation.errors import RankingError
from pgan.evaluation.labels import Labels


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The nearest gallery images of each query, nearest first; a slot left empty is -1, at infinity.

    Attributes:
        indices: (Q, k) int64 index into the gallery.
        distances: (Q, k) distances, float32 or float64 as they were searched.
    """

    indices: np.ndarray
    distances: np.ndarray


def search(
    query: Any, gallery: Any, k: int, labels: Labels | None = None, chunk_size: int = CHUNK_SIZE
) -> SearchResult:
    """The k nearest gallery images of each query, by squared Euclidean distance.

    Of images at one distance, the one with the lower gallery index comes first.

    Args:
        query: (Q, C) float features, array or tensor.
        gallery: (G, C) likewise.
        k: How many; slots beyond the gallery stay empty.
        labels: Given, junk is left out, as in the metrics.
        chunk_size: Queries compared at a time.

    Raises:
        RankingError: Bad input, named.
    """
    return _search(feature_distances(query, gallery, chunk_size), k, labels)


def search_distances(
    distances: Any, k: int, labels: Labels | None = None, chunk_size: int = CHUNK_SIZE
) -> SearchResult:
    """The k nearest gallery images by a finished (Q, G) distance matrix; see :func:`search`."""
    return _search(matrix_distances(distances, chunk_size), k, labels)


def nearest(rows: torch.Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """The k smallest finite values of each row, ties by index.

    Args:
        rows: (B, G) values, on any device.
        k: At least 1.

    Returns:
        (B, k) int64 indices, -1 in slots left empty, and (B, k) values, there infinite.
    """
    limit = rows.topk(min(k, rows.shape[1]), dim=1, largest=False).values[:, -1:]
    row, column = ((rows <= limit) & rows.isfinite()).nonzero(as_tuple=True)
    values = rows[row, column]
    # Rows and columns ascend: two stable sorts order by row, then value, then column.
    order = values.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    row, column, values = (x[order].cpu().numpy() for x in (row, column, values))
    place = np.arange(len(row)) - np.searchsorted(row, row)
    kept = place < k
    row, place = row[kept], place[kept]
    indices = np.full((len(rows), k), -1, dtype=np.int64)
    distances = np.full((len(rows), k), np.inf, dtype=values.dtype)
    indices[row, place], distances[row, place] = column[kept], values[kept]
    return indices, distances


def _search(chunks: DistanceChunks, k: int, labels: Labels | None) -> SearchResult:
    if k < 1:
        raise RankingError(f"k must be at least 1, got {k}")
    if labels is not None:
        labels.check(chunks.shape)

    def find(start: int, rows: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        if labels is not None:
            same = labels.same_vehicle(start, start + len(rows))
            row, slot = same.junk.nonzero()
            rows = rows.clone()  # it may be the caller's own
            rows[row, same.columns[row, slot]] = torch.inf
        return nearest(rows, k)

    return SearchResult(*map(np.concatenate, zip(*chunks.map(find))))
