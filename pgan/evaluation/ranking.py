"""Exact retrieval metrics, as functions of features or distances.

For a query, a gallery image of the same vehicle is *junk* if the same camera took it, otherwise a *good
match*. Junk is removed from the ranking, not counted as wrong: the rule of VeRi-776 and Market-1501. In
VeRi-776 the query itself is in the gallery, and is junk by this rule. A camera of -1 is unknown, and never
makes junk. A query without a good match is invalid: it is counted, not scored.

Ties: an image of another vehicle at the same distance as a good match ranks before it. So no metric
depends on the order of the gallery, and a model that gives every image the same feature gets the lowest
score.

Distances of torch tensors are computed and counted on their device; the few numbers per match that remain
are scored in NumPy. So the numbers are the same on every device.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from pgan.evaluation.counting import count_within
from pgan.evaluation.distances import (
    CHUNK_SIZE,
    DistanceChunks,
    feature_distances,
    matrix_distances,
)
from pgan.evaluation.errors import RankingError
from pgan.evaluation.labels import Labels, SameVehicle
from pgan.evaluation.rank_lists import RankListCollector
from pgan.evaluation.roc import RocCounter


@dataclass(frozen=True, eq=False)
class RankingScores:
    """The scores of each query's ranking, as fractions, in the order of the queries.

    Attributes:
        average_precision: (Q,) float64, mean over good matches of k / rank of the k-th; NaN if invalid.
        first_match: (Q,) int64, rank of the first good match, from 1; 0 if invalid.
        inverse_negative_penalty: (Q,) float64, number of good matches / rank of the last (Ye et al., "Deep
            Learning for Person Re-identification", TPAMI 2021, Eq. 4); NaN if invalid.
        num_matches: (Q,) int64, good matches; 0 if invalid.
        num_gallery: Gallery images, junk included.

    Example:
        >>> scores = RankingScores(
        ...     average_precision=np.array([0.5, 1.0, np.nan]),
        ...     first_match=np.array([2, 1, 0]),
        ...     inverse_negative_penalty=np.array([0.5, 1.0, np.nan]),
        ...     num_matches=np.array([1, 1, 0]),
        ...     num_gallery=3,
        ... )
        >>> scores.mean_average_precision, scores.cmc(1), scores.num_invalid
        (0.75, 0.5, 1)
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
        """Number of queries that are scored."""
        return int(np.count_nonzero(self.valid))

    @property
    def num_invalid(self) -> int:
        """Number of queries without a good match, which are not scored."""
        return len(self.num_matches) - self.num_valid

    @property
    def mean_average_precision(self) -> float:
        """Mean average precision (mAP) over the valid queries, 0 to 1."""
        return float(self.average_precision[self.valid].mean())

    @property
    def mean_inp(self) -> float:
        """Mean inverse negative penalty (mINP) over the valid queries, 0 to 1."""
        return float(self.inverse_negative_penalty[self.valid].mean())

    def cmc(self, k: int) -> float:
        """Return Rank-k: the fraction of valid queries with a good match among the first k.

        Raises:
            RankingError: k below 1.
        """
        if k < 1:
            raise RankingError(f"the rank of a CMC is at least 1, got {k}")
        return float(np.mean(self.first_match[self.valid] <= k))


def evaluate_features(
    query: Any,
    gallery: Any,
    query_ids: Any,
    gallery_ids: Any,
    query_cameras: Any | None = None,
    gallery_cameras: Any | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> RankingScores:
    """Rank the gallery for every query by squared Euclidean distance, and score the rankings.

    Args:
        query: (Q, C) float features, array or tensor, compared as they are: L2-normalise them first.
        gallery: (G, C) float features, array or tensor.
        query_ids: (Q,) integer vehicle ids.
        gallery_ids: (G,) integer vehicle ids.
        query_cameras: (Q,) integer camera ids, -1 where unknown. None: all unknown.
        gallery_cameras: (G,) integer camera ids, -1 where unknown. None: all unknown.
        chunk_size: Queries compared at a time; bounds the memory, changes no result.

    Raises:
        RankingError: An argument has the wrong shape, type or length, or no query is valid.

    Example:
        >>> query = np.array([[0.0, 0.0]], dtype=np.float32)
        >>> gallery = np.array([[3, 4], [0, 1], [0, 2]], dtype=np.float32)
        >>> evaluate_features(query, gallery, [7], [7, 7, 3]).average_precision.round(4).tolist()
        [0.8333]
    """
    labels = Labels(query_ids, gallery_ids, query_cameras, gallery_cameras)
    return rank(feature_distances(query, gallery, chunk_size), labels)


def evaluate_distances(
    distances: Any,
    query_ids: Any,
    gallery_ids: Any,
    query_cameras: Any | None = None,
    gallery_cameras: Any | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> RankingScores:
    """Score the rankings of a finished distance matrix.

    Takes the arguments of `evaluate_features`, with distances in place of features.

    Args:
        distances: (Q, G) real numbers, array or tensor.
        query_ids: (Q,) integer vehicle ids.
        gallery_ids: (G,) integer vehicle ids.
        query_cameras: (Q,) integer camera ids, -1 where unknown. None: all unknown.
        gallery_cameras: (G,) integer camera ids, -1 where unknown. None: all unknown.
        chunk_size: Queries scored at a time; bounds the memory, changes no result.

    Raises:
        RankingError: An argument has the wrong shape, type or length, or no query is valid.

    Example:
        >>> distances = [[0.1, 0.2, 0.3, 0.4]]
        >>> scores = evaluate_distances(distances, [7], [7, 3, 7, 7], [0], [0, 1, 1, 2])
        >>> scores.first_match.tolist(), round(scores.mean_average_precision, 4)  # image 0 is junk
        ([2], 0.5833)
    """
    labels = Labels(query_ids, gallery_ids, query_cameras, gallery_cameras)
    return rank(matrix_distances(distances, chunk_size), labels)


def rank(
    chunks: DistanceChunks,
    labels: Labels,
    roc: RocCounter | None = None,
    lists: RankListCollector | None = None,
    advance: Callable[[int], object] = lambda queries: None,
) -> RankingScores:
    """Score the rankings by a stream of distances.

    Args:
        chunks: The distances.
        labels: The vehicles and cameras of the same images.
        roc: Also counts the pairs that stream by.
        lists: Also collects the rank lists.
        advance: Called after each chunk with the number of queries in it.

    Raises:
        RankingError: The labels are of other images, or no query is valid.
    """
    labels.check(chunks.shape)

    def score(start: int, rows: torch.Tensor) -> tuple[np.ndarray, ...]:
        same = labels.same_vehicle(start, start + len(rows))
        if roc is not None:
            roc.add(rows, same)
        if lists is not None:
            lists.add(start, rows, same)
        return _score(rows, same)

    scores = []
    for part in chunks.map(score):
        scores.append(part)
        advance(len(part[0]))
    precision, first, penalty, matches = (np.concatenate(column) for column in zip(*scores))
    result = RankingScores(precision, first, penalty, matches, chunks.shape[1])
    if result.num_valid == 0:
        raise RankingError(
            f"none of the {chunks.shape[0]} queries has a good match among the {chunks.shape[1]} gallery "
            "images (the same vehicle, not by the same camera): check the vehicle and camera ids"
        )
    return result


def _score(rows: torch.Tensor, same: SameVehicle) -> tuple[np.ndarray, ...]:
    """Return average precision, first match, inverse negative penalty and matches of some queries."""
    matches = same.good.sum(axis=1)
    if not matches.any():
        return np.full(len(rows), np.nan), matches * 0, np.full(len(rows), np.nan), matches
    ranks = _match_ranks(rows, same, matches)
    k = np.arange(1, ranks.shape[1] + 1)
    valid, real = matches > 0, k <= matches[:, None]
    # Summed match by match, so that a row's empty slots change no bit.
    precision = np.where(real, k / ranks, 0).cumsum(axis=1)[:, -1]
    last = np.take_along_axis(ranks, np.maximum(matches - 1, 0)[:, None], axis=1)[:, 0]
    divisor = np.where(valid, matches, np.nan)
    return precision / divisor, np.where(valid, ranks[:, 0], 0), divisor / last, matches


def _match_ranks(rows: torch.Tensor, same: SameVehicle, matches: np.ndarray) -> np.ndarray:
    """Return (B, M) ranks of each query's good matches, ascending: 1 + the images before each.

    M is the largest number of matches of a query; unused slots hold arbitrary numbers from 1.
    """
    distances = rows.gather(1, torch.from_numpy(same.columns).to(rows.device)).cpu().numpy()
    own = np.where(same.good | same.junk, distances, np.inf)
    own.sort(axis=1)
    bounds = np.where(same.good, distances, np.inf)
    bounds.sort(axis=1)
    # Unused slots repeat the last match: counting up to infinity would cost more.
    last = np.take_along_axis(bounds, np.maximum(matches - 1, 0)[:, None], axis=1)
    last[matches == 0] = 0
    limits = torch.from_numpy(np.minimum(bounds[:, : matches.max()], last))
    own_before = torch.searchsorted(torch.from_numpy(own), limits, right=True).numpy()
    others_before = count_within(rows, limits) - own_before
    return others_before + np.arange(1, limits.shape[1] + 1)
