"""JSON files of a gallery, each with its own checksum, so that a changed number is noticed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from detector.common.files import write_json
from detector.common.schema import add_checksum, check, verify_checksum


def write_checksummed_json(path: str | os.PathLike[str], value: dict[str, Any]) -> Path:
    """Write JSON values with their checksum, atomically."""
    return write_json(path, add_checksum(value))


def read_checksummed_json(path: str | os.PathLike[str], shape: dict[Any, Any]) -> dict[str, Any]:
    """Read a file of `write_checksummed_json`, or an older one without a checksum.

    Args:
        path: The file.
        shape: Required keys and the shapes of their values, see `detector.common.schema`.

    Raises:
        OSError: The file cannot be read.
        ValueError: It is not JSON, has another shape, or has changed since it was written.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(str(error)) from None
    if not isinstance(value, dict):
        raise ValueError("is not a JSON object")
    value = verify_checksum(value)
    check(value, shape)
    return value
