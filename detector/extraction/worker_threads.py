"""Several batches at once on a CPU, each on its own threads.

The layers of a small network are too short to divide among threads: the threads wait for each other at the
end of every layer, and for as long as another process occupies one of their cores. Batches are independent,
so each one is given to a worker thread instead.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

import torch

Item = TypeVar("Item")
Result = TypeVar("Result")

# A small network holds Python's global lock for a tenth of its time; more threads would wait for it.
_MAX_WORKER_THREADS = 8


def count_worker_threads(device: torch.device) -> int:
    """Number of batches to run at once: one per torch thread and at most eight on a CPU, one on a GPU.

    >>> count_worker_threads(torch.device("cuda"))
    1
    """
    return min(_MAX_WORKER_THREADS, torch.get_num_threads()) if device.type == "cpu" else 1


def map_in_threads(
    function: Callable[[Item], Result], items: Iterable[Item], worker_threads: int
) -> Iterator[Result]:
    """Like the built-in ``map``, with one call at a time in each worker thread.

    Torch's threads are divided among the worker threads. Items are drawn in the calling thread, a few ahead
    of the results.

    Args:
        function: Called in the worker threads. If a call raises, the error is raised in place of its result.
        items: Drawn in order.
        worker_threads: Number of threads; with 1, the calling thread calls the function.

    Yields:
        Results in the order of the items.

    >>> list(map_in_threads(abs, [-1, 2, -3], worker_threads=2))
    [1, 2, 3]
    """
    if worker_threads == 1:
        yield from map(function, items)
        return
    num_threads = torch.get_num_threads()
    threads_each = max(1, num_threads // worker_threads)
    # The calling thread is limited, too: it prepares items while the worker threads are busy.
    torch.set_num_threads(threads_each)
    pending: deque[Future[Result]] = deque()
    pool = ThreadPoolExecutor(
        worker_threads, initializer=torch.set_num_threads, initargs=(threads_each,)
    )
    try:
        for item in items:
            pending.append(pool.submit(function, item))
            if len(pending) > 2 * worker_threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(num_threads)
