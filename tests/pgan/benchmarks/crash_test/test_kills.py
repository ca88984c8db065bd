"""Tests of `pgan.benchmarks.crash_test`: it detects losses, and a small training run survives it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from tqdm import tqdm

from detector.common.files import temporary_files, write_atomically
from pgan.benchmarks.crash_test import CrashTestError, Job, crash_test
from pgan.benchmarks.crash_test.training import training

pytestmark = pytest.mark.slow


def contents(place: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in place.glob("*.txt")}


def slowly(file, text: str) -> None:
    for letter in text:
        file.write(letter.encode())
        file.flush()
        time.sleep(0.001)


def safe(place: Path) -> None:
    """Writes each file atomically, keeps finished ones, and removes what a kill left."""
    for draft in temporary_files(place):
        draft.unlink()
    for number in range(20):
        if not (place / f"{number}.txt").is_file():
            write_atomically(place / f"{number}.txt", lambda file: slowly(file, "whole"))


def unsafe(place: Path) -> None:
    """Takes an existing file for a whole one."""
    for number in range(20):
        path = place / f"{number}.txt"
        if not path.is_file():
            with path.open("wb") as file:
                (place / f".{number}.txt.abcdefgh").touch()
                slowly(file, "whole")


def test_crash_safe_job_survives(tmp_path: Path) -> None:
    said: list[str] = []
    report = crash_test(Job(safe, temporary_files, contents), tmp_path, 6, 0, said.append)
    assert report.survived
    assert len(report.kills) == 6
    assert any(kill.left_file for kill in report.kills)
    assert report.compared == sorted(f"{number}.txt" for number in range(20))
    assert len(said) == 6 + report.ends
    assert "| finished runs" in report.table()


def test_unsafe_job_is_detected(tmp_path: Path) -> None:
    report = crash_test(Job(unsafe, temporary_files, contents), tmp_path, 4, 0)
    assert not report.survived
    assert report.leftovers
    assert any(name.endswith(".txt") for name in report.differing)


def test_failing_job_raises_with_its_log(tmp_path: Path) -> None:
    def failing(place: Path) -> None:
        raise ValueError("no data")

    with pytest.raises(CrashTestError, match="failed without being killed: its output is in"):
        crash_test(Job(failing, temporary_files, contents), tmp_path, 1, 0)
    assert "no data" in (tmp_path / "uninterrupted.log").read_text()


def test_hanging_job_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hanging(place: Path) -> None:
        if place.name != "uninterrupted":
            threading.Event().wait()

    monkeypatch.setattr("pgan.benchmarks.crash_test.kills._PATIENCE", (0.1, 0))
    monkeypatch.setattr("pgan.benchmarks.crash_test.kills._moments", lambda *_: iter(()))
    with pytest.raises(CrashTestError, match="hangs: its output is in"):
        crash_test(Job(hanging, temporary_files, contents), tmp_path, 1, 0)


def test_lock_of_the_progress_bar_ends_with_its_job(tmp_path: Path) -> None:
    def locking(place: Path) -> None:
        with tqdm.get_lock():
            safe(place)

    with tqdm.get_lock():  # created here, and so shared with forked processes
        pass
    assert crash_test(Job(locking, temporary_files, contents), tmp_path, 2, 0).survived


def test_training_run_survives_kills(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit-equal weights, optimizer, schedulers, log and best checkpoint; two kills."""
    monkeypatch.chdir(Path(__file__).resolve().parents[4])
    report = crash_test(training(tmp_path / "data", epochs=1, workers=1), tmp_path, 2, 1)
    assert report.survived, (report.differing, report.leftovers)
    assert {"epoch_1.pth: state_dict", "epoch_1.pth: optimizer"} <= set(report.compared)
    assert any(name.startswith("best_reid_mAP") for name in report.compared)
