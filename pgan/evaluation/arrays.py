"""Files of named arrays: ``.npz`` with a schema version, written atomically, without pickle."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from detector.common.files import write_atomically


@dataclass(frozen=True)
class ArrayFile:
    """A kind of file.

    Attributes:
        kind: Its name in messages, such as ``'feature file'``.
        schema: Version of its content.
        made_by: The command that writes one; ``{path}`` stands for the file.
        error: Raised for a file that is not of this kind.

    Example:
        >>> import tempfile
        >>> kind = ArrayFile("list of ids", 1, "your script", ValueError)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = kind.save(f"{folder}/ids.npz", {"ids": np.arange(3)})
        ...     kind.load(path)["ids"].tolist()
        [0, 1, 2]
    """

    kind: str
    schema: int
    made_by: str
    error: type[Exception]

    def save(self, path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> Path:
        """Write arrays, numbers and strings; raise ``error`` if the name does not end in ``.npz``."""
        if Path(path).suffix != ".npz":
            raise self.error(f"{path}: the name of a {self.kind} must end in .npz")
        schema = np.int64(self.schema)
        return write_atomically(path, lambda file: np.savez(file, schema=schema, **arrays))

    def load(self, path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
        """Read the arrays; raise ``error`` if the file is missing, damaged, or of another kind."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except FileNotFoundError as error:
            made_by = self.made_by.format(path=path)
            raise self.error(f"{path}: no such file; {made_by} writes it") from error
        except Exception as error:  # NumPy and zipfile raise many kinds for a broken file
            raise self.error(f"{path}: not a {self.kind}, or damaged ({error})") from error
        if int(arrays.pop("schema", -1)) != self.schema:
            made_by = self.made_by.format(path=path)
            raise self.error(
                f"{path}: not a {self.kind} of schema {self.schema}; {made_by} writes one"
            )
        return arrays
