"""A gallery's JSON files: each holds its own checksum, so that no changed number is believed."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from detector.common.files import write_json
from detector.common.schema import fits, seal, unseal


def write_sealed(path: str | os.PathLike[str], value: dict[str, Any]) -> Path:
    """Write plain values with their checksum, in one step."""
    return write_json(path, seal(value))


def read_sealed(path: str | os.PathLike[str], shape: dict[Any, Any]) -> dict[str, Any]:
    """Read what `write_sealed` wrote, or an older file, which has no checksum.

    Args:
        path: The file.
        shape: What it has to hold, see `detector.common.schema.fits`.

    Raises:
        OSError: It cannot be read.
        ValueError: It is no JSON, holds something else, or has changed since it was written.
    """
    try:
        value = json.loads(Path(path).read_text(encoding="utf-8"))
    except RecursionError as error:
        raise ValueError(str(error)) from None
    if not isinstance(value, dict):
        raise ValueError("holds no names")
    value = unseal(value)
    if wrong := [key for key in shape if not (key in value and fits(value[key], shape[key]))]:
        raise ValueError(f"its {wrong[0]!r} is missing or makes no sense")
    return value
