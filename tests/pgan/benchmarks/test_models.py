import pytest
import torch

from pgan.benchmarks import models as benchmark
from pgan.benchmarks.timing import paired_medians

pytestmark = pytest.mark.slow


def test_functions_take_turns_after_the_warmup(monkeypatch):
    calls, clock = [], iter(range(100))
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    medians = paired_medians(
        {"a": lambda: calls.append("a"), "b": lambda: calls.append("b") or next(clock)}, 3, warmup=2
    )
    assert calls == ["a", "b"] * 5
    assert medians == {"a": 1, "b": 2}


@pytest.mark.parametrize(("repeats", "warmup"), [(0, 1), (1, -1)])
def test_timing_nothing_is_refused(repeats, warmup):
    with pytest.raises(ValueError, match="repeats must be >= 1"):
        paired_medians({}, repeats, warmup)


@pytest.mark.filterwarnings("ignore:.*Profiler clears events")
def test_allocated_bytes_counts_scratch_and_what_is_kept():
    def run():
        scratch = torch.ones(300_000)
        return scratch[:100_000] + 1

    peak, held = benchmark.allocated_bytes(run)
    assert held == 4 * 100_000
    assert peak == pytest.approx(4 * 400_000, abs=100)  # a few bytes for scalars


def test_part_attention_needs_a_tenth_of_the_memory_for_the_same_result():
    result = benchmark.part_attention(batch=4, channels=1024, repeats=1)
    assert result["memory_ratio"] < 0.1
    assert result["max_error"] < 1e-5
    assert result["speedup"] == pytest.approx(result["literal_s"] / result["ours_s"])


def test_pgan_over_baseline_is_a_ratio_of_two_times():
    result = benchmark.pgan_over_baseline(batch=1, size=64, repeats=1, backbone="resnet18")
    assert result["ratio"] == pytest.approx(result["pgan_s"] / result["baseline_s"])
