"""The allocator settings that keep freed memory in a process."""

from __future__ import annotations

import platform
from types import SimpleNamespace

import pytest

from detector.common import memory
from detector.common.memory import keep_freed_memory, keep_freed_memory_variables

# From <malloc.h>: M_MMAP_MAX, M_TRIM_THRESHOLD and M_TOP_PAD.
EXPECTED = {-4: 0, -1: -1, -2: 64 * 1024 * 1024}


@pytest.mark.parametrize("accepted", [True, False])
def test_keep_freed_memory_sets_each_parameter_once(
    monkeypatch: pytest.MonkeyPatch, accepted: bool
) -> None:
    calls: list[tuple[int, int]] = []

    def mallopt(parameter: int, value: int) -> int:
        calls.append((parameter, value))
        return int(accepted or parameter != -4)

    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: SimpleNamespace(mallopt=mallopt))
    assert keep_freed_memory() is accepted
    assert sorted(calls) == sorted(EXPECTED.items())


def test_keep_freed_memory_returns_false_without_mallopt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.ctypes, "CDLL", lambda _: SimpleNamespace())
    assert keep_freed_memory() is False


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc has these settings")
def test_glibc_accepts_every_setting() -> None:
    assert keep_freed_memory() is True


def test_variables_state_the_same_values() -> None:
    assert keep_freed_memory_variables() == {
        "MALLOC_MMAP_MAX_": str(EXPECTED[-4]),
        "MALLOC_TRIM_THRESHOLD_": str(EXPECTED[-1]),
        "MALLOC_TOP_PAD_": str(EXPECTED[-2]),
    }
