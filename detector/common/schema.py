"""Plain values out of a file that anybody may have written: are they what a program goes on to use?"""

from __future__ import annotations

import json
import re
from hashlib import sha256
from typing import Any

COUNT = range(2**63)
SEAL = "manifest_sha256"  # the name of a JSON file's own checksum in it; older files have none
_GREATEST = 1e300


def fits(value: Any, shape: Any) -> bool:
    """Whether plain values are of a shape.

    Args:
        value: As JSON has them.
        shape: A type, of which ``float`` is any number that is finite; a range that an integer lies in; a
            pattern that a text has; a tuple of shapes, one of which it is; ``[shape]``, a list of any length,
            ``[shape, shape]``, one of two; ``{"key": shape}``, names that are there, among others;
            ``{str: shape}``, any names. None for None.

    >>> fits({"a": [1, 2], "b": "x"}, {"a": [COUNT]})
    True
    """
    if isinstance(shape, dict):
        if not isinstance(value, dict):
            return False
        if str in shape:
            return all(fits(inner, shape[str]) for inner in value.values())
        return all(key in value and fits(value[key], inner) for key, inner in shape.items())
    if isinstance(shape, list):
        inner = shape * len(value) if isinstance(value, list) and len(shape) == 1 else shape
        return isinstance(value, list) and len(value) == len(inner) and all(map(fits, value, inner))
    if isinstance(shape, tuple):
        return any(fits(value, one) for one in shape)
    if isinstance(shape, range):
        return type(value) is int and value in shape
    if isinstance(shape, re.Pattern):
        return isinstance(value, str) and shape.fullmatch(value) is not None
    if shape is float:
        return type(value) in (int, float) and -_GREATEST < value < _GREATEST
    return value is None if shape is None else isinstance(value, shape)


def seal(values: dict[str, Any]) -> dict[str, Any]:
    """Plain values with their checksum, to be written as JSON."""
    values = json.loads(json.dumps(values))  # as they will be read: a key is text, a tuple a list
    return values | {SEAL: _checksum(values)}


def unseal(values: dict[str, Any]) -> dict[str, Any]:
    """What `seal` was given, or an older file's values, which have no checksum.

    Raises:
        ValueError: They have changed since they were written.
    """
    rest = {key: value for key, value in values.items() if key != SEAL}
    if values.get(SEAL) not in (None, _checksum(rest)):
        raise ValueError("has changed since it was written")
    return rest


def _checksum(values: dict[str, Any]) -> str:
    return sha256(json.dumps(values, sort_keys=True).encode("ascii")).hexdigest()
