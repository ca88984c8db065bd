import numpy as np
import pytest

from pgan.benchmarks import ranking as benchmark
from pgan.benchmarks.ranking_reference import argsort_average_precision, literal_evaluate

pytestmark = pytest.mark.slow


def test_benchmark_reports_the_ratio_of_its_own_times():
    result = benchmark.ranking_benchmark(repeats=1, literal_queries=2)
    assert (result["queries"], result["gallery"]) == (1678, 11579)
    assert result["speedup"] == result["literal_seconds"] / result["seconds"]
    assert result["speedup_over_argsort"] == result["argsort_seconds"] / result["seconds"]
    assert result["speedup"] > 5


@pytest.mark.parametrize(
    ("protocol", "queries", "gallery", "pairs"),
    [("veriwild-large", 30, 300, 30 * 300), ("vehicleid-13164", 0, 300, 270 * 30 * 2)],
)
def test_a_full_size_test_counts_its_pairs(protocol, queries, gallery, pairs):
    result = benchmark.full_size(protocol, queries, gallery, 30, pairs // (270 * 30) or 1, 1)
    assert result["pairs"] == pairs
    assert result["nanoseconds_per_pair"] == pytest.approx(1e9 * result["seconds"] / pairs)
    assert 0.05 < result["peak_memory_gb"] < 16
    assert result["mAP"] > 10


def test_the_time_per_pair_is_reported_for_each_size(monkeypatch):
    monkeypatch.setattr(benchmark, "_GROWING", ((20, 160), (40, 320)))
    result = benchmark.scaling_benchmark(repeats=1)
    times = [result[f"nanoseconds_per_pair, {size}"] for size in ("20 x 160", "40 x 320")]
    assert result["largest_over_smallest"] == times[1] / times[0]


def test_the_sorted_scan_finds_the_literal_average_precision():
    rng = np.random.default_rng(0)
    labels = [rng.integers(-1, bound, count) for bound in (9, 3) for count in (40, 200)]
    distances = rng.random((40, 200))
    expected = literal_evaluate(distances, *labels).average_precision
    np.testing.assert_allclose(argsort_average_precision(distances, *labels, 7), expected)


def test_ranking_module_example_runs():
    import doctest

    import pgan.evaluation.ranking as ranking

    assert doctest.testmod(ranking).failed == 0
    assert doctest.testmod(ranking).attempted >= 3
