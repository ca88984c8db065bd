"""Exact retrieval metrics, as functions of features or distances.

For a query, a gallery image of the same vehicle is *junk* if the same camera took it, else a *good
match*; junk is removed from the ranking, not counted as wrong: the rule of VeRi-776 and Market-1501. In
VeRi-776 the query itself is in the gallery and is junk by this rule. A camera of -1 is unknown, and never
makes junk. A query with no good match is invalid: counted, not scored.

Ties: an image of another vehicle at the same distance as a good match ranks before it. So no metric
depends on the order of the gallery, and a model that gives one feature to every image scores as the
worst.

Distances of torch tensors are computed and counted on their device; what is left, a few numbers per
match, is scored in numpy. So the numbers are the same on every device.

>>> distances = [[0.1, 0.2, 0.3, 0.4]]
>>> result = evaluate_distances(distances, [7], [7, 3, 7, 7], [0], [0, 1, 1, 2])
>>> result.first_match.tolist(), round(result.mean_average_precision, 4)
([2], 0.5833)
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
    return rank(feature_distances(query, gallery, chunk_size), labels)


def evaluate_distances(
    distances: Any,
    query_ids: Any,
    gallery_ids: Any,
    query_cameras: Any | None = None,
    gallery_cameras: Any | None = None,
    chunk_size: int = CHUNK_SIZE,
) -> RankingScores:
    """Score the rankings of a finished (Q, G) distance matrix; see :func:`evaluate_features`."""
    labels = Labels(query_ids, gallery_ids, query_cameras, gallery_cameras)
    return rank(matrix_distances(distances, chunk_size), labels)


def rank(
    chunks: DistanceChunks,
    labels: Labels,
    roc: RocCounter | None = None,
    lists: RankListCollector | None = None,
    advance: Callable[[int], object] = lambda queries: None,
) -> RankingScores:
    """Score the rankings that a stream of distances makes.

    Args:
        chunks: Between the images that ``labels`` tells apart.
        labels: Who is on them.
        roc: Also counts the pairs that stream by.
        lists: Also collects the rank lists.
        advance: Is told, again and again, how many more queries are done.

    Raises:
        RankingError: Labels of other images, or no valid query at all.
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
    result = RankingScores(*map(np.concatenate, zip(*scores)), num_gallery=chunks.shape[1])
    if result.num_valid == 0:
        raise RankingError(
            f"none of the {chunks.shape[0]} queries has a good match among the {chunks.shape[1]} gallery "
            "images (the same vehicle, not by the same camera): check the vehicle and camera ids"
        )
    return result


def _score(rows: torch.Tensor, same: SameVehicle) -> tuple[np.ndarray, ...]:
    """Average precision, first match, inverse negative penalty and matches of some queries."""
    matches = same.good.sum(axis=1)
    if not matches.any():
        return np.full(len(rows), np.nan), matches * 0, np.full(len(rows), np.nan), matches
    ranks = _match_ranks(rows, same, matches)
    k = np.arange(1, ranks.shape[1] + 1)
    valid, real = matches > 0, k <= matches[:, None]
    # Summed match by match: so the empty slots that neighbours bring change no bit.
    precision = np.where(real, k / ranks, 0).cumsum(axis=1)[:, -1]
    last = np.take_along_axis(ranks, np.maximum(matches - 1, 0)[:, None], axis=1)[:, 0]
    divisor = np.where(valid, matches, np.nan)
    return precision / divisor, np.where(valid, ranks[:, 0], 0), divisor / last, matches


def _match_ranks(rows: torch.Tensor, same: SameVehicle, matches: np.ndarray) -> np.ndarray:
    """(B, M) ranks, from 1 and ascending, of each query's good matches: 1 + all that come before each.

    M is the most that one of the queries has; further slots hold any numbers from 1.
    """
    distances = rows.gather(1, torch.from_numpy(same.columns).to(rows.device)).cpu().numpy()
    own = np.where(same.good | same.junk, distances, np.inf)
    own.sort(axis=1)
    bounds = np.where(same.good, distances, np.inf)
    bounds.sort(axis=1)
    # Further slots repeat the last match: to count what lies before infinity would cost more.
    last = np.take_along_axis(bounds, np.maximum(matches - 1, 0)[:, None], axis=1)
    last[matches == 0] = 0
    bounds = torch.from_numpy(np.minimum(bounds[:, : matches.max()], last))
    own_before = torch.searchsorted(torch.from_numpy(own), bounds, right=True).numpy()
    others_before = count_within(rows, bounds) - own_before
    return others_before + np.arange(1, bounds.shape[1] + 1)
