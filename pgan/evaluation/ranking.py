"""Exact retrieval metrics and search, as functions of features or distances.

The protocol is that of VeRi-776 and Market-1501. For a query, a gallery image of the same vehicle
is *junk* if the same camera took it, else a *good match*; junk is removed from the ranking, not
counted as wrong. In VeRi-776 the query itself is in the gallery and is junk by this rule. A camera
of -1 is unknown, and never makes junk. A query with no good match is invalid: counted, not scored.

Ties: an image of another vehicle at the same distance as a good match ranks before it. So no metric
depends on the order of the gallery, and a model that gives one feature to every image scores as the
worst.

Distances of torch tensors are computed on their device; the counting runs in numpy on the CPU.

>>> distances = [[0.1, 0.2, 0.3, 0.4]]
>>> result = evaluate_distances(distances, [7], [7, 3, 7, 7], [0], [0, 1, 1, 2])
>>> result.first_match.tolist(), round(result.mean_average_precision, 4)
([2], 0.5833)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pgan.evaluation.distances import (
    CHUNK_SIZE,
    DistanceChunks,
    RankingError,
    feature_distances,
    matrix_distances,
)

UNKNOWN_CAMERA = -1

_CELLS = 8192  # 8 KiB of flags and 64 KiB of counts stay in the caches next to a row


@dataclass(frozen=True, eq=False)
class RankingResult:
    """How well each query was answered. Values are fractions, one per query, in the queries' order.

    Attributes:
        average_precision: (Q,) float64, mean over good matches of k / rank of the k-th; NaN if invalid.
        first_match: (Q,) int64, rank of the first good match, from 1; 0 if invalid.
        inverse_negative_penalty: (Q,) float64, good matches / rank of the last (Ye et al., "Deep Learning
            for Person Re-identification", TPAMI 2021, Eq. 4); NaN if invalid.
        num_matches: (Q,) int64, good matches; 0 if invalid.
        num_gallery: Gallery images, junk and all.
    """

    average_precision: np.ndarray
    first_match: np.ndarray
    inverse_negative_penalty: np.ndarray
    num_matches: np.ndarray
    num_gallery: int

    @property
    def valid(self) -> np.ndarray:
        """(Q,) bool: the query has a good match."""
        return self.num_matches > 0

    @property
    def num_valid(self) -> int:
        """Queries that are scored."""
        return int(np.count_nonzero(self.valid))

    @property
    def num_invalid(self) -> int:
        """Queries without a good match, not scored."""
        return len(self.num_matches) - self.num_valid

    @property
    def mean_average_precision(self) -> float:
        """MAP over the valid queries, 0 to 1."""
        return float(self.average_precision[self.valid].mean())

    @property
    def mean_inp(self) -> float:
        """Mean inverse negative penalty (mINP) over the valid queries, 0 to 1."""
        return float(self.inverse_negative_penalty[self.valid].mean())

    def cmc(self, k: int) -> float:
        """Rank-k: the fraction of valid queries with a good match among the first k.

        Raises:
            RankingError: k below 1.
        """
        if k < 1:
            raise RankingError(f"the rank of a CMC is at least 1, got {k}")
        return float(np.mean(self.first_match[self.valid] <= k))

    def to_dict(self, ranks: Sequence[int] = (1, 5, 10)) -> dict[str, float | int]:
        """The summary in plain Python values: fractions and counts."""
        return {
            "mAP": self.mean_average_precision,
            "mINP": self.mean_inp,
            **{f"Rank-{k}": self.cmc(k) for k in ranks},
            "num_valid": self.num_valid,
            "num_invalid": self.num_invalid,
            "num_gallery": self.num_gallery,
        }


@dataclass(frozen=True, eq=False)
class SearchResult:
    """The nearest gallery images of each query, nearest first; a slot left empty is -1, at infinity.

    Attributes:
        indices: (Q, k) int64 index into the gallery.
        distances: (Q, k) distances, float32 or float64 as they were searched.
    """

    indices: np.ndarray
    distances: np.ndarray


class Labels:
    """Who is on which image, and which gallery images are good or junk: the one place of that rule.

    Args:
        query_ids: (Q,) vehicle id of each query, integers.
        gallery_ids: (G,) likewise.
        query_cameras: (Q,) camera id of each query, -1 where unknown. None: all unknown.
        gallery_cameras: (G,) likewise.

    Raises:
        RankingError: No query or gallery, not integers, or lengths that differ.
    """

    def __init__(
        self,
        query_ids: Any,
        gallery_ids: Any,
        query_cameras: Any | None = None,
        gallery_cameras: Any | None = None,
    ) -> None:
        self.query_ids = _as_labels(query_ids, "query_ids")
        self.gallery_ids = _as_labels(gallery_ids, "gallery_ids")
        self.query_cameras = _as_cameras(query_cameras, "query", len(self.query_ids))
        self.gallery_cameras = _as_cameras(gallery_cameras, "gallery", len(self.gallery_ids))
        # Sorted once, a vehicle's images are found by bisection.
        self._order = np.argsort(self.gallery_ids, kind="stable")
        ids = self.gallery_ids[self._order]
        self._start = np.searchsorted(ids, self.query_ids, side="left")
        self._stop = np.searchsorted(ids, self.query_ids, side="right")

    @property
    def shape(self) -> tuple[int, int]:
        """Queries, gallery images."""
        return len(self.query_ids), len(self.gallery_ids)

    def same_vehicle(self, query: int) -> tuple[np.ndarray, np.ndarray]:
        """The gallery images of a query's vehicle.

        Returns:
            Their indices in ascending order, int64, and whether each is junk, bool.
        """
        same = self._order[self._start[query] : self._stop[query]]
        camera = self.query_cameras[query]
        return same, (self.gallery_cameras[same] == camera) & (camera != UNKNOWN_CAMERA)

    def check(self, shape: tuple[int, int]) -> None:
        """Raise RankingError unless distances of this shape are between these images."""
        if shape != self.shape:
            raise RankingError(
                f"{shape[0]} queries were compared with {shape[1]} gallery images, but there are "
                f"{self.shape[0]} query ids and {self.shape[1]} gallery ids"
            )


def evaluate_features(
    query: Any,
    gallery: Any,
    query_ids: Any,
    gallery_ids: Any,
    query_cameras: Any | None = None,
    gallery_cameras: Any | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> RankingResult:
    """Rank the gallery for every query by squared Euclidean distance, and score the rankings.

    Args:
        query: (Q, C) float features, array or tensor, compared as they are: L2-normalise them first.
        gallery: (G, C) likewise.
        query_ids: (Q,) integer vehicle ids.
        gallery_ids: (G,) likewise.
        query_cameras: (Q,) integer camera ids, -1 where unknown. None: all unknown.
        gallery_cameras: (G,) likewise.
        chunk_size: Queries compared at a time; bounds the memory, changes no result.

    Raises:
        RankingError: Bad input, named, or no valid query at all.
    """
    labels = Labels(query_ids, gallery_ids, query_cameras, gallery_cameras)
    return _evaluate(feature_distances(query, gallery, chunk_size), labels)


def evaluate_distances(
    distances: Any,
    query_ids: Any,
    gallery_ids: Any,
    query_cameras: Any | None = None,
    gallery_cameras: Any | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> RankingResult:
    """Score the rankings of a finished (Q, G) distance matrix; see :func:`evaluate_features`."""
    labels = Labels(query_ids, gallery_ids, query_cameras, gallery_cameras)
    return _evaluate(matrix_distances(distances, chunk_size), labels)


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


def _evaluate(chunks: DistanceChunks, labels: Labels) -> RankingResult:
    labels.check(chunks.shape)
    num_queries, num_gallery = chunks.shape
    precision, penalty = np.full((2, num_queries), np.nan)
    first, matches = np.zeros((2, num_queries), dtype=np.int64)
    for start, distances in chunks:
        for query, row in enumerate(distances, start):
            same, junk = labels.same_vehicle(query)
            if junk.all():
                continue
            ranks = _match_ranks(row, row[same], row[same[~junk]])
            precision[query] = np.mean(np.arange(1, len(ranks) + 1) / ranks)
            penalty[query] = len(ranks) / ranks[-1]
            first[query], matches[query] = ranks[0], len(ranks)
    result = RankingResult(precision, first, penalty, matches, num_gallery)
    if result.num_valid == 0:
        raise RankingError(
            f"none of the {num_queries} queries has a good match among the {num_gallery} gallery "
            "images (the same vehicle, not by the same camera): check the vehicle and camera ids"
        )
    return result


def _match_ranks(row: np.ndarray, same: np.ndarray, good: np.ndarray) -> np.ndarray:
    """Ranks, from 1 and ascending, of the good matches: 1 + all that come before each.

    Args:
        row: (G,) distances of the gallery.
        same: Those of the query's vehicle, junk and all.
        good: Those of its good matches, at least one.
    """
    good = np.sort(good)
    same_before = np.searchsorted(np.sort(same), good, side="right")
    others_before = _count_within(row, good) - same_before
    return others_before + np.arange(1, len(good) + 1)


def _count_within(values: np.ndarray, bounds: np.ndarray) -> np.ndarray:
    """How many values are <= each of the ascending bounds, exactly, without sorting the values.

    Values are counted into cells that span the bounds. Rounding keeps the order, so only the few
    values that share a cell with a bound have to be compared with it.
    """
    if bounds[0] == bounds[-1]:
        return np.full(len(bounds), np.count_nonzero(values <= bounds[0]))
    with np.errstate(over="ignore"):  # bounds may be as near as numbers can be
        scale = min(_CELLS / (bounds[-1] - bounds[0]), np.finfo(values.dtype).max)
        cells, bound_cells = _cells(values, bounds[0], scale), _cells(bounds, bounds[0], scale)
    shared = np.zeros(_CELLS + 3, dtype=bool)
    shared[bound_cells] = True
    counts = np.bincount(cells, minlength=_CELLS + 3)
    counts[shared] = 0
    first_bound = bounds.searchsorted(values[shared.take(cells)], side="left")
    compared = np.bincount(first_bound, minlength=len(bounds))[: len(bounds)]
    return counts.cumsum()[bound_cells] + compared.cumsum()


def _cells(values: np.ndarray, origin: np.floating, scale: np.floating) -> np.ndarray:
    cells = values - origin
    cells *= scale
    cells += 1  # cell 0 is for what lies before the origin
    return cells.clip(0, _CELLS + 2, out=cells).astype(np.intp)


def _search(chunks: DistanceChunks, k: int, labels: Labels | None) -> SearchResult:
    if k < 1:
        raise RankingError(f"k must be at least 1, got {k}")
    if labels is not None:
        labels.check(chunks.shape)
    indices = np.full((chunks.shape[0], k), -1, dtype=np.int64)
    nearest = np.full((chunks.shape[0], k), np.inf, dtype=chunks.dtype)
    for start, distances in chunks:
        for query, row in enumerate(distances, start):
            if labels is not None:
                same, junk = labels.same_vehicle(query)
                row = row.copy()  # it may be the caller's own
                row[same[junk]] = np.inf
            found = _nearest(row, k)
            indices[query, : len(found)], nearest[query, : len(found)] = found, row[found]
    return SearchResult(indices, nearest)


def _nearest(row: np.ndarray, k: int) -> np.ndarray:
    """Indices of the k smallest finite values, ties by index."""
    limit = np.partition(row, k - 1)[k - 1] if k < len(row) else np.inf
    candidates = np.flatnonzero((row <= limit) & (row < np.inf))
    return candidates[np.argsort(row[candidates], kind="stable")[:k]]


def _as_labels(values: Any, name: str) -> np.ndarray:
    values = values.cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if values.ndim != 1 or len(values) == 0:
        raise RankingError(
            f"{name} must be a list of integers, and not empty; got shape {values.shape}"
        )
    if not np.issubdtype(values.dtype, np.integer):
        raise RankingError(f"{name} must be integers, got {values.dtype}")
    return values.astype(np.int64)


def _as_cameras(values: Any | None, side: str, count: int) -> np.ndarray:
    if values is None:
        return np.full(count, UNKNOWN_CAMERA, dtype=np.int64)
    cameras = _as_labels(values, f"{side}_cameras")
    if len(cameras) != count:
        raise RankingError(f"{count} {side}_ids, but {len(cameras)} {side}_cameras were given")
    return cameras
