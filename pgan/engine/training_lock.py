"""One training at a time in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from detector.common.locks import exclusive_lock
from pgan.engine.launchers import LAUNCHERS

_LOCK = ".training.lock"


class TrainingLockError(ValueError):
    """Another training is at work in the folder, or nobody can be."""


@contextmanager
def training_alone(work_dir: str | os.PathLike[str], launcher: str = "none") -> Iterator[None]:
    """Keep other trainings out of a folder; to be held before a runner is built, which writes there.

    Of the processes of one training the first holds the lock for all. It ends with that process, however that
    ends: its loader's workers, which may outlive it by seconds, do not inherit it. So a killed training keeps
    nobody out. The lock's file stays, empty; it is not the lock of a sweep, whose command this may be.

    Args:
        work_dir: Made if it is not there.
        launcher: As of `pgan.apis.build_runner`.

    Raises:
        TrainingLockError: Another process trains there, or the folder cannot be written to; the launcher's
            number of this process is no number.
    """
    # Asked of the launcher: process groups are made by the runner, which comes too late.
    if launcher in LAUNCHERS and _rank(launcher) > 0:
        yield
        return
    with exclusive_lock(work_dir, TrainingLockError, _LOCK, inherited=False):
        yield


def _rank(launcher: str) -> int:
    variable, command, *_ = LAUNCHERS[launcher]
    rank = os.environ.get(variable, "0")
    if not rank.isdecimal():
        raise TrainingLockError(
            f"--launcher {launcher}: {variable}={rank!r} is no process's number: start by `{command}`, which "
            "sets it"
        )
    return int(rank)
