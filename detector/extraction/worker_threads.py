"""Several batches at once on a CPU, each on threads of its own.

A small network's layers are too short to be shared by threads, which wait for each other at the end of
every layer, and for as long as another process has one of their cores. Batches need not wait for each other.
"""

from __future__ import annotations

import ctypes
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item, Result = TypeVar("Item"), TypeVar("Result")

# More would wait for Python's lock: it is held for about a tenth of a small network's time.
_MOST = 8
# glibc's M_TRIM_THRESHOLD and M_MMAP_THRESHOLD; and M_TOP_PAD, 64 MB, the heaps of threads.
_MALLOC_SETTINGS = {-1: 1 << 30, -3: 1 << 30, -2: 1 << 26}


def keep_freed_memory() -> None:
    """Let this process keep for its next batch what the last one freed.

    glibc gives the memory of a whole batch back when it is freed, and the kernel clears every page before it
    gives it out again: an eighth of an extraction's time. Best called before anything large is made. It lasts
    as long as the process; other C libraries are left as they are.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if os.name == "posix" else None
    if mallopt is not None:
        for parameter, value in _MALLOC_SETTINGS.items():
            mallopt(parameter, value)


def count_lanes(device: torch.device) -> int:
    """Batches at once that use a device best: one for each of torch's threads, eight at most; 1 on a GPU."""
    return min(_MOST, torch.get_num_threads()) if device.type == "cpu" else 1


def map_in_lanes(
    function: Callable[[Item], Result], items: Iterable[Item], lanes: int
) -> Iterator[Result]:
    """The built-in ``map``, with as many calls at once as there are lanes.

    Torch's threads are divided among the lanes. Items are drawn in this thread, a few ahead of the results.

    Args:
        function: Called in threads; its error is raised here, at the place of its result.
        items: Drawn in order.
        lanes: 1 calls in this thread.

    Yields:
        Results in the order of the items.
    """
    if lanes == 1:
        yield from map(function, items)
        return
    threads = torch.get_num_threads()
    each = max(1, threads // lanes)
    torch.set_num_threads(each)  # here, too, for items that are made while lanes are at work
    begun: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(lanes, initializer=torch.set_num_threads, initargs=(each,))
    try:
        for item in items:
            begun.append(pool.submit(function, item))
            if len(begun) > 2 * lanes:
                yield begun.popleft().result()
        while begun:
            yield begun.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
