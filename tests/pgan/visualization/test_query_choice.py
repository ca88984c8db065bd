"""Which queries are shown: by rule, not by hand."""

import numpy as np
import pytest

from pgan.evaluation.ranking import RankingScores
from pgan.evaluation.retrieval import RetrievalResult
from pgan.visualization.errors import VisualizationError
from pgan.visualization.query_choice import (
    describe_pick,
    hardest_queries,
    most_confident_errors,
    pick_queries,
    spread_queries,
)


def scores(precision, first_match=None):
    precision = np.asarray(precision, float)
    matches = np.where(np.isnan(precision), 0, 3)
    first = matches if first_match is None else np.array(first_match)
    return RankingScores(precision, first, precision, matches, 100)


def test_pick_queries_takes_even_steps_from_gain_to_loss():
    baseline = scores([0.5, 0.5, np.nan, 0.5, 0.5, 0.5, 0.5])
    pgan = scores([0.4, 0.9, np.nan, 0.5, 0.6, 0.1, 0.5])
    # Gains: 1 by .4, 4 by .1, 3 and 6 by 0, 0 by -.1, 5 by -.4; query 2 is not valid.
    assert pick_queries(baseline, pgan, 6).tolist() == [1, 4, 3, 6, 0, 5]
    assert pick_queries(baseline, pgan, 2).tolist() == [1, 5]
    assert pick_queries(baseline, pgan, 1).tolist() == [1]
    assert sorted(pick_queries(baseline, pgan, 99)) == [0, 1, 3, 4, 5, 6]


def test_pick_queries_includes_the_greatest_gain_and_the_greatest_loss():
    rng = np.random.default_rng(0)
    baseline, pgan = scores(rng.random(200)), scores(rng.random(200))
    picked = pick_queries(baseline, pgan, 7)
    gain = (pgan.average_precision - baseline.average_precision)[picked]
    assert (np.diff(gain) <= 0).all()
    everything = pgan.average_precision - baseline.average_precision
    assert gain[0] == everything.max()
    assert gain[-1] == everything.min()


def test_pick_queries_raises_for_different_queries_or_none():
    with pytest.raises(VisualizationError, match="same queries"):
        pick_queries(scores([0.1, 0.2]), scores([0.1, np.nan]), 1)
    with pytest.raises(VisualizationError, match="at least 1"):
        pick_queries(scores([0.1]), scores([0.1]), 0)


def test_describe_pick_states_the_rule():
    assert "PGAN exceeds that of the baseline" in describe_pick("the baseline", "PGAN", 5, 100)


def test_hardest_queries_skips_invalid_ones():
    precisions = scores([0.4, np.nan, 0.1, 0.9, 0.1])
    assert hardest_queries(precisions, 3).tolist() == [2, 4, 0]
    assert hardest_queries(precisions, 99).tolist() == [2, 4, 0, 3]
    with pytest.raises(VisualizationError, match="at least 1"):
        hardest_queries(precisions, 0)


def test_spread_queries_takes_even_steps_of_average_precision():
    precisions = scores([0.4, np.nan, 0.1, 0.9, 0.1])
    assert spread_queries(precisions, 2).tolist() == [3, 4]
    assert spread_queries(precisions, 99).tolist() == [3, 0, 2, 4]


def test_most_confident_errors_are_sorted_by_the_distance_of_the_wrong_image():
    first_match = scores([0.5, 1, 0.2, 0.3, np.nan], [2, 1, 4, 3, 0])
    distances = np.array([[0.4], [0.1], [0.2], [0.4], [0.0]], np.float32)
    nearest = RetrievalResult(np.zeros((5, 1), np.int64), distances)
    assert most_confident_errors(first_match, nearest, 99).tolist() == [2, 0, 3]
    assert most_confident_errors(first_match, nearest, 1).tolist() == [2]
