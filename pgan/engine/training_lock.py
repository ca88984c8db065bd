"""One training at a time in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from detector.files import alone_in

_LOCK = ".training.lock"
_RANKS = {"pytorch": "RANK", "slurm": "SLURM_PROCID", "mpi": "OMPI_COMM_WORLD_RANK"}


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
        TrainingLockError: Another process trains there, or the folder cannot be written to.
    """
    # Asked of the launcher: process groups are made by the runner, which comes too late.
    if int(os.environ.get(_RANKS.get(launcher, ""), 0)) > 0:
        yield
        return
    with alone_in(work_dir, TrainingLockError, _LOCK, inherited=False):
        yield
