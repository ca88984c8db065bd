"""Files that are whole or not there."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO


def write_atomically(path: str | os.PathLike[str], write: Callable[[BinaryIO], object]) -> Path:
    """Write a file beside its place, then move it there: killed in between, the old one stays.

    Args:
        path: Where to; missing folders are made.
        write: Is given the open binary file.

    Returns:
        The path.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(draft, 0o666 & ~umask)  # mkstemp's file is for its owner alone
        os.replace(draft, path)
    except BaseException:
        os.unlink(draft)
        raise
    return path


def write_json(path: str | os.PathLike[str], value: object) -> Path:
    """Write plain values as JSON, indented, in one step."""
    text = json.dumps(value, indent=2, ensure_ascii=False) + "\n"
    return write_atomically(path, lambda file: file.write(text.encode("utf-8")))
