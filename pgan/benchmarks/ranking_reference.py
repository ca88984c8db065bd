"""The metrics again, word for word from their definitions: slow, for tests and the benchmark."""

from __future__ import annotations

import numpy as np

from pgan.evaluation.labels import UNKNOWN_CAMERA
from pgan.evaluation.ranking import RankingScores


def literal_evaluate(
    distances: np.ndarray,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
) -> RankingScores:
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
    return RankingScores(
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


def argsort_average_precision(
    distances: np.ndarray,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    chunk_size: int = 128,
) -> np.ndarray:
    """(Q,) average precision by sorting each row and scanning it, vectorised: the usual way, for timing.

    Ties stand as the sorting leaves them. NaN for a query without a good match.
    """
    found = []
    for start in range(0, len(distances), chunk_size):
        chunk = slice(start, start + chunk_size)
        order = np.argsort(distances[chunk], axis=1)
        cameras = query_cameras[chunk, None]
        same = gallery_ids[order] == query_ids[chunk, None]
        junk = same & (gallery_cameras[order] == cameras) & (cameras != UNKNOWN_CAMERA)
        good = same & ~junk
        ranks, hits = (~junk).cumsum(axis=1), good.cumsum(axis=1)
        with np.errstate(divide="ignore", invalid="ignore"):
            found.append(np.where(good, hits / ranks, 0).sum(axis=1) / hits[:, -1])
    return np.concatenate(found)


def literal_rates(
    distances: np.ndarray,
    query_ids: np.ndarray,
    gallery_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_cameras: np.ndarray,
    threshold: float,
) -> tuple[float, float]:
    """FPR and TPR of accepting the pairs of valid queries at most this far apart, pair by pair."""
    accepted, total = {True: 0, False: 0}, {True: 0, False: 0}
    for row, vehicle, camera in zip(distances, query_ids, query_cameras):
        pairs = []
        for distance, other, other_camera in zip(row, gallery_ids, gallery_cameras):
            is_match = bool(vehicle == other)
            by_this_camera = camera != UNKNOWN_CAMERA and camera == other_camera
            if not (is_match and by_this_camera):
                pairs.append((is_match, distance))
        if any(is_match for is_match, _ in pairs):
            for is_match, distance in pairs:
                total[is_match] += 1
                accepted[is_match] += distance <= threshold
    return accepted[False] / total[False], accepted[True] / total[True]


def literal_expand_queries(query: np.ndarray, gallery: np.ndarray, k: int) -> np.ndarray:
    """Average query expansion (Chum et al., ICCV 2007), query by query."""
    expanded = []
    for feature in query.astype(float):
        order = np.argsort(((gallery - feature) ** 2).sum(axis=1), kind="stable")
        mean = np.mean([feature, *gallery[order[:k]]], axis=0)
        expanded.append(mean / np.linalg.norm(mean) * np.linalg.norm(feature))
    return np.array(expanded)


def literal_k_reciprocal(
    distances: np.ndarray, num_query: int, k1: int, k2: int, weight: float
) -> np.ndarray:
    """Re-ranked distances of queries and gallery (Zhong et al., CVPR 2017), from the full matrix.

    Args:
        distances: (N, N) squared distances between all images, the queries first.
        num_query: How many are queries.
        k1: Neighbours, the image itself not counted.
        k2: Neighbours for the local query expansion, the image itself among them.
        weight: λ.
    """
    count = len(distances)
    normalised = distances.astype(float) / distances.max(axis=1, keepdims=True)
    order = np.argsort(distances, axis=1, kind="stable")

    def reciprocal(image: int, k: int) -> set[int]:  # Eq. 2
        return {int(j) for j in order[image, : k + 1] if image in order[j, : k + 1]}

    encodings = np.zeros((count, count))
    for image in range(count):
        own = reciprocal(image, k1)
        expanded = set(own)
        for neighbour in own:  # Eq. 5
            theirs = reciprocal(neighbour, int(np.around(k1 / 2)))
            if 3 * len(theirs & own) > 2 * len(theirs):
                expanded |= theirs
        members = sorted(expanded)
        encodings[image, members] = np.exp(-normalised[image, members])  # Eq. 7
        encodings[image] /= encodings[image].sum()
    if k2 > 1:  # Eq. 11
        encodings = np.array([encodings[order[image, :k2]].mean(axis=0) for image in range(count)])
    final = np.empty((num_query, count - num_query))
    for i in range(num_query):
        for j in range(num_query, count):
            shared = np.minimum(encodings[i], encodings[j]).sum()
            total = np.maximum(encodings[i], encodings[j]).sum()  # Eq. 10
            jaccard = 1 - shared / total
            final[i, j - num_query] = (1 - weight) * jaccard + weight * normalised[i, j]
    return final
