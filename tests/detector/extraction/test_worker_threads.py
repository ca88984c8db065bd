"""Batches at once: what comes out is what `map` gives, whatever the lanes do meanwhile."""

from __future__ import annotations

import multiprocessing
import platform
import resource
import threading
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from detector.extraction.worker_threads import count_lanes, keep_freed_memory, map_in_lanes


@pytest.fixture
def threads() -> Iterator[None]:
    """Four threads, and the number there was before again afterwards."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("threads")
def test_results_are_in_the_order_of_the_items_and_calls_at_once() -> None:
    both = threading.Barrier(2, timeout=20)

    def call(item: int) -> tuple[int, int]:
        both.wait()  # the even ones wait for the odd ones
        return item, torch.get_num_threads()

    assert list(map_in_lanes(call, iter(range(10)), 2)) == [(i, 2) for i in range(10)]
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("threads")
def test_an_error_is_raised_at_its_place_and_items_are_drawn_as_needed() -> None:
    drawn = []

    def items() -> Iterator[int]:
        for item in range(100):
            drawn.append(item)
            yield item

    results = map_in_lanes(lambda item: 12 // (3 - item), items(), 2)
    assert [next(results) for _ in range(3)] == [4, 6, 12]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(drawn) < 12
    results = map_in_lanes(abs, items(), 3)
    assert next(results) == 0
    results.close()
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("threads")
def test_one_lane_calls_in_this_thread_and_a_gpu_has_one() -> None:
    here = threading.get_ident()
    assert set(map_in_lanes(lambda _: threading.get_ident(), range(5), 1)) == {here}
    assert count_lanes(torch.device("cuda")) == 1
    assert count_lanes(torch.device("cpu")) == 4
    torch.set_num_threads(64)
    assert count_lanes(torch.device("cpu")) == 8


def pages_of_a_second_batch(threads: int) -> int:
    """Pages that the kernel gives for 30 MB a thread, after as much was freed."""
    keep_freed_memory()

    def batch(_: int) -> None:
        several = [np.ones(3 << 20, np.uint8) for _ in range(10)]
        del several

    before = 0
    for _ in range(2):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in map_in_lanes(batch, range(threads), threads):
            pass
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="of glibc alone")
@pytest.mark.parametrize("threads", [1, 2])
def test_memory_of_a_batch_is_there_for_the_next(threads: int) -> None:
    with multiprocessing.get_context("fork").Pool(1) as pool:
        assert pool.apply(pages_of_a_second_batch, [threads]) < 700  # of 7,680 a thread
