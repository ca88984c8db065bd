"""Schemas of values that were read from files, and checksums of JSON files."""

from __future__ import annotations

import re
from typing import Any

import pytest

from detector.common.schema import (
    CHECKSUM_KEY,
    COUNT,
    OptionalKey,
    SchemaError,
    add_checksum,
    check,
    fits,
    verify_checksum,
)


@pytest.mark.parametrize(
    ("schema", "good", "bad"),
    [
        (str, ["", "x"], [None, 1, ["x"]]),
        (float, [1, -2.5, 0], [True, "1", float("nan"), float("inf"), 10**400, None]),
        (COUNT, [0, 5], [-1, 1.0, True, 2**63, "1"]),
        (re.compile("a+"), ["a", "aa"], ["", "aab", 1]),
        (None, [None], [0, "", False]),
        ((None, str), [None, "x"], [1, []]),
        ([str], [[], ["x"], ["x", "y"]], [["x", 1], "xy", {"x": 1}, None]),
        ([str, COUNT], [["x", 1]], [["x"], [1, "x"], ["x", 1, 1]]),
        ({"a": COUNT}, [{"a": 1}, {"a": 1, "b": None}], [{}, {"a": None}, [("a", 1)], "a", None]),
        ({OptionalKey("a"): COUNT}, [{}, {"a": 1}], [{"a": None}, {"a": "x"}, None]),
        ({str: float}, [{}, {"x": 1}], [{"x": "1"}, ["x"], None]),
        ({"a": [{"b": str}]}, [{"a": []}, {"a": [{"b": "x"}]}], [{"a": [{}]}, {"a": {"b": "x"}}]),
    ],
)
def test_fits_accepts_good_values_and_no_others(schema: Any, good: list, bad: list) -> None:
    assert [value for value in good if not fits(value, schema)] == []
    assert [value for value in bad if fits(value, schema)] == []


@pytest.mark.parametrize(
    ("value", "schema", "message"),
    [
        ([], {"a": str}, "expected an object, got a list of 0 values"),
        ({"a": {}}, {"a": {"b": COUNT}}, "a.b: missing, expected an integer from 0 to "),
        ({"a": {"b": 0}}, {"a": {"b": range(1, 9)}}, "a.b: expected an integer from 1 to 8, got 0"),
        ({"a": [1, "x"]}, {"a": [float]}, "a[1]: expected a finite number, got 'x'"),
        (
            {"a": [1]},
            {"a": (None, [COUNT, COUNT])},
            "a: expected null or a list of 2 values, got a ",
        ),
        ({"a.jpg": 5}, {str: str}, "['a.jpg']: expected text, got 5"),
        ({"a": "b\n"}, {"a": re.compile("b")}, r"a: expected text that matches 'b', got 'b\n'"),
        ({"a": 10**5000}, {"a": COUNT}, "9223372036854775807, got an integer of 16610 bits"),
        ({"a": {1}}, {"a": bool}, "a: expected true or false, got a set"),
    ],
)
def test_check_names_the_key_the_expectation_and_the_value(
    value: Any, schema: Any, message: str
) -> None:
    with pytest.raises(SchemaError, match=re.escape(message)):
        check(value, schema)


def test_verify_checksum_returns_the_values_and_refuses_changed_ones() -> None:
    values = {"a": [1, 2.5], "b": {"c": None}}
    written = add_checksum(values | {"d": (3,)})
    assert verify_checksum(written) == values | {"d": [3]}
    assert verify_checksum(values) == values  # as the oldest files are
    for changed in ({"a": [1, 2]}, {"e": 0}, {CHECKSUM_KEY: "0" * 64}):
        with pytest.raises(ValueError, match="changed since it was written"):
            verify_checksum(written | changed)
