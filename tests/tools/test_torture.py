"""Tests of tools/torture.py: a table, and status 1 if anything was lost."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from detector.common.files import temporary_files
from pgan.benchmarks.crash_test import Job
from pgan.tools import torture as tool


def run(
    work: Job,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kills: str = "0",
) -> tuple[int, str, str]:
    monkeypatch.setattr(tool, "JOBS", {"small": lambda data_root: work})
    arguments = ["torture.py", "small", "--kills", kills, "--work-dir", str(folder)]
    monkeypatch.setattr(sys, "argv", arguments)
    status = tool.main()
    return status, *capsys.readouterr()


def contents(place: Path) -> dict[str, str]:
    return {"file": (place / "file").read_text()}


def test_prints_a_table(tmp_path: Path, monkeypatch, capsys) -> None:
    work = Job(lambda place: (place / "file").write_text("the same"), temporary_files, contents)
    status, printed, errors = run(work, tmp_path, monkeypatch, capsys)
    assert (status, errors) == (0, "")
    assert "seed 0; uninterrupted, small took" in printed
    assert "| temporary files left at the end" in printed


def test_losses_are_named_and_the_status_is_1(tmp_path: Path, monkeypatch, capsys) -> None:
    work = Job(lambda place: (place / "file").write_text(place.name), temporary_files, contents)
    status, _, errors = run(work, tmp_path, monkeypatch, capsys)
    assert status == 1
    assert "error: killed_1: file" in errors


def test_bad_arguments_are_refused(tmp_path: Path, monkeypatch, capsys) -> None:
    work = Job(lambda place: (place / "file").write_text("the same"), temporary_files, contents)
    status, _, errors = run(work, tmp_path / "new", monkeypatch, capsys, kills="-3")
    assert (status, errors) == (
        1,
        "error: kills=-3 is negative: use 0 or more; 0 compares two uninterrupted runs\n",
    )
    assert not (tmp_path / "new").exists()
    (tmp_path / "file").write_text("mine")
    status, _, errors = run(work, tmp_path / "file", monkeypatch, capsys)
    assert status == 1
    assert f"{tmp_path / 'file' / 'uninterrupted'} (Not a directory): a file stands where" in errors
