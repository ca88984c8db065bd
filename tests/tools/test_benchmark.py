"""The benchmark's command line; the figures themselves are measured, not tested."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pgan.tools import benchmark


def test_the_numbers_printed_are_those_in_the_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = {
        "ranking": ("a title", lambda: {"speedup": 2.5}),
        "top_d": ("b", lambda: {"ratio": 3.0}),
    }
    monkeypatch.setattr(benchmark, "BENCHMARKS", measured)
    path = tmp_path / "out.json"
    monkeypatch.setattr(sys, "argv", ["benchmark.py", "--only", "ranking", "--json", str(path)])
    assert benchmark.main() == 0
    printed = capsys.readouterr().out
    assert "ranking: a title" in printed
    assert "  speedup: 2.5" in printed
    assert "top_d" not in printed
    written = json.loads(path.read_text())
    assert written["ranking"] == {"speedup": 2.5}
    assert {"date", "cpu", "gpu", "torch", "seed"} <= set(written["machine"])


def test_the_promised_comparisons_are_there() -> None:
    promised = {
        "cache",
        "extraction",
        "part_attention",
        "pgan_over_baseline",
        "ranking",
        "reading",
        "scaling",
        "top_d",
        "vehicleid_13164",
        "veriwild_large",
    }
    assert promised <= set(benchmark.BENCHMARKS)
