"""What starts the processes of a training, as mmengine's ``--launcher`` names it."""

from __future__ import annotations

from typing import NamedTuple


class Launcher(NamedTuple):
    """A launcher.

    Attributes:
        rank: The environment variable in which it tells a process its number among all.
        command: How it is called.
        further: Other variables without which its processes do not find each other.
    """

    rank: str
    command: str
    further: tuple[str, ...] = ()


LAUNCHERS = {
    "pytorch": Launcher(
        "RANK", "torchrun --nproc-per-node N", ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    ),
    "slurm": Launcher("SLURM_PROCID", "srun"),
    "mpi": Launcher("OMPI_COMM_WORLD_RANK", "mpirun"),
}
