"""Which queries to show: rules that pick no query by hand."""

from __future__ import annotations

import numpy as np

from pgan.evaluation.ranking import RankingScores
from pgan.evaluation.retrieval import RetrievalResult
from pgan.visualization.errors import VisualizationError


def pick_queries(first: RankingScores, second: RankingScores, count: int) -> np.ndarray:
    """Pick queries at even steps from the second method's greatest gain to its greatest loss.

    Queries are sorted by the difference in average precision, equal ones by index.

    Args:
        first: Scores of one method, such as the baseline.
        second: Scores of the other, for the same queries.
        count: How many; at most all valid queries are picked.

    Returns:
        (count,) int64 indices of queries, the greatest gain first.

    Raises:
        VisualizationError: The methods did not rank the same queries, or the count is below 1.

    Example:
        >>> from pgan.evaluation import evaluate_distances
        >>> ids = [1, 2], [1, 2]
        >>> first = evaluate_distances([[0.1, 0.2], [0.1, 0.2]], *ids)  # only query 0 is right
        >>> second = evaluate_distances([[0.2, 0.1], [0.2, 0.1]], *ids)  # only query 1 is right
        >>> pick_queries(first, second, count=2).tolist()
        [1, 0]
    """
    if not np.array_equal(first.num_matches, second.num_matches):
        raise VisualizationError("the two methods did not rank the same queries and gallery")
    if count < 1:
        raise VisualizationError(f"at least 1 query must be picked, not {count}")
    return _at_even_steps(first.valid, second.average_precision - first.average_precision, count)


def describe_pick(first: str, second: str, count: int, valid: int) -> str:
    """Return the rule of `pick_queries` for a caption."""
    return (
        f"These {count} of {valid} queries are not hand-picked: all were sorted by how much the average "
        f"precision of {second} exceeds that of {first}, and taken at even steps from the greatest "
        "gain to the greatest loss, both ends included."
    )


def spread_queries(scores: RankingScores, count: int) -> np.ndarray:
    """Pick queries at even steps from the highest average precision to the lowest, both ends included.

    Args:
        scores: Scores of the ranking.
        count: How many; at most all valid queries are picked.

    Returns:
        (count,) int64 indices of queries, the highest average precision first, equal ones by index.
    """
    return _at_even_steps(scores.valid, scores.average_precision, count)


def hardest_queries(scores: RankingScores, count: int) -> np.ndarray:
    """Pick the queries with the lowest average precision.

    Args:
        scores: Scores of the ranking.
        count: How many; at most all valid queries are picked.

    Returns:
        (count,) int64 indices of queries, the lowest average precision first, equal ones by index.

    Raises:
        VisualizationError: The count is below 1.
    """
    if count < 1:
        raise VisualizationError(f"at least 1 query must be shown, not {count}")
    valid = np.flatnonzero(scores.valid)
    return valid[np.argsort(scores.average_precision[valid], kind="stable")[:count]]


def most_confident_errors(
    scores: RankingScores, nearest: RetrievalResult, count: int
) -> np.ndarray:
    """Pick the queries whose nearest image shows another vehicle at the smallest distance.

    These are the errors that even the strictest threshold on the distance accepts. Queries without a good
    match are skipped.

    Args:
        scores: Scores of the ranking.
        nearest: The nearest images of the same queries, one or more of each.
        count: How many; at most all errors are picked.

    Returns:
        (count,) int64 indices of queries, the smallest distance first, equal ones by index; empty if the
        nearest image is always right.
    """
    wrong = np.flatnonzero(scores.first_match > 1)
    return wrong[np.argsort(nearest.distances[wrong, 0], kind="stable")[:count]]


def _at_even_steps(valid: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    rows = np.flatnonzero(valid)
    order = rows[np.argsort(-values[rows], kind="stable")]
    steps = np.linspace(0, len(order) - 1, min(count, len(order)))
    return order[np.rint(steps).astype(int)]
