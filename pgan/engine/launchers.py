"""The launchers of distributed training, by the names of ``--launcher``."""

from __future__ import annotations

from typing import NamedTuple


class Launcher(NamedTuple):
    """A launcher.

    Attributes:
        rank: The environment variable with the rank of the process.
        command: The command that starts the processes.
        further: Further variables that the processes need to connect.
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
