"""Plain values of a shape, and those that only look like it."""

from __future__ import annotations

import re
from typing import Any

import pytest

from detector.common.schema import COUNT, SEAL, fits, seal, unseal


@pytest.mark.parametrize(
    ("shape", "good", "bad"),
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
        ({str: float}, [{}, {"x": 1}], [{"x": "1"}, ["x"], None]),
        ({"a": [{"b": str}]}, [{"a": []}, {"a": [{"b": "x"}]}], [{"a": [{}]}, {"a": {"b": "x"}}]),
    ],
)
def test_values_fit_a_shape_or_not(shape: Any, good: list, bad: list) -> None:
    assert [value for value in good if not fits(value, shape)] == []
    assert [value for value in bad if fits(value, shape)] == []


def test_sealed_values_are_given_back_and_changed_ones_refused() -> None:
    values = {"a": [1, 2.5], "b": {"c": None}}
    sealed = seal(values | {"d": (3,)})
    assert unseal(sealed) == values | {"d": [3]}
    assert unseal(values) == values  # of before there were seals
    for changed in ({"a": [1, 2]}, {"e": 0}, {SEAL: "0" * 64}):
        with pytest.raises(ValueError, match="changed since it was written"):
            unseal(sealed | changed)
