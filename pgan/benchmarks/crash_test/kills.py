"""Kill a job at random moments, again and again, and compare its results with those of an uninterrupted run.

The job runs in a process forked from this one, so a restart costs no imports. It is killed with SIGKILL
together with its children, as the kernel does when memory runs out.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from pathlib import Path

import numpy as np
from tqdm import tqdm

from pgan.tables import markdown_table

_FORK = multiprocessing.get_context("fork")
_POLL = 2e-4  # seconds between two checks for a file that is being written
# A run counts as hung after these seconds plus this multiple of the uninterrupted run's time.
_PATIENCE = (60, 20)
_FILES = 6  # a kill during writing hits one of the first files that are seen half-written
ANYWHERE, WRITING = "at any moment", "while a file is written"


class CrashTestError(ValueError):
    """The job failed without being killed, or hangs; the message names its log."""


@dataclass(frozen=True)
class Job:
    """The job that is killed.

    Attributes:
        run: Called with the folder; resumes from what is in it, and returns when the job is done.
        half_written: Lists the temporary files that are in the folder now.
        content: Returns name -> content of the finished folder; equal contents mean equal results.
    """

    run: Callable[[Path], object]
    half_written: Callable[[Path], list[Path]]
    content: Callable[[Path], dict[str, str]]


@dataclass(frozen=True)
class Kill:
    """One kill: the kind of moment, and whether it left a half-written file."""

    moment: str
    left_file: bool


@dataclass
class CrashTestReport:
    """The outcome of a crash test.

    Attributes:
        seconds: Duration of the uninterrupted run.
        compared: Names of the contents that are compared.
        kills: All kills, in order.
        ends: Runs that finished in spite of kills.
        differing: Names of contents that differ from those of the uninterrupted run.
        leftovers: Temporary files that a finished run left.
    """

    seconds: float
    compared: list[str]
    kills: list[Kill] = field(default_factory=list)
    ends: int = 0
    differing: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    @property
    def survived(self) -> bool:
        """Whether every finished run equals the uninterrupted one."""
        return bool(self.ends) and not self.differing and not self.leftovers

    def table(self) -> str:
        """Return the counts as a Markdown table."""
        counts = Counter(self.kills)
        rows = [
            [
                f"kills {moment}",
                str(sum(counts[Kill(moment, left)] for left in (True, False))),
                str(counts[Kill(moment, True)]),
            ]
            for moment in (ANYWHERE, WRITING)
        ]
        rows += [
            ["finished runs", str(self.ends), ""],
            ["contents that differ from the uninterrupted run", str(len(self.differing)), ""],
            ["temporary files left at the end", str(len(self.leftovers)), ""],
        ]
        return markdown_table(["", "count", "left a half-written file"], rows)


def crash_test(
    job: Job, folder: Path, kills: int, seed: int, log: Callable[[str], None] = lambda line: None
) -> CrashTestReport:
    """Kill a job ``kills`` times; compare each finished run and start the next one.

    Half of the kills come at a random moment within the duration of the uninterrupted run, half as soon as
    one of the next files is seen half-written.

    Args:
        job: The job that is killed.
        folder: Gets the uninterrupted run, ``uninterrupted``, and the killed ones, ``killed_1`` and so on.
        kills: Number of kills; 0 compares two uninterrupted runs.
        seed: Seed of the moments.
        log: Called with a line after each kill and each finished run.

    Raises:
        CrashTestError: The job failed without being killed, or hangs; ``kills`` is negative.
    """
    if kills < 0:
        raise CrashTestError(
            f"kills={kills} is negative: use 0 or more; 0 compares two uninterrupted runs"
        )
    rng = np.random.default_rng(seed)
    start = time.monotonic()
    _run(job, folder / "uninterrupted", iter(()))
    expected = job.content(folder / "uninterrupted")
    report = CrashTestReport(time.monotonic() - start, sorted(expected))
    patience = _PATIENCE[0] + _PATIENCE[1] * report.seconds
    while len(report.kills) < kills or not report.ends:
        place = folder / f"killed_{report.ends + 1}"
        while len(report.kills) < kills:
            moment = (ANYWHERE, WRITING)[int(rng.integers(2))]
            moments = _moments(moment, job, place, report.seconds, rng)
            if not _run(job, place, moments, patience):
                break
            report.kills.append(Kill(moment, bool(job.half_written(place))))
            log(f"kill {len(report.kills)} of {kills}, {moment}")
        else:
            _run(job, place, iter(()), patience)
        report.ends += 1
        found = job.content(place)
        names = sorted(expected.keys() | found.keys())
        differing = [name for name in names if expected.get(name) != found.get(name)]
        report.differing += [f"{place.name}: {name}" for name in differing]
        report.leftovers += [str(path) for path in job.half_written(place)]
        log(
            f"{place.name} finished, "
            + ("with other content" if differing else "with equal content")
        )
    return report


def _moments(
    moment: str, job: Job, place: Path, seconds: float, rng: np.random.Generator
) -> Iterator[bool]:
    """Yield at each check whether it is time to kill."""
    if moment == ANYWHERE:
        end = time.monotonic() + rng.uniform(0, seconds)
        while True:
            yield time.monotonic() > end
    left, before = int(rng.integers(1, _FILES)), set(job.half_written(place))
    while True:
        seen = set(job.half_written(place)) - before
        left -= len(seen)
        before |= seen
        yield bool(seen) and left <= 0


def _run(job: Job, place: Path, moments: Iterator[bool], patience: float = float("inf")) -> bool:
    """Run the job until it is time to kill or it ends; return whether it was killed."""
    end = time.monotonic() + patience
    place.mkdir(parents=True, exist_ok=True)
    log = place.parent / f"{place.name}.log"
    process = _FORK.Process(target=_run_in_own_group, args=(job, place, log))
    process.start()
    try:
        while process.is_alive() and not next(moments, False):
            if time.monotonic() > end:
                raise CrashTestError(f"{place}: the job hangs: its output is in {log}")
            process.join(_POLL)
    finally:  # also on Ctrl-C
        if process.is_alive() and process.pid is not None:
            _kill_group(process.pid)
            # Its children hold the sentinel open as well, and keep their locks until they have ended.
            wait([process.sentinel])
            process.join()
    if process.exitcode == -signal.SIGKILL:
        return True
    if process.exitcode:
        raise CrashTestError(
            f"{place}: the job failed without being killed: its output is in {log}"
        )
    return False


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:  # it has not set its group yet, or has ended
        os.kill(leader, signal.SIGKILL)


def _run_in_own_group(job: Job, place: Path, log: Path) -> None:
    os.setpgid(0, 0)
    file = log.open("a", buffering=1)  # open until the process ends, for its last output
    for stream in (1, 2):
        os.dup2(file.fileno(), stream)
    sys.stdout = sys.stderr = file
    # tqdm's own lock is shared with the parent: a process killed while holding it would lock it for ever.
    tqdm.set_lock(threading.RLock())
    job.run(place)
