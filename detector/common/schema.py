"""Check values that were read from files, and protect JSON files with a checksum.

A schema is written with Python's own types, as the JSON that it describes:

| Schema | Accepts |
|---|---|
| a type, such as `str` | instances of it; `float`: any finite number |
| `range(1, 9)` | an integer in the range |
| `re.compile("[ab]+")` | text that matches as a whole |
| `None` | null |
| `(schema, schema)` | a value that fits one of them |
| `[schema]` | a list of any length |
| `[schema, schema]` | a list of two |
| `{"key": schema}` | an object with at least these keys; those of `OptionalKey` may be absent |
| `{str: schema}` | an object with any keys |
"""

from __future__ import annotations

import json
import re
import reprlib
from hashlib import sha256
from typing import Any

COUNT = range(2**63)
CHECKSUM_KEY = "manifest_sha256"  # key of a JSON file's own checksum; the oldest files have none
_LARGEST_NUMBER = 1e300


class SchemaError(ValueError):
    """A value that does not fit its schema; the message names its key, the expectation and the value."""


class OptionalKey(str):
    """A key of a schema that may be absent."""


def check(value: Any, schema: Any, path: str = "") -> None:
    """Check a value against a schema, see `detector.common.schema` for how schemas are written.

    Args:
        value: A value as `json.loads` returns it.
        schema: Its schema.
        path: Name of the value in the error message.

    Raises:
        SchemaError: The value does not fit.

    >>> schema = {"identity": {"max_parts": range(1, 2**15), OptionalKey("size"): [COUNT, COUNT]}}
    >>> check({"identity": {"max_parts": 8}}, schema)
    >>> check({"identity": {"max_parts": "x"}}, schema)
    Traceback (most recent call last):
    detector.common.schema.SchemaError: identity.max_parts: expected an integer from 1 to 32767, got 'x'
    """
    if not _fits_itself(value, schema):
        place = f"{path}: " if path else ""
        raise SchemaError(f"{place}expected {_describe(schema)}, got {_describe_value(value)}")
    if isinstance(schema, dict) and str in schema:
        for key, inner in value.items():
            check(inner, schema[str], f"{path}[{reprlib.repr(key)}]")
    elif isinstance(schema, dict):
        for key, expected in schema.items():
            name = f"{path}.{key}" if path else str(key)
            if key in value:
                check(value[key], expected, name)
            elif not isinstance(key, OptionalKey):
                raise SchemaError(f"{name}: missing, expected {_describe(expected)}")
    elif isinstance(schema, list):
        schemas = schema * len(value) if len(schema) == 1 else schema
        for index, (inner, expected) in enumerate(zip(value, schemas)):
            check(inner, expected, f"{path}[{index}]")


def fits(value: Any, schema: Any) -> bool:
    """Whether a value fits a schema, see `check`.

    >>> fits({"a": [1, 2], "b": "x"}, {"a": [COUNT]})
    True
    """
    try:
        check(value, schema)
    except SchemaError:
        return False
    return True


def _fits_itself(value: Any, schema: Any) -> bool:
    """Whether a value fits a schema, its items left aside."""
    if isinstance(schema, tuple):
        return any(fits(value, one) for one in schema)
    if isinstance(schema, dict):
        return isinstance(value, dict)
    if isinstance(schema, list):
        return isinstance(value, list) and (len(schema) == 1 or len(value) == len(schema))
    if isinstance(schema, range):
        return type(value) is int and value in schema
    if isinstance(schema, re.Pattern):
        return isinstance(value, str) and schema.fullmatch(value) is not None
    if schema is float:
        return type(value) in (int, float) and -_LARGEST_NUMBER < value < _LARGEST_NUMBER
    return value is None if schema is None else isinstance(value, schema)


_TYPE_NAMES: dict[type | None, str] = {
    **{None: "null", str: "text", bool: "true or false"},
    **{int: "an integer", float: "a finite number", list: "a list", dict: "an object"},
}


def _describe(schema: Any) -> str:
    if isinstance(schema, tuple):
        return " or ".join(map(_describe, schema))
    if isinstance(schema, dict):
        return "an object"
    if isinstance(schema, list):
        return "a list" if len(schema) == 1 else f"a list of {len(schema)} values"
    if isinstance(schema, range):
        return f"an integer from {schema[0]} to {schema[-1]}"
    if isinstance(schema, re.Pattern):
        return f"text that matches {schema.pattern!r}"
    return _TYPE_NAMES.get(schema) or f"a {schema.__name__}"


def _describe_value(value: Any) -> str:
    if type(value) is int and value.bit_length() > 64:
        return f"an integer of {value.bit_length()} bits"  # Python refuses to print the longest
    if value is None or isinstance(value, str | bool | int | float):
        return reprlib.repr(value)
    if isinstance(value, list):
        return f"a list of {len(value)} values"
    return _TYPE_NAMES.get(type(value)) or f"a {type(value).__name__}"


def add_checksum(values: dict[str, Any]) -> dict[str, Any]:
    """Add the checksum of JSON values to them.

    >>> sorted(add_checksum({"a": 1}))
    ['a', 'manifest_sha256']
    """
    values = json.loads(json.dumps(values))  # as they will be read: keys are text, tuples are lists
    return values | {CHECKSUM_KEY: _checksum(values)}


def verify_checksum(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values that `add_checksum` was given; those of older files, without a checksum, as they are.

    Raises:
        ValueError: The values have changed since they were written.

    >>> verify_checksum(add_checksum({"a": 1}))
    {'a': 1}
    """
    rest = {key: value for key, value in values.items() if key != CHECKSUM_KEY}
    if values.get(CHECKSUM_KEY) not in (None, _checksum(rest)):
        raise ValueError("has changed since it was written")
    return rest


def _checksum(values: dict[str, Any]) -> str:
    return sha256(json.dumps(values, sort_keys=True).encode("ascii")).hexdigest()
