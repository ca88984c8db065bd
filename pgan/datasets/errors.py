"""The error that all data sets raise."""

from __future__ import annotations


class DatasetError(ValueError):
    """A data set that cannot be used; the message names the file, the line and the fix.

    Attributes:
        kind (str): Category of the fault, by which `pgan.datasets.check` groups faults.
    """

    def __init__(self, message: str, kind: str = "malformed line") -> None:
        super().__init__(message)
        self.kind = kind


def refuse(error: DatasetError) -> None:
    """Raise the error. This is how a data set handles a fault, unless it is being checked."""
    raise error
