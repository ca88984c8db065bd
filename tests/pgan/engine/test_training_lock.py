"""Tests of the training lock: a second run in a work dir is refused; a killed run leaves no lock."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pgan.engine import TrainingLockError, training_alone
from pgan.tools import train

pytestmark = pytest.mark.slow

CONFIG = "configs/pgan/baseline_r18-cpu_1xb64-30e_csv-128x128.py"


@contextmanager
def another_process(hold: Callable[[int, int], None]) -> Iterator[tuple[int, int]]:
    """Fork, and wait until ``hold(ready, done)`` has written to ``ready``; gives its id and what ends it."""
    (ready, begun), (done, end) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        os.close(end)
        try:
            hold(begun, done)
        finally:
            os._exit(0)
    os.close(begun)
    os.close(done)
    try:
        assert os.read(ready, 1) == b"1"
        yield child, end
    finally:
        os.close(end)
        os.close(ready)
        os.waitpid(child, 0)


def hold(work_dir: Path) -> Callable[[int, int], None]:
    """Train there until told to end."""

    def until(begun: int, done: int) -> None:
        with training_alone(work_dir):
            os.write(begun, b"1")
            os.read(done, 1)

    return until


def state_of(folder: Path) -> dict[str, tuple[int, bytes]]:
    files = [file for file in folder.rglob("*") if file.is_file()]
    return {file.name: (file.stat().st_mtime_ns, file.read_bytes()) for file in files}


def test_second_training_in_a_work_dir_is_refused_and_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "epoch_1.pth").write_bytes(b"a checkpoint")
    (tmp_path / ".epoch_2.pth.abcdefgh").write_bytes(b"half of one")
    monkeypatch.setattr(sys, "argv", ["train", CONFIG, "--work-dir", str(tmp_path), "--resume"])
    with another_process(hold(tmp_path)):
        before = state_of(tmp_path)
        assert train.main() == 1
        after = state_of(tmp_path)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        f"error: {tmp_path}: another process is using it: wait until it ends, or end it"
    ]
    assert before.keys() == {"epoch_1.pth", ".epoch_2.pth.abcdefgh", ".training.lock"}
    assert after == before
    with training_alone(tmp_path):  # the other has ended
        pass


def test_a_killed_training_keeps_nobody_out_though_its_workers_live(tmp_path: Path) -> None:
    def with_worker(begun: int, done: int) -> None:
        with training_alone(tmp_path):
            if not os.fork():  # as a loader's worker
                os.read(done, 1)
                os._exit(0)
            os.write(begun, b"1")
            os.read(done, 1)

    with another_process(with_worker) as (child, _):
        with pytest.raises(TrainingLockError, match="another process is using it"):
            training_alone(tmp_path).__enter__()
        os.kill(child, signal.SIGKILL)
        os.waitid(os.P_PID, child, os.WEXITED | os.WNOWAIT)
        with training_alone(tmp_path):
            pass


def test_the_first_process_locks_for_all_of_one_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with another_process(hold(tmp_path)):
        for launcher, name in (("pytorch", "RANK"), ("slurm", "SLURM_PROCID")):
            monkeypatch.setenv(name, "1")
            with training_alone(tmp_path, launcher):
                pass
            monkeypatch.setenv(name, "0")
            with pytest.raises(TrainingLockError):
                training_alone(tmp_path, launcher).__enter__()
        monkeypatch.setenv("RANK", "1")  # of something else: this training has no launcher
        with pytest.raises(TrainingLockError):
            training_alone(tmp_path).__enter__()


@pytest.mark.parametrize("rank", ["abc", "", "-1", "1.5"])
def test_rank_that_is_not_a_number_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rank: str
) -> None:
    monkeypatch.setenv("RANK", rank)
    words = f"--launcher pytorch: RANK={rank!r} is not a rank: start with `torchrun"
    with pytest.raises(TrainingLockError, match=words):
        training_alone(tmp_path, "pytorch").__enter__()


def test_work_dir_that_cannot_be_created_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TrainingLockError, match="file/run: cannot be written to"):
        training_alone(tmp_path / "file" / "run").__enter__()
