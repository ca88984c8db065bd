"""Allow one training run at a time per folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from detector.common.locks import exclusive_lock
from pgan.engine.launchers import LAUNCHERS

_LOCK = ".training.lock"


class TrainingLockError(ValueError):
    """Another run is training in the folder, or the folder cannot be locked."""


@contextmanager
def training_alone(work_dir: str | os.PathLike[str], launcher: str = "none") -> Iterator[None]:
    """Keep other training runs out of a folder; to be held before the runner is built, which writes there.

    The first process of a run holds the lock for all. The lock ends with that process, however it ends: data
    loader workers, which may outlive it by seconds, do not inherit it. So a killed run blocks nobody. The
    empty lock file stays. A sweep that starts this run has a lock of its own.

    Args:
        work_dir: The folder; created if needed.
        launcher: See `pgan.apis.build_runner`.

    Raises:
        TrainingLockError: Another process trains in the folder, the folder cannot be written to, or the
            launcher's rank variable is not a number.
    """
    # Read from the environment: the runner creates the process group too late.
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
            f"--launcher {launcher}: {variable}={rank!r} is not a rank: start with `{command}`, which sets "
            "it"
        )
    return int(rank)
