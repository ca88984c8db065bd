"""The benchmark's command line; the figures themselves are measured, not tested."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import pytest

from pgan.benchmarks.search_extrapolation import IndexCosts
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
    assert "| speedup   | 2.5 |" in printed
    assert "top_d" not in printed
    written = json.loads(path.read_text())
    assert written["ranking"] == {"speedup": 2.5}
    assert {"date", "cpu", "gpu", "torch", "seed"} <= set(written["machine"])


def test_the_promised_comparisons_are_there() -> None:
    promised = {
        "cache",
        "extraction",
        "loader",
        "part_attention",
        "pgan_over_baseline",
        "ranking",
        "reading",
        "scaling",
        "search",
        "top_d",
        "vehicleid_13164",
        "veriwild_large",
    }
    assert promised <= set(benchmark.BENCHMARKS)


def test_search_takes_sizes_and_prints_its_table_and_what_follows(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    times = {
        "numpy_ms": 4.0,
        "exact_ms": 2.0,
        "index_ms": 1.0,
        "row_ms": 0.5,
        "numpy_over_index": 4.0,
    }
    row = {**times, "recall@1": 1.0, "recall@10": 1.0, "build_s": 0.0, "bytes_per_image": 2048.0}
    asked = []

    def search(images: list[int]) -> dict[str, float | str]:
        return {f"{k}, {n}": v for n in images for k, v in {"kind": "exact", **row}.items()}

    monkeypatch.setitem(benchmark.BENCHMARKS, "search", ("a title", search))
    monkeypatch.setattr(
        "pgan.benchmarks.search.measure_index_costs",
        lambda images: asked.append(images) or IndexCosts(512, 64, 4, 1, *[1e-9] * 6),
    )
    words = ["benchmark.py", "search", "--images", "1000", "2000", "--extrapolate"]
    monkeypatch.setattr(sys, "argv", words)
    assert benchmark.main() == 0
    printed = capsys.readouterr().out
    assert re.search(r"\| kind, 1000 +\| +exact \|", printed)
    assert "| 2,000 " in printed
    assert "| 1,000,000,000 |" in printed
    assert asked == [2000]


@pytest.mark.parametrize("words", [["nonsense"], ["search", "--images", "5"]])
def test_invalid_sizes_are_refused(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *words])
    with pytest.raises(SystemExit):
        benchmark.main()
    assert words[-1] in capsys.readouterr().err
