"""How much faster the ranking is than a literal loop, at VeRi-776's size."""

from __future__ import annotations

import numpy as np

from pgan.evaluation.ranking import RankingResult, evaluate_distances
from pgan.evaluation.reference import literal_evaluate
from pgan.timing import paired_medians

# VeRi-776: queries, gallery images, test vehicles, cameras.
_QUERIES, _GALLERY, _VEHICLES, _CAMERAS = 1678, 11579, 200, 20


def ranking_benchmark(
    repeats: int = 5, literal_queries: int = 48, seed: int = 0
) -> dict[str, float | int]:
    """Time the ranking of one distance matrix, between random features, both ways.

    The literal loop's time is the same for every query, so it runs on some of them and is scaled up.
    Both must agree on those, or the timing is worth nothing.

    Args:
        repeats: Timed rounds; medians are compared.
        literal_queries: Queries that the literal loop runs on.
        seed: Of the features and labels.

    Returns:
        ``speedup`` (literal / ours, for all queries), ``seconds`` and ``literal_seconds`` for all
        queries, ``literal_queries`` timed, ``queries`` and ``gallery``.

    Raises:
        RuntimeError: The two disagree.
    """
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((_QUERIES + _GALLERY, 512), dtype=np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    distances = 2 - 2 * features[:_QUERIES] @ features[_QUERIES:].T
    labels = [
        rng.integers(0, bound, count)
        for bound in (_VEHICLES, _CAMERAS)
        for count in (_QUERIES, _GALLERY)
    ]
    some = slice(literal_queries)
    few = (distances[some], labels[0][some], labels[1], labels[2][some], labels[3])
    if not _agree(evaluate_distances(*few), literal_evaluate(*few)):
        raise RuntimeError("the ranking and the literal loop disagree")
    seconds = paired_medians(
        {
            "ours": lambda: evaluate_distances(distances, *labels),
            "literal": lambda: literal_evaluate(*few),
        },
        repeats=repeats,
    )
    literal = seconds["literal"] * _QUERIES / literal_queries
    return {
        "speedup": literal / seconds["ours"],
        "seconds": seconds["ours"],
        "literal_seconds": literal,
        "literal_queries": literal_queries,
        "queries": _QUERIES,
        "gallery": _GALLERY,
    }


def _agree(ours: RankingResult, literal: RankingResult) -> bool:
    same_ranks = np.array_equal(ours.first_match, literal.first_match)
    return same_ranks and all(
        np.allclose(getattr(ours, name), getattr(literal, name), rtol=1e-12, equal_nan=True)
        for name in ("average_precision", "inverse_negative_penalty", "num_matches")
    )
