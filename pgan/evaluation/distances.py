"""Distances between query and gallery images, a chunk of queries at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

CHUNK_SIZE = 128

# Distances are rounded to this share of the squared norms: far above the error of a float64 sum,
# far below what tells two images apart. So equal features are equally far, in whatever order the
# products were summed.
_GRID = 2.0**-40


class RankingError(ValueError):
    """Features, distances or labels that cannot be ranked."""


@dataclass(frozen=True, eq=False)
class DistanceChunks:
    """The (Q, G) distances as a stream of chunks, so that the whole matrix need never exist.

    Iterating yields the index of a chunk's first query, and its rows: (at most chunk_size, G) numpy.

    Attributes:
        shape: Queries, gallery images.
        dtype: Of the distances, float32 or float64.
        chunk_size: Queries in a chunk.
        rows: Distances of the queries from ``start`` to ``stop``, exclusive.
    """

    shape: tuple[int, int]
    dtype: np.dtype
    chunk_size: int
    rows: Callable[[int, int], np.ndarray]

    def __post_init__(self) -> None:
        if self.chunk_size < 1:
            raise RankingError(f"chunk_size must be at least 1, got {self.chunk_size}")

    def __iter__(self) -> Iterator[tuple[int, np.ndarray]]:
        for start in range(0, self.shape[0], self.chunk_size):
            yield start, self.rows(start, min(start + self.chunk_size, self.shape[0]))


def feature_distances(query: Any, gallery: Any, chunk_size: int = CHUNK_SIZE) -> DistanceChunks:
    """Squared Euclidean distances between features, as float32.

    Products are summed in float64 on the features' own device, so that neither TF32 nor
    cancellation decides a rank. Memory: one float64 copy of the gallery's features, and a few
    arrays of chunk_size rows by gallery.

    Args:
        query: (Q, C) float array or tensor.
        gallery: (G, C) float array or tensor.
        chunk_size: Queries in a chunk.

    Raises:
        RankingError: Not matrices of floats, empty, NaN or infinite, of different dimensions.
    """
    query, gallery = _as_features(query, "query"), _as_features(gallery, "gallery")
    if query.shape[1] != gallery.shape[1]:
        raise RankingError(
            f"query features have {query.shape[1]} dimensions, gallery features "
            f"{gallery.shape[1]}: take both from one model"
        )
    gallery = gallery.to(query.device, torch.float64)
    gallery_norms = gallery.square().sum(1)
    smallest = torch.finfo(torch.float64).tiny

    def rows(start: int, stop: int) -> np.ndarray:
        chunk = query[start:stop].double()
        norms = chunk.square().sum(1, keepdim=True)
        distances = torch.addmm(norms + gallery_norms, chunk, gallery.T, alpha=-2)
        grid = ((norms + gallery_norms.max()) * _GRID).clamp_min_(smallest)
        distances = distances.div_(grid).round_().mul_(grid).clamp_min_(0)
        return distances.float().cpu().numpy()

    return DistanceChunks((len(query), len(gallery)), np.dtype(np.float32), chunk_size, rows)


def matrix_distances(distances: Any, chunk_size: int = CHUNK_SIZE) -> DistanceChunks:
    """A finished (Q, G) matrix of any real dtype as the same stream.

    Raises:
        RankingError: Not a matrix, or empty; when a chunk is read: a row with NaN or infinity.
    """
    matrix = _as_tensor(distances)
    if matrix.ndim != 2 or matrix.is_complex() or matrix.numel() == 0:
        raise RankingError(
            "distances must be a matrix of real numbers, queries by gallery, and not empty; got "
            f"shape {tuple(matrix.shape)} of {matrix.dtype}"
        )
    # float32 cannot hold every integer; numpy has no bfloat16.
    wide = matrix.dtype == torch.float64 or not matrix.is_floating_point()
    dtype = torch.float64 if wide else torch.float32

    def rows(start: int, stop: int) -> np.ndarray:
        chunk = matrix[start:stop].to(dtype)
        _refuse_non_finite(chunk, "distance", start)
        return chunk.cpu().numpy()

    kind = np.dtype(np.float64 if wide else np.float32)
    return DistanceChunks(tuple(matrix.shape), kind, chunk_size, rows)


def _as_features(values: Any, name: str) -> torch.Tensor:
    tensor = _as_tensor(values)
    if tensor.ndim != 2 or not tensor.is_floating_point():
        raise RankingError(
            f"{name} features must be a matrix of floats, one row per image; got shape "
            f"{tuple(tensor.shape)} of {tensor.dtype}"
        )
    if tensor.numel() == 0:
        raise RankingError(f"there are no {name} features: their shape is {tuple(tensor.shape)}")
    _refuse_non_finite(tensor, f"{name} feature")
    return tensor


def _refuse_non_finite(rows: torch.Tensor, name: str, first_row: int = 0) -> None:
    # The extremes are a single pass; only a bad matrix is searched for its row.
    if not torch.isfinite(torch.stack(torch.aminmax(rows))).all():
        row = first_row + int((~torch.isfinite(rows)).any(dim=1).nonzero()[0])
        raise RankingError(
            f"{name} row {row} (the first is 0) holds NaN or infinity: has the model diverged?"
        )


def _as_tensor(values: Any) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach()
    try:
        values = np.asarray(values)
        # torch shares the memory of a numpy array, but not of a read-only one.
        return torch.from_numpy(values if values.flags.writeable else values.copy())
    except (TypeError, ValueError) as error:
        raise RankingError(f"features and distances must be arrays of numbers: {error}") from error
