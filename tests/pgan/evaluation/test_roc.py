import numpy as np
import pytest
import torch

from pgan.benchmarks.ranking_reference import literal_evaluate, literal_rates
from pgan.evaluation import Labels, RankingError, RocCurve, evaluate
from pgan.evaluation.distances import matrix_distances
from pgan.evaluation.ranking import rank
from pgan.evaluation.roc import RocCounter


def random_case(seed):
    """Ties, junk, unknown cameras and invalid queries."""
    rng = np.random.default_rng(seed)
    queries, gallery, vehicles, cameras = rng.integers((2, 5, 2, 1), (12, 60, 12, 4))
    shape = (queries, gallery)
    distances = [
        lambda: rng.random(shape),
        lambda: rng.integers(0, 4, shape) / 2,
        lambda: rng.lognormal(0, 6, shape),
        lambda: rng.integers(0, 5, shape) * -0.0,
    ][seed % 4]().astype(np.float32)
    bounds = ((0, vehicles), (0, vehicles), (-1, cameras), (-1, cameras))
    labels = [rng.integers(*b, n) for b, n in zip(bounds, (queries, gallery, queries, gallery))]
    return distances, labels


def curve_of(distances, labels, chunk_size=128):
    counter = RocCounter()
    rank(matrix_distances(distances, chunk_size), Labels(*labels), counter)
    return counter.curve()


@pytest.mark.parametrize("seed", range(40))
def test_roc_points_are_exact_for_their_thresholds(seed):
    distances, labels = random_case(seed)
    if literal_evaluate(distances, *labels).num_valid == 0:
        with pytest.raises(RankingError, match="has a good match"):
            curve_of(distances, labels)
        return
    curve = curve_of(distances, labels)
    assert curve.tpr[-1] == curve.fpr[-1] == 1
    assert (np.diff(curve.thresholds) > 0).all()
    for index in np.linspace(0, len(curve.fpr) - 1, 12).astype(int):
        rates = literal_rates(distances, *labels, curve.thresholds[index])
        assert (curve.fpr[index], curve.tpr[index]) == rates
    again = curve_of(distances, labels, chunk_size=3)
    np.testing.assert_array_equal(curve.fpr, again.fpr)
    np.testing.assert_array_equal(curve.tpr, again.tpr)


def test_random_cases_include_valid_and_invalid_queries():
    results = [literal_evaluate(d, *labels) for d, labels in map(random_case, range(40))]
    assert sum(r.num_invalid > 0 and r.num_valid > 0 for r in results) > 5


@pytest.mark.parametrize("seed", range(0, 40, 4))
def test_tpr_at_is_the_best_of_all_thresholds(seed):
    # With few pairs every distance has a cell of its own, and the grid loses nothing.
    distances, labels = random_case(seed)
    curve = curve_of(distances, labels)
    for fpr in (0, 0.01, 0.1, 0.5, 1):
        rates = [literal_rates(distances, *labels, t) for t in np.unique(distances)]
        best = max((tpr for f, tpr in rates if f <= fpr), default=0)
        assert curve.tpr_at(fpr) == best


def test_thresholds_are_as_close_as_documented():
    values = np.linspace(0.3, 2.5, 200_001, dtype=np.float32)[None]
    labels = [np.zeros(1, int), np.arange(values.size) % 2]
    steps = np.diff(curve_of(values, labels).thresholds) / curve_of(values, labels).thresholds[1:]
    assert 0 < steps.max() < 2**-11


def test_tpr_at_uses_the_greatest_allowed_threshold():
    curve = RocCurve(
        np.array([0.1, 0.2, 0.3, 0.4], np.float32),
        np.array([0.1, 0.1, 0.5, 1.0]),
        np.array([0.2, 0.6, 0.6, 1.0]),
        10,
        10,
    )
    assert [curve.tpr_at(x) for x in (0, 0.1, 0.3, 0.5, 1)] == [0, 0.6, 0.6, 0.6, 1]
    for bad in (-0.1, 1.1, float("nan")):
        with pytest.raises(RankingError, match="from 0 to 1"):
            curve.tpr_at(bad)


def test_curve_raises_for_pairs_of_one_kind():
    with pytest.raises(RankingError, match="there are 2 and 0"):
        curve_of(np.ones((1, 2), np.float32), [[1], [1, 1]])


def test_counter_memory_does_not_grow_with_the_pairs():
    counter = RocCounter()
    labels = Labels(np.zeros(4, int), np.arange(1000) % 2)
    same = labels.same_vehicle(0, 4)
    for _ in range(5):
        counter.add(torch.rand(4, 1000), same)
    assert counter.curve().num_positives == 5 * 4 * 500
    assert sum(getattr(v, "nbytes", 0) for v in vars(counter).values()) < 20e6


def test_evaluate_counts_pairs_of_all_repeats(feature_set):
    evaluation = evaluate(feature_set(), "vehicleid-800", roc=True)
    assert evaluation.roc.num_positives == 10 * 48
    assert evaluation.roc.num_negatives == 10 * 48 * 11
