"""What can be wrong with a data set."""

from __future__ import annotations


class DatasetError(ValueError):
    """A data set that cannot be used; the message names the file, the line and the fix.

    Attributes:
        kind (str): What sort of fault it is, in a few words, for `pgan.datasets.check` to count by.
    """

    def __init__(self, message: str, kind: str = "malformed line") -> None:
        super().__init__(message)
        self.kind = kind


def refuse(error: DatasetError) -> None:
    """Raise it: what a data set does with its first fault, unless it is being checked."""
    raise error
