"""The loader's benchmark runs and its ratios are those of its rates; what it measures is not tested."""

from __future__ import annotations

import pytest

from pgan.benchmarks.loader import loader_benchmark

pytestmark = pytest.mark.slow

FLEET = {"small": "configs/pgan/pgan_r18-cpu_1xb64-24e_fleet-96x96.py"}


def test_ratios_are_of_the_rates_and_waiting_is_a_share() -> None:
    found = loader_benchmark(FLEET, images=1, identities=2, batches=1, steps=1, repeats=1)
    loaders = [f"small_{k}_{d}" for k in ("crops", "large") for d in ("full", "reduced")]
    for loader in loaders:
        ratio = found[loader] / found["small_model"]
        assert found[f"{loader}_over_model"] == pytest.approx(ratio)
    needed = found["small_workers_needed"]
    assert needed == pytest.approx(1 / found["small_crops_full_over_model"])
    assert 0 < found["small_waiting_percent"] < 100
    assert len(found) == 2 * len(loaders) + 3
