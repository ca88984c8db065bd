"""How far a sweep is: a line per run, the time left, and on a terminal the epoch it is in."""

from __future__ import annotations

import re
import shutil
import sys
import threading
import time
from collections.abc import Callable

_EPOCH = re.compile(r"Epoch\(train\)\s*\[(\d+)\]\[\s*(\d+)/(\d+)\]")
_ITER = re.compile(r"Iter\(train\)\s*\[\s*(\d+)/(\d+)\]")


def fraction_done(line: str, max_epochs: int | None) -> float | None:
    """Return the progress stated by a line of a training log, from 0 to 1; None if it states none.

    Args:
        line: As mmengine logs it.
        max_epochs: Of the training; None for one that counts iterations.
    """
    if max_epochs and (match := _EPOCH.search(line)):
        epoch, iteration, iterations = map(int, match.groups())
        return (epoch - 1 + iteration / iterations) / max_epochs
    if match := _ITER.search(line):
        return int(match[1]) / int(match[2])
    return None


class Progress:
    """Progress that many threads report, and an estimate of the remaining time.

    Args:
        total: Runs in all.
        done: Runs that were finished before.
        pending: Trainings to come; the time left is that of their shares.
        clock: Seconds.
    """

    def __init__(
        self, total: int, done: int, pending: int, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.total, self.done, self.pending, self.clock = total, done, pending, clock
        self.start = clock()
        # Training -> what it had done when first seen, and has now.
        self.shares: dict[str, tuple[float, float]] = {}
        self.lock = threading.Lock()
        self.status_shown = False

    def update(self, job: str, fraction: float, text: str = "") -> None:
        """A training has come so far."""
        with self.lock:
            first, before = self.shares.get(job, (fraction if fraction < 1 else 0.0, 0.0))
            self.shares[job] = first, fraction
            if not sys.stdout.isatty():
                # A log shows each tenth.
                if text and int(10 * fraction) > int(10 * before):
                    print(f"  {self._counts()}  {job}: {text}", flush=True)
            elif text:
                width = shutil.get_terminal_size().columns - 1
                line = f"  {self._counts()}  {job}: {text}"
                print(f"\r\x1b[K{line[:width]}", end="", flush=True)
                self.status_shown = True

    def finished(self, run: str, text: str) -> None:
        """A run is finished."""
        with self.lock:
            self.done += 1
            self._print(f"[{self._counts()}] {run}: {text}")

    def say(self, text: str) -> None:
        """Print a line of its own."""
        with self.lock:
            self._print(text)

    def left(self) -> float | None:
        """Return the estimated seconds to the end; None before there is an estimate."""
        worked = sum(now - first for first, now in self.shares.values())
        if worked <= 0:
            return None
        to_come = self.pending - sum(now for _, now in self.shares.values())
        return to_come * (self.clock() - self.start) / worked

    def _counts(self) -> str:
        left = self.left()
        when = "" if left is None or self.done == self.total else f", about {_duration(left)} left"
        return f"{self.done}/{self.total} runs{when}"

    def _print(self, text: str) -> None:
        print(f"\r\x1b[K{text}" if self.status_shown else text, flush=True)
        self.status_shown = False


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
