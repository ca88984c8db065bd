"""The metrics again, word for word from their definitions: slow, for tests and the benchmark."""

from __future__ import annotations

import numpy as np

from pgan.evaluation.labels import UNKNOWN_CAMERA
from pgan.evaluation.ranking import RankingResult


def literal_evaluate(
    distances: np.ndarray,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
) -> RankingResult:
    """Sort the gallery for each query and walk down the ranking, image by image.

    Args:
        distances: (Q, G) array.
        query_ids: (Q,) vehicle ids.
        gallery_ids: (G,) vehicle ids.
        query_cameras: (Q,) camera ids, -1 where unknown.
        gallery_cameras: (G,) camera ids, -1 where unknown.
    """
    per_query = []
    for row, vehicle, camera in zip(distances, query_ids, query_cameras):
        relevant = _ranking(row, gallery_ids == vehicle, gallery_cameras, camera)
        per_query.append(_score(relevant))
    precision, first, penalty, matches = zip(*per_query)
    return RankingResult(
        np.array(precision), np.array(first), np.array(penalty), np.array(matches), len(gallery_ids)
    )


def _ranking(
    row: np.ndarray, same: np.ndarray, gallery_cameras: np.ndarray, camera: int
) -> list[bool]:
    """Whether each image is the query's vehicle, nearest first, other vehicles first in a tie."""
    relevant = []
    for index in np.lexsort((same, row)):
        by_this_camera = camera != UNKNOWN_CAMERA and gallery_cameras[index] == camera
        is_junk = same[index] and by_this_camera
        if not is_junk:
            relevant.append(bool(same[index]))
    return relevant


def _score(relevant: list[bool]) -> tuple[float, int, float, int]:
    """Average precision, rank of the first match, inverse negative penalty, number of matches."""
    hits = 0
    precision_at, cmc_at, last = [], [], 0
    for rank, is_match in enumerate(relevant, 1):
        hits += is_match
        precision_at.append(hits / rank)
        cmc_at.append(hits > 0)
        last = rank if is_match else last
    if hits == 0:
        return np.nan, 0, np.nan, 0
    # AP = sum over ranks of precision(rank) * relevance(rank), divided by the number of matches.
    total = sum(precision * is_match for precision, is_match in zip(precision_at, relevant))
    return total / hits, cmc_at.index(True) + 1, hits / last, hits
