"""Distances between query and gallery images, a chunk of queries at a time."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import torch

from pgan.evaluation.errors import RankingError

CHUNK_SIZE = 128

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class DistanceChunks:
    """The (Q, G) distances, a few rows at a time, so that the whole matrix never has to exist.

    Attributes:
        shape: Number of queries and of gallery images.
        device: Device of the distances.
        chunk_size: Rows that exist at a time.
        rows: Returns the distances of the queries from ``start`` up to ``stop`` as a tensor.
    """

    shape: tuple[int, int]
    device: torch.device
    chunk_size: int
    rows: Callable[[int, int], torch.Tensor]

    def __post_init__(self) -> None:
        if self.chunk_size < 1:
            raise RankingError(f"chunk_size must be at least 1, got {self.chunk_size}")

    def map(self, function: Callable[[int, torch.Tensor], T]) -> Iterator[T]:
        """Yield a function's results for the rows, in the order of the queries.

        On the CPU, each chunk is split between as many threads as torch is set to use, and torch uses one
        thread in each of them: so all steps run in parallel, not only those of torch.

        Args:
            function: Called in any thread with the index of the first query and some rows.
        """
        torch_threads = torch.get_num_threads()
        threads = torch_threads if self.device.type == "cpu" else 1
        step = -(-self.chunk_size // threads)
        starts = range(0, self.shape[0], step)

        def run(start: int) -> T:
            return function(start, self.rows(start, min(start + step, self.shape[0])))

        try:
            with ThreadPoolExecutor(
                threads, initializer=torch.set_num_threads, initargs=(1,)
            ) as pool:
                for first in range(0, len(starts), threads):
                    yield from pool.map(run, starts[first : first + threads])
        finally:
            torch.set_num_threads(torch_threads)  # the default of threads that others start


@dataclass(frozen=True)
class Grid:
    """Rounds features so that sums of their products are exact, and so the same on every device.

    Coordinates become multiples of ``step``, about 2^-25 of the longest feature's length. A squared
    distance is then a multiple of ``step``² below 2^53 ``step``², and float64 holds it and every partial
    sum without rounding. It is the same number in any order, with any chunks and threads, on any device,
    and zero between equal features. Float32 distances change by less than their own rounding.
    """

    step: float

    @classmethod
    def of(cls, *features: torch.Tensor) -> Grid:
        """Return the grid for features that are to be compared.

        Raises:
            RankingError: They are so long that float32 cannot hold their distances.
        """
        longest = max(float(squared_lengths(f).max()) for f in features) ** 0.5
        if 4 * longest**2 > torch.finfo(torch.float32).max:
            raise RankingError(
                f"a feature is {longest:.3g} long, too long to compare: L2-normalise the features"
            )
        # Steps change at lengths of 2^(k + 1/4), not at 1, where normalised features would get two steps.
        exponent = math.ceil(math.log2(longest) + 0.75) if longest else 0
        return cls(2.0 ** (exponent - 26))

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Return the features on the grid, float64."""
        rounded = features.to(torch.float64, copy=True)
        return rounded.div_(self.step).round_().mul_(self.step)


def squared_lengths(features: torch.Tensor) -> torch.Tensor:
    """Return (N,) float64 squared lengths, without a second copy of the features."""
    return torch.cat([rows.double().square().sum(1) for rows in features.split(4096)])


def feature_distances(query: Any, gallery: Any, chunk_size: int = CHUNK_SIZE) -> DistanceChunks:
    """Return squared Euclidean distances between features, as float32, on the query's device.

    The numbers are the same on every device and for every chunk size, see `Grid`. They take one float64
    copy of the gallery's features, and 12 bytes per distance of a chunk.

    Args:
        query: (Q, C) float array or tensor.
        gallery: (G, C) float array or tensor.
        chunk_size: Queries in a chunk.

    Raises:
        RankingError: Features are not matrices of finite floats, are empty, or differ in dimensions.

    Example:
        >>> query, gallery = torch.zeros(1, 2), torch.tensor([[3.0, 4.0], [0.0, 1.0]])
        >>> feature_distances(query, gallery).rows(0, 1).tolist()
        [[25.0, 1.0]]
    """
    query, gallery = as_features(query, "query"), as_features(gallery, "gallery")
    if query.shape[1] != gallery.shape[1]:
        raise RankingError(
            f"query features have {query.shape[1]} dimensions, gallery features "
            f"{gallery.shape[1]}: take both from one model"
        )
    grid = Grid.of(query, gallery)
    gallery = grid(gallery.to(query.device))
    gallery_lengths = squared_lengths(gallery)

    def rows(start: int, stop: int) -> torch.Tensor:
        chunk = grid(query[start:stop])
        distances = torch.addmm(gallery_lengths, chunk, gallery.T, alpha=-2)
        return distances.add_(squared_lengths(chunk)[:, None]).float()

    return DistanceChunks((len(query), len(gallery)), query.device, chunk_size, rows)


def matrix_distances(distances: Any, chunk_size: int = CHUNK_SIZE) -> DistanceChunks:
    """Return a finished (Q, G) matrix of any real dtype as chunks.

    Raises:
        RankingError: It is not a matrix, or empty; when a chunk is read: a row has NaN or infinity.

    Example:
        >>> matrix_distances([[1, 2], [3, 4]]).rows(1, 2).tolist()
        [[3.0, 4.0]]
    """
    matrix = _as_tensor(distances)
    if matrix.ndim != 2 or matrix.is_complex() or matrix.numel() == 0:
        raise RankingError(
            "distances must be a matrix of real numbers, queries by gallery, and not empty; got "
            f"shape {tuple(matrix.shape)} of {matrix.dtype}"
        )
    # float32 cannot hold every integer.
    wide = matrix.dtype == torch.float64 or not matrix.is_floating_point()
    dtype = torch.float64 if wide else torch.float32

    def rows(start: int, stop: int) -> torch.Tensor:
        chunk = matrix[start:stop].to(dtype)
        _refuse_non_finite(
            chunk, "distance", start, headroom=4
        )  # so that differences are finite, too
        return chunk

    queries, gallery = matrix.shape
    return DistanceChunks((queries, gallery), matrix.device, chunk_size, rows)


def as_features(values: Any, name: str) -> torch.Tensor:
    """Return a matrix of finite floats as a tensor, without copying it.

    Args:
        values: Array or tensor.
        name: Whose features they are, for the error message.

    Raises:
        RankingError: It is not a matrix of finite floats, or empty.
    """
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


def _refuse_non_finite(
    rows: torch.Tensor, name: str, first_row: int = 0, headroom: int = 1
) -> None:
    # The extremes are a single pass; only a bad matrix is searched for its row.
    if not torch.isfinite(torch.stack(torch.aminmax(rows)) * headroom).all():
        row = first_row + int((~torch.isfinite(rows * headroom)).any(dim=1).nonzero()[0])
        raise RankingError(
            f"{name} row {row} (the first is 0) holds NaN or infinity: has the model diverged?"
        )


def _as_tensor(values: Any) -> torch.Tensor:
    if isinstance(values, torch.Tensor):
        return values.detach()
    try:
        values = np.asarray(values)
        # torch shares the memory of a NumPy array, except a read-only one.
        return torch.from_numpy(values if values.flags.writeable else values.copy())
    except (TypeError, ValueError) as error:
        raise RankingError(f"features and distances must be arrays of numbers: {error}") from error
