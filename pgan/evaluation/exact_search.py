"""Exact search: the nearest gallery images of each query."""

from __future__ import annotations

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
from pgan.evaluation.labels import Labels, SameVehicle
from pgan.evaluation.retrieval import RetrievalResult


def search(
    query: Any, gallery: Any, k: int, labels: Labels | None = None, chunk_size: int = CHUNK_SIZE
) -> RetrievalResult:
    """Find the k nearest gallery images of each query by squared Euclidean distance.

    Of images at the same distance, the one with the lower gallery index comes first.

    Args:
        query: (Q, C) float features, array or tensor.
        gallery: (G, C) float features, array or tensor.
        k: Images per query; slots beyond the gallery stay empty.
        labels: If given, junk images are removed, as in the metrics, and the result has matches.
        chunk_size: Queries compared at a time; bounds the memory, changes no result.

    Raises:
        RankingError: k below 1, or bad features or labels; the message says which.

    Example:
        >>> import numpy as np
        >>> query = np.array([[0.0, 0.0]], dtype=np.float32)
        >>> gallery = np.array([[3, 4], [0, 1], [0, 2]], dtype=np.float32)
        >>> result = search(query, gallery, k=2)
        >>> result.indices.tolist(), result.distances.tolist()
        ([[1, 2]], [[1.0, 4.0]])
    """
    return _search(feature_distances(query, gallery, chunk_size), k, labels)


def search_distances(
    distances: Any, k: int, labels: Labels | None = None, chunk_size: int = CHUNK_SIZE
) -> RetrievalResult:
    """Find the k nearest gallery images of each query in a finished (Q, G) distance matrix.

    Takes the arguments of `search`, with distances in place of features.

    Example:
        >>> from pgan.evaluation import Labels
        >>> labels = Labels([7], [7, 3, 7], query_cameras=[0], gallery_cameras=[0, 1, 1])
        >>> result = search_distances([[0.1, 0.2, 0.3]], k=2, labels=labels)
        >>> result.indices.tolist(), result.matches.tolist()  # image 0 is junk
        ([[1, 2]], [[False, True]])
    """
    return _search(matrix_distances(distances, chunk_size), k, labels)


def nearest(rows: torch.Tensor, k: int) -> tuple[np.ndarray, np.ndarray]:
    """Find the k smallest finite values of each row; equal values are ordered by index.

    Args:
        rows: (B, G) values, on any device.
        k: At least 1.

    Returns:
        (B, k) int64 indices, -1 in empty slots, and (B, k) values, infinite in empty slots.
    """
    limit = rows.topk(min(k, rows.shape[1]), dim=1, largest=False).values[:, -1:]
    row, column = ((rows <= limit) & rows.isfinite()).nonzero(as_tuple=True)
    values = rows[row, column]
    # Rows and columns ascend: two stable sorts order by row, then value, then column.
    order = values.argsort(stable=True)
    order = order[row[order].argsort(stable=True)]
    row_of, column_of, value_of = (x[order].cpu().numpy() for x in (row, column, values))
    place = np.arange(len(row_of)) - np.searchsorted(row_of, row_of)
    kept = place < k
    row_of, place = row_of[kept], place[kept]
    indices = np.full((len(rows), k), -1, dtype=np.int64)
    distances = np.full((len(rows), k), np.inf, dtype=value_of.dtype)
    indices[row_of, place], distances[row_of, place] = column_of[kept], value_of[kept]
    return indices, distances


def nearest_without_junk(
    rows: torch.Tensor, k: int, same: SameVehicle
) -> tuple[np.ndarray, np.ndarray]:
    """Return `nearest` of each row, with junk images removed.

    Args:
        rows: (B, G) distances, on any device; not changed.
        k: At least 1.
        same: The gallery images of the queries' vehicles.
    """
    row, slot = same.junk.nonzero()
    rows = rows.clone()  # it may be the caller's own
    rows[row, same.columns[row, slot]] = torch.inf
    return nearest(rows, k)


def _search(chunks: DistanceChunks, k: int, labels: Labels | None) -> RetrievalResult:
    if k < 1:
        raise RankingError(f"k must be at least 1, got {k}")
    if labels is not None:
        labels.check(chunks.shape)

    def find(start: int, rows: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
        if labels is None:
            return nearest(rows, k)
        return nearest_without_junk(rows, k, labels.same_vehicle(start, start + len(rows)))

    indices, distances = map(np.concatenate, zip(*chunks.map(find)))
    matches = None if labels is None else labels.matches(indices)
    return RetrievalResult(indices, distances, matches)
