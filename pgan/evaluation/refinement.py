"""Refinement of features or distances before they are ranked: query expansion and re-ranking."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from scipy import sparse

from pgan.evaluation.distances import (
    CHUNK_SIZE,
    DistanceChunks,
    Grid,
    as_features,
    feature_distances,
)
from pgan.evaluation.errors import RankingError
from pgan.evaluation.exact_search import nearest, search


@dataclass(frozen=True)
class Refinement:
    """The refinement between features and ranking; by default there is none.

    Attributes:
        expand_queries: K of the function `expand_queries`, which is applied first; 0 for none.
        rerank: Whether to re-rank with `KReciprocal`.
        k1: Neighbours for reciprocity.
        k2: Neighbours for the local query expansion of re-ranking; 1 for none.
        weight: Weight of the original distance in the re-ranked one, the paper's λ.

    Raises:
        RankingError: A value is out of range.

    Example:
        >>> str(Refinement(rerank=True))
        'k-reciprocal (k1=20, k2=6, lambda=0.3)'
        >>> str(Refinement())
        'none'
    """

    expand_queries: int = 0
    rerank: bool = False
    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def __post_init__(self) -> None:
        if self.expand_queries < 0:
            raise RankingError(
                f"queries are expanded by 0 or more images, not {self.expand_queries}"
            )
        if min(self.k1, self.k2) < 1 or not 0 <= self.weight <= 1:
            raise RankingError(
                "re-ranking needs k1 and k2 of at least 1 and lambda from 0 to 1; got "
                f"k1={self.k1}, k2={self.k2}, lambda={self.weight}"
            )

    def __str__(self) -> str:
        expansion = f"average query expansion (K={self.expand_queries})"
        rerank = f"k-reciprocal (k1={self.k1}, k2={self.k2}, lambda={self.weight})"
        steps = [expansion] * bool(self.expand_queries) + [rerank] * self.rerank
        return ", then ".join(steps) or "none"


def expand_queries(query: Any, gallery: Any, k: int, chunk_size: int = CHUNK_SIZE) -> np.ndarray:
    """Expand queries by averaging (Chum et al., "Total Recall", ICCV 2007).

    A query becomes the mean of itself and its k nearest gallery images, scaled back to its own length.
    Labels are not used, so junk is among those images: in VeRi-776, the query itself.

    Args:
        query: (Q, C) float features, array or tensor.
        gallery: (G, C) float features, array or tensor.
        k: At least 1; if the gallery is smaller, all its images are used.
        chunk_size: Queries expanded at a time.

    Returns:
        (Q, C) float32.

    Example:
        >>> query = np.array([[1.0, 0.0]], dtype=np.float32)
        >>> gallery = np.array([[0, 1], [-1, 0]], dtype=np.float32)
        >>> expand_queries(query, gallery, k=1).astype(float).round(3).tolist()
        [[0.707, 0.707]]
    """
    found = search(query, gallery, min(k, len(gallery)), chunk_size=chunk_size).indices
    query, gallery = (as_features(f, "query").cpu().numpy() for f in (query, gallery))
    expanded = np.empty(query.shape, np.float32)
    for start in range(0, len(query), chunk_size):
        chunk = query[start : start + chunk_size].astype(np.float64)
        mean = chunk + gallery[found[start : start + chunk_size]].sum(axis=1, dtype=np.float64)
        lengths = np.linalg.norm(mean, axis=1, keepdims=True)
        lengths[lengths == 0] = 1
        expanded[start : start + chunk_size] = (
            mean / lengths * np.linalg.norm(chunk, axis=1, keepdims=True)
        )
    return expanded


class KReciprocal:
    """Re-ranking with k-reciprocal encoding (Zhong et al., CVPR 2017), without the matrix of all distances.

    Only the nearest neighbours of each image are kept, and its encoding as a sparse row. As in the authors'
    release, an image is its own first neighbour; squared distances are divided by the image's greatest;
    the half-size set of a neighbour is added if strictly more than two thirds of it are shared.

    One encoding serves every division of the same images into queries and gallery.

    Args:
        features: (N, C) features of queries and gallery together, array or tensor. Distances are computed
            on their device, everything else on the CPU.
        k1: Neighbours for reciprocity.
        k2: Neighbours for the local query expansion; 1 for none.
        weight: Weight of the original distance in the final one, the paper's λ.
        chunk_size: Images compared at a time.
        advance: Called after each chunk with the number of images in it.

    Example:
        >>> features = np.array([[0, 0], [0, 1], [1, 0], [9, 9]], dtype=np.float32)
        >>> encoding = KReciprocal(features, k1=2, k2=1)
        >>> distances = encoding.distances(np.array([0]), np.array([1, 2, 3])).rows(0, 1)[0]
        >>> distances.argsort(stable=True).tolist()
        [0, 1, 2]
    """

    def __init__(
        self,
        features: Any,
        k1: int = 20,
        k2: int = 6,
        weight: float = 0.3,
        chunk_size: int = CHUNK_SIZE,
        advance: Callable[[int], object] = lambda images: None,
    ) -> None:
        self.features = as_features(features, "image")
        self.weight = weight
        neighbours, self.farthest = self._neighbours(max(k1 + 1, k2), chunk_size, advance)
        expansions = _expansions(neighbours, k1, chunk_size)
        self.encodings = self._encode(expansions, chunk_size)
        if k2 > 1:
            self.encodings = _mean_of_rows(self.encodings, neighbours[:, :k2])

    def distances(
        self, query_rows: np.ndarray, gallery_rows: np.ndarray, chunk_size: int = CHUNK_SIZE
    ) -> DistanceChunks:
        """Return the re-ranked distances, from 0 to 1, float32 on the CPU.

        Args:
            query_rows: (Q,) rows of the features.
            gallery_rows: (G,) rows of the features.
            chunk_size: Queries in a chunk.
        """
        original = feature_distances(
            self.features[query_rows], self.features[gallery_rows], chunk_size
        )
        by_column = self.encodings[gallery_rows].tocsc()

        def rows(start: int, stop: int) -> torch.Tensor:
            chunk = query_rows[start:stop]
            shared = _shared_weight(self.encodings[chunk], by_column)
            jaccard = 1 - shared / (2 - shared)
            euclidean = original.rows(start, stop).cpu().numpy() / self.farthest[chunk, None]
            final = (1 - self.weight) * jaccard + self.weight * euclidean
            return torch.from_numpy(final.clip(0).astype(np.float32))

        return DistanceChunks(original.shape, torch.device("cpu"), chunk_size, rows)

    def _neighbours(
        self, k: int, chunk_size: int, advance: Callable[[int], object]
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return (N, k) int32 nearest images, the image itself included, and (N,) greatest distances."""
        k = min(k, len(self.features))

        def find(start: int, rows: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
            return nearest(rows, k)[0].astype(np.int32), rows.max(dim=1).values.cpu().numpy()

        found = []
        for part in feature_distances(self.features, self.features, chunk_size).map(find):
            found.append(part)
            advance(len(part[0]))
        neighbours, farthest = map(np.concatenate, zip(*found))
        return neighbours, np.where(farthest == 0, 1, farthest).astype(np.float64)

    def _encode(self, expansions: sparse.csr_array, chunk_size: int) -> sparse.csr_array:
        """Return the encodings of Eq. 7: weights that fall with the distance, normalised by row."""
        grid = Grid.of(self.features)
        weights = np.empty(expansions.nnz)
        for start in range(0, len(self.features), chunk_size):
            chunk = expansions[start : start + chunk_size].tocoo()
            row, column = (torch.from_numpy(i.astype(np.int64)) for i in (chunk.row, chunk.col))
            first, second = (grid(self.features[i]) for i in (row + start, column))
            distances = (first - second).square().sum(1).float().cpu().numpy()
            weight = np.exp(-distances / self.farthest[row.numpy() + start])
            sums = np.bincount(row.numpy(), weight, minlength=chunk.shape[0])
            begin = expansions.indptr[start]
            weights[begin : begin + len(weight)] = weight / sums[row.numpy()]
        return sparse.csr_array(
            (weights, expansions.indices, expansions.indptr), shape=expansions.shape
        )


def _expansions(neighbours: np.ndarray, k1: int, chunk_size: int) -> sparse.csr_array:
    """Return (N, N) ones at each image's expanded set of k-reciprocal neighbours, R* of Eq. 5."""
    count = len(neighbours)
    near, half = neighbours[:, : k1 + 1], neighbours[:, : int(np.around(k1 / 2)) + 1]
    half_sets = np.where(_reciprocal(half, chunk_size), half, -1)
    half_sizes = (half_sets >= 0).sum(axis=1)
    rows, columns = [], []
    is_reciprocal = _reciprocal(near, chunk_size)
    for start in range(0, count, chunk_size):
        ours = np.where(
            is_reciprocal[start : start + chunk_size], near[start : start + chunk_size], -1
        )
        theirs = half_sets[ours]  # also for empty slots, which are not used below
        shared = ((theirs[..., None] == ours[:, None, None]) & (theirs >= 0)[..., None]).sum((2, 3))
        joins = (3 * shared > 2 * half_sizes[ours]) & (ours >= 0)
        joined = np.where(joins[..., None], theirs, -1).reshape(len(ours), -1)
        members = np.concatenate([ours, joined], axis=1)
        row, slot = (members >= 0).nonzero()
        rows.append(row + start)
        columns.append(members[row, slot])
    row, column = np.concatenate(rows), np.concatenate(columns)
    ones = sparse.coo_array((np.ones(len(row), np.float32), (row, column)), shape=(count, count))
    return ones.tocsr()  # merges images that were added twice


def _reciprocal(neighbours: np.ndarray, chunk_size: int) -> np.ndarray:
    """Return (N, k) bool: the image is also among the neighbours of its neighbour."""
    images = np.arange(len(neighbours), dtype=neighbours.dtype)[:, None, None]
    return np.concatenate(
        [
            (neighbours[neighbours[chunk]] == images[chunk]).any(axis=2)
            for start in range(0, len(neighbours), chunk_size)
            for chunk in [slice(start, start + chunk_size)]
        ]
    )


def _mean_of_rows(matrix: sparse.csr_array, neighbours: np.ndarray) -> sparse.csr_array:
    """Replace each row by the mean of its neighbours' rows (Eq. 11, local query expansion)."""
    count, k = neighbours.shape
    indptr = np.arange(0, count * k + 1, k)
    mean = sparse.csr_array((np.full(count * k, 1 / k), neighbours.ravel(), indptr), matrix.shape)
    return mean @ matrix


def _shared_weight(queries: sparse.csr_array, by_column: sparse.csc_array) -> np.ndarray:
    """Return (B, G) sums over images of the lesser weight of two encodings (Eq. 9)."""
    queries = queries.tocoo()
    row, image = queries.row, queries.col
    begin, end = by_column.indptr[image], by_column.indptr[image + 1]
    lengths = end - begin
    # One entry for each pair of a query's weight and a gallery image's for the same image.
    entry = np.repeat(end - lengths.cumsum(), lengths) + np.arange(lengths.sum())
    shape = queries.shape[0], by_column.shape[0]
    cell = np.repeat(row, lengths) * np.int64(shape[1]) + by_column.indices[entry]
    lesser = np.minimum(np.repeat(queries.data, lengths), by_column.data[entry])
    return np.bincount(cell, lesser, minlength=shape[0] * shape[1]).reshape(shape)
