"""Kill a work at random moments, over and over, and compare what it leaves with an undisturbed one.

The work runs in a process forked from this one, so that starting it anew costs no imports; it is killed
with SIGKILL and its children with it, as the kernel does when memory runs out.
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
_POLL = 2e-4  # seconds between two looks for a file that is being written
_PATIENCE = (
    60,
    20,
)  # seconds, and times what the undisturbed work took, until a life counts as hung
_SIGHTS = 6  # a kill within writing comes at one of the first files that are seen half-written
ANYWHERE, WRITING = "at any moment", "while a file is written"


class TortureError(ValueError):
    """The work failed by itself, or hangs; the message says where its log is."""


@dataclass(frozen=True)
class Work:
    """What is tortured.

    Attributes:
        run: Is given the folder; goes on from what is there, and returns when all is done.
        half_written: Temporary files that are in the folder at this moment.
        content: What is in the folder at the end, by name; equal if the work's results are.
    """

    run: Callable[[Path], object]
    half_written: Callable[[Path], list[Path]]
    content: Callable[[Path], dict[str, str]]


@dataclass(frozen=True)
class Kill:
    """One kill: when it was aimed at, and whether it left a half-written file."""

    moment: str
    left_draft: bool


@dataclass
class Report:
    """What came of it.

    Attributes:
        seconds: That the undisturbed work took.
        compared: Names of the contents that are compared.
        kills: In order.
        ends: Works that were brought to their end through kills.
        differing: Contents that were not the undisturbed work's, by name.
        leftovers: Temporary files at an end.
    """

    seconds: float
    compared: list[str]
    kills: list[Kill] = field(default_factory=list)
    ends: int = 0
    differing: list[str] = field(default_factory=list)
    leftovers: list[str] = field(default_factory=list)

    @property
    def survived(self) -> bool:
        """Whether every end was the undisturbed one."""
        return bool(self.ends) and not self.differing and not self.leftovers

    def table(self) -> str:
        """As Markdown."""
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
            ["works brought to their end", str(self.ends), ""],
            ["contents that differ from the undisturbed work's", str(len(self.differing)), ""],
            ["temporary files left at the end", str(len(self.leftovers)), ""],
        ]
        return markdown_table(["", "count", "left a half-written file"], rows)


def torture(
    work: Work, folder: Path, kills: int, seed: int, say: Callable[[str], None] = lambda line: None
) -> Report:
    """Kill ``work`` so often; whenever it comes to its end, compare, and begin it anew.

    Half of the kills come at a moment drawn from the time that the undisturbed work takes, half as soon as
    one of the next files is seen half-written.

    Args:
        work: What is tortured.
        folder: For the undisturbed work, ``undisturbed``, and the tortured ones, ``tortured_1`` and so on.
        kills: How often.
        seed: Of the moments.
        say: Is given a line after each kill and each end.

    Raises:
        TortureError: The work failed by itself, or hangs; ``kills`` is negative.
    """
    if kills < 0:
        raise TortureError(f"kills={kills}: 0 or more of them, 0 to compare two undisturbed works")
    rng = np.random.default_rng(seed)
    start = time.monotonic()
    _live(work, folder / "undisturbed", iter(()))
    wanted = work.content(folder / "undisturbed")
    report = Report(time.monotonic() - start, sorted(wanted))
    patience = _PATIENCE[0] + _PATIENCE[1] * report.seconds
    while len(report.kills) < kills or not report.ends:
        place = folder / f"tortured_{report.ends + 1}"
        while len(report.kills) < kills:
            moment = (ANYWHERE, WRITING)[int(rng.integers(2))]
            moments = _moments(moment, work, place, report.seconds, rng)
            if not _live(work, place, moments, patience):
                break
            report.kills.append(Kill(moment, bool(work.half_written(place))))
            say(f"kill {len(report.kills)} of {kills}, {moment}")
        else:
            _live(work, place, iter(()), patience)
        report.ends += 1
        found = work.content(place)
        names = sorted(wanted.keys() | found.keys())
        differing = [name for name in names if wanted.get(name) != found.get(name)]
        report.differing += [f"{place.name}: {name}" for name in differing]
        report.leftovers += [str(path) for path in work.half_written(place)]
        say(f"{place.name} came to its end, " + ("with other content" if differing else "the same"))
    return report


def _moments(
    moment: str, work: Work, place: Path, seconds: float, rng: np.random.Generator
) -> Iterator[bool]:
    """Look by look, whether the moment to kill has come."""
    if moment == ANYWHERE:
        end = time.monotonic() + rng.uniform(0, seconds)
        while True:
            yield time.monotonic() > end
    sights, before = int(rng.integers(1, _SIGHTS)), set(work.half_written(place))
    while True:
        seen = set(work.half_written(place)) - before
        sights -= len(seen)
        before |= seen
        yield bool(seen) and sights <= 0


def _live(work: Work, place: Path, moments: Iterator[bool], patience: float = float("inf")) -> bool:
    """Let the work live until a moment comes or it ends; return whether it was killed."""
    end = time.monotonic() + patience
    place.mkdir(parents=True, exist_ok=True)
    log = place.parent / f"{place.name}.log"
    process = _FORK.Process(target=_in_group_of_its_own, args=(work, place, log))
    process.start()
    try:
        while process.is_alive() and not next(moments, False):
            if time.monotonic() > end:
                raise TortureError(f"{place}: the work hangs: its output is in {log}")
            process.join(_POLL)
    finally:  # even when we are interrupted
        if process.is_alive():
            _kill_group(process.pid)
            # Held open by its children, too, whose locks last until they have gone.
            wait([process.sentinel])
            process.join()
    if process.exitcode == -signal.SIGKILL:
        return True
    if process.exitcode:
        raise TortureError(f"{place}: the work failed by itself: its output is in {log}")
    return False


def _kill_group(leader: int) -> None:
    try:
        os.killpg(leader, signal.SIGKILL)
    except ProcessLookupError:  # too young to lead a group, or gone
        os.kill(leader, signal.SIGKILL)


def _in_group_of_its_own(work: Work, place: Path, log: Path) -> None:
    os.setpgid(0, 0)
    file = log.open("a", buffering=1)  # open until the process ends, for what it says then
    for stream in (1, 2):
        os.dup2(file.fileno(), stream)
    sys.stdout = sys.stderr = file
    # tqdm's own lock is shared with the process forked from: killed with it, we would keep it for ever.
    tqdm.set_lock(threading.RLock())
    work.run(place)
