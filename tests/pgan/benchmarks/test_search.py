"""The search benchmark at small sizes, and what is computed from its parts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from pgan.benchmarks import search as benchmark
from pgan.benchmarks.search import by_size, fleet_features, search_benchmark, search_table
from pgan.benchmarks.search_extrapolation import (
    ExtrapolationError,
    IndexCosts,
    extrapolate,
    extrapolation_table,
)

pytestmark = pytest.mark.slow

PARTS = IndexCosts(
    dims=512,
    bytes_per_image=80.0,
    lists=4096,
    effort=512,
    seconds_per_image=1e-5,
    seconds_per_list_and_image=1e-9,
    query_seconds=3e-4,
    query_seconds_per_list=2e-8,
    query_seconds_per_code=4e-9,
    exact_seconds_per_image=1e-7,
)


def test_features_cluster_as_vehicles_do():
    features, queries = fleet_features(3000, 100)
    assert (features.shape, queries.shape) == ((3000, 512), (100, 512))
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    distances = 2 - 2 * queries @ features.T
    assert np.median(distances) == pytest.approx(2, abs=0.1)
    assert np.median(distances.min(1)) < 0.7  # a view of the same vehicle
    again = fleet_features(3000, 100)
    np.testing.assert_array_equal(again[0], features)
    assert not np.array_equal(fleet_features(3000, 100, seed=1)[0], features)


def test_each_size_has_times_ratios_recall_and_costs():
    results = search_benchmark((1000, 2000), "ivfpq", dims=64, queries=50, repeats=2)
    rows = by_size(results)
    assert list(rows) == [1000, 2000]
    for row in rows.values():
        assert row["kind"] == "ivfpq"
        assert row["numpy_over_index"] == pytest.approx(row["numpy_ms"] / row["index_ms"])
        assert row["exact_over_index"] == pytest.approx(row["exact_ms"] / row["index_ms"])
        assert row["row_ms"] > 0
        assert 0.5 < row["recall@10"] <= 1
        assert 0.9 < row["recall@1"] <= 1
        assert 0 < row["bytes_per_image"] < 4 * 64 * 2
        assert row["build_s"] > 0
    table = search_table(results)
    assert "| 1,000 " in table.splitlines()[2]
    assert "recall@10" in table.splitlines()[0]


def test_below_the_rule_the_index_is_exact_and_misses_nothing():
    row = by_size(search_benchmark((1000,), dims=32, queries=20, repeats=1))[1000]
    assert (row["kind"], row["recall@1"], row["recall@10"]) == ("exact", 1, 1)
    assert row["bytes_per_image"] == 4 * 32


def test_recall_counts_the_nearest_images_that_are_found():
    found = np.array([[1, 2, 3], [9, 8, 7]])
    truth = np.array([[1, 3, 5], [7, 8, 9]])
    assert benchmark._recall(found, truth[:, :1]) == 0.5
    assert benchmark._recall(found, truth) == pytest.approx(5 / 6)


def test_a_thousand_million_images_by_hand():
    made = extrapolate(PARTS, 10**9)
    lists = 2**17  # 4 sqrt(10^9) = 126,491
    assert made.feature_bytes == 2048e9
    assert made.index_bytes == 80e9
    assert made.build_bytes == 160e9 + 40 * lists * 2048
    assert made.build_seconds == pytest.approx(1e4 + lists * (1e9 + 400 * lists) * 1e-9)
    assert made.query_seconds == pytest.approx(3e-4 + lists * 2e-8 + 1e9 / 8 * 4e-9)
    assert made.exact_seconds == pytest.approx(100)
    assert made.machines == 2  # 80 GB in 0.8 x 64 GiB each


def test_more_images_cost_more_and_stand_in_the_table():
    made = [extrapolate(PARTS, count) for count in (10**7, 10**8, 10**9)]
    for name in ("index_bytes", "build_seconds", "query_seconds", "build_bytes"):
        values = [getattr(extrapolation, name) for extrapolation in made]
        assert values == sorted(values)
    lines = extrapolation_table(PARTS).splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        "10,000,000",
        "100,000,000",
        "1,000,000,000",
    ]


def test_parts_that_tell_nothing_are_refused():
    with pytest.raises(ExtrapolationError, match="query_seconds must be a number of 0 or more"):
        replace(PARTS, query_seconds=float("nan"))
    with pytest.raises(ExtrapolationError, match="5000 of 4096 lists"):
        replace(PARTS, effort=5000)
    with pytest.raises(ExtrapolationError, match="images must be 1 or more"):
        extrapolate(PARTS, 0)


def test_the_parts_are_measured(monkeypatch):
    times = {"near": 3e-4, "far": 5e-4, "centres": 1e-4, "exact": 2e-3, "many": 1e-3}
    monkeypatch.setattr(
        benchmark, "paired_medians", lambda sides, repeats: {name: times[name] for name in sides}
    )
    parts = benchmark.measure_index_costs(2000)
    assert parts.lists == 128
    assert 0 < parts.effort <= 64
    per_code = 2e-4 / (2000 * (1 - parts.effort / 128))
    assert parts.query_seconds_per_code == pytest.approx(per_code)
    assert parts.query_seconds_per_list == pytest.approx(1e-4 / 128)
    assert parts.exact_seconds_per_image == pytest.approx(1e-6)
    total = parts.query_seconds + 1e-4 + parts.effort / 128 * 2000 * per_code
    assert total == pytest.approx(3e-4)
    times["far"] = 2e-4
    with pytest.raises(ExtrapolationError, match="measure on a quiet machine"):
        benchmark.measure_index_costs(2000)
