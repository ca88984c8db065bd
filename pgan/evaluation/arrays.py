"""Named arrays in an ``.npz`` with a schema, written atomically, nothing pickled."""

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
        kind: What it is called, such as ``'feature file'``.
        schema: Version of its content.
        made_by: What makes one; ``{path}`` stands for the file.
        refusal: Raised for what is no such file.
    """

    kind: str
    schema: int
    made_by: str
    refusal: type[Exception]

    def save(self, path: str | os.PathLike[str], arrays: Mapping[str, Any]) -> Path:
        """Write arrays, numbers and texts; raises ``refusal`` where the name does not end in ``.npz``."""
        if Path(path).suffix != ".npz":
            raise self.refusal(f"{path}: a {self.kind}'s name ends in .npz")
        schema = np.int64(self.schema)
        return write_atomically(path, lambda file: np.savez(file, schema=schema, **arrays))

    def load(self, path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
        """Read them; raises ``refusal`` for a file that is missing, damaged, or of another kind."""
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in file.files}
        except FileNotFoundError as error:
            made_by = self.made_by.format(path=path)
            raise self.refusal(f"{path}: no such file; {made_by} makes it") from error
        except Exception as error:  # numpy and zipfile raise many kinds for a broken file
            raise self.refusal(f"{path}: not a {self.kind}, or damaged ({error})") from error
        if int(arrays.pop("schema", -1)) != self.schema:
            made_by = self.made_by.format(path=path)
            raise self.refusal(
                f"{path}: not a {self.kind} of schema {self.schema}; {made_by} makes one"
            )
        return arrays
