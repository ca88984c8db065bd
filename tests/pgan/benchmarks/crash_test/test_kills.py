"""The torture itself is honest, and a small training survives it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from tqdm import tqdm

from detector.common.files import drafts, write_atomically
from pgan.benchmarks.crash_test import TortureError, Work, torture
from pgan.benchmarks.crash_test.training import training


def contents(place: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in place.glob("*.txt")}


def slowly(file, text: str) -> None:
    for letter in text:
        file.write(letter.encode())
        file.flush()
        time.sleep(0.001)


def careful(place: Path) -> None:
    """Writes each file whole, keeps those that are there, and clears away what a kill left."""
    for draft in drafts(place):
        draft.unlink()
    for number in range(20):
        if not (place / f"{number}.txt").is_file():
            write_atomically(place / f"{number}.txt", lambda file: slowly(file, "whole"))


def careless(place: Path) -> None:
    """Takes a file that is there for a whole one."""
    for number in range(20):
        path = place / f"{number}.txt"
        if not path.is_file():
            with path.open("wb") as file:
                (place / f".{number}.txt.abcdefgh").touch()
                slowly(file, "whole")


def test_a_careful_work_survives(tmp_path: Path) -> None:
    said: list[str] = []
    report = torture(Work(careful, drafts, contents), tmp_path, 6, 0, said.append)
    assert report.survived
    assert len(report.kills) == 6
    assert any(kill.left_draft for kill in report.kills)
    assert report.compared == sorted(f"{number}.txt" for number in range(20))
    assert len(said) == 6 + report.ends
    assert "| works brought to their end" in report.table()


def test_a_careless_work_is_found_out(tmp_path: Path) -> None:
    report = torture(Work(careless, drafts, contents), tmp_path, 4, 0)
    assert not report.survived
    assert report.leftovers
    assert any(name.endswith(".txt") for name in report.differing)


def test_a_work_that_fails_by_itself_is_no_survivor(tmp_path: Path) -> None:
    def failing(place: Path) -> None:
        raise ValueError("no data")

    with pytest.raises(TortureError, match="failed by itself: its output is in"):
        torture(Work(failing, drafts, contents), tmp_path, 1, 0)
    assert "no data" in (tmp_path / "undisturbed.log").read_text()


def test_a_work_that_hangs_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def hanging(place: Path) -> None:
        if place.name != "undisturbed":
            threading.Event().wait()

    monkeypatch.setattr("pgan.benchmarks.crash_test.kills._PATIENCE", (0.1, 0))
    monkeypatch.setattr("pgan.benchmarks.crash_test.kills._moments", lambda *_: iter(()))
    with pytest.raises(TortureError, match="hangs: its output is in"):
        torture(Work(hanging, drafts, contents), tmp_path, 1, 0)


def test_a_lock_of_the_progress_bar_dies_with_its_work(tmp_path: Path) -> None:
    def locking(place: Path) -> None:
        with tqdm.get_lock():
            careful(place)

    with tqdm.get_lock():  # made here, and so shared with what is forked
        pass
    assert torture(Work(locking, drafts, contents), tmp_path, 2, 0).survived


def test_a_training_survives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Bit-equal weights, optimizer, schedulers, log and best checkpoint; two kills."""
    monkeypatch.chdir(Path(__file__).resolve().parents[4])
    report = torture(training(tmp_path / "data", epochs=1, workers=1), tmp_path, 2, 1)
    assert report.survived, (report.differing, report.leftovers)
    assert {"epoch_1.pth: state_dict", "epoch_1.pth: optimizer"} <= set(report.compared)
    assert any(name.startswith("best_reid_mAP") for name in report.compared)
