"""The benchmarks of extraction and cache run; what they measure is not tested."""

from __future__ import annotations

import pytest

from pgan.benchmarks.extraction import extraction_benchmark
from pgan.benchmarks.part_cache import cache_benchmark

pytestmark = pytest.mark.slow


def test_the_cache_is_smaller_and_takes_no_memory() -> None:
    found = cache_benchmark(images=128, many=2000, repeats=1)
    assert found["speedup"] > 0
    assert found["size_ratio"] < 0.2
    assert found["many_private_mb"] < 20


def test_the_stages_of_an_extraction_add_up() -> None:
    found = extraction_benchmark(images=2, batch_size=2, workers=0, repeats=1)
    assert abs(sum(v for k, v in found.items() if k.endswith("_percent")) - 100) < 1e-6
    assert min(found.values()) > 0
