"""Mapping a function over items in worker threads."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from detector.extraction.worker_threads import count_worker_threads, map_in_threads


@pytest.fixture
def four_torch_threads() -> Iterator[None]:
    """Four torch threads during the test."""
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_torch_threads")
def test_map_in_threads_keeps_the_order_and_calls_concurrently() -> None:
    both = threading.Barrier(2, timeout=20)

    def call(item: int) -> tuple[int, int]:
        both.wait()  # passes only if two calls run at once
        return item, torch.get_num_threads()

    assert list(map_in_threads(call, iter(range(10)), 2)) == [(i, 2) for i in range(10)]
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_torch_threads")
def test_map_in_threads_raises_an_error_in_place_of_its_result() -> None:
    drawn = []

    def items() -> Iterator[int]:
        for item in range(100):
            drawn.append(item)
            yield item

    results = map_in_threads(lambda item: 12 // (3 - item), items(), 2)
    assert [next(results) for _ in range(3)] == [4, 6, 12]
    with pytest.raises(ZeroDivisionError):
        next(results)
    assert len(drawn) < 12


@pytest.mark.usefixtures("four_torch_threads")
def test_map_in_threads_restores_the_number_of_torch_threads_when_closed() -> None:
    results = map_in_threads(abs, range(100), 3)
    assert next(results) == 0
    results.close()
    assert torch.get_num_threads() == 4


def test_map_in_threads_with_one_thread_calls_in_the_calling_thread() -> None:
    here = threading.get_ident()
    assert set(map_in_threads(lambda _: threading.get_ident(), range(5), 1)) == {here}


@pytest.mark.usefixtures("four_torch_threads")
def test_count_worker_threads_is_one_on_a_gpu_and_at_most_eight_on_a_cpu() -> None:
    assert count_worker_threads(torch.device("cuda")) == 1
    assert count_worker_threads(torch.device("cpu")) == 4
    torch.set_num_threads(64)
    assert count_worker_threads(torch.device("cpu")) == 8
