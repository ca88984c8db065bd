"""Runs as real processes: failures, interruption, places on GPUs, and no two in one folder."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pgan.apis import ConfigError
from pgan.experiments.sweeps import Point, SweepError
from pgan.experiments.sweeps.plan import Job, Run, RunFolder
from pgan.experiments.sweeps.runs import Runner, places

pytestmark = pytest.mark.slow

TRAIN = """
import os, pathlib, sys
folder = pathlib.Path(sys.argv[1])
print('01/02 03:04:05 - mmengine - INFO - Epoch(train) [1][1/2] loss: 1', flush=True)
(folder / 'place').write_text(os.environ.get('CUDA_VISIBLE_DEVICES', ''))
{extra}
(folder / 'epoch_1.pth').write_text('')
"""
TEST = """
import json, pathlib, sys
(pathlib.Path(sys.argv[1]) / 'results.json').write_text(json.dumps({'metrics': {'reid/mAP': 12.5}}))
"""


class Scripted(Job):
    """A job whose commands are short scripts."""

    extra = ""

    def train_command(self, gpus: int = 1) -> list[str]:
        return ["-c", TRAIN.format(extra=self.extra), str(self.folder.path)]

    def test_command(self, run: Run) -> list[str]:
        return ["-c", TEST, str(self.folder.path)]


def jobs(tmp_path: Path, *extras: str) -> list[Job]:
    made = []
    for number, extra in enumerate(extras):
        folder = RunFolder(tmp_path / str(number), "config.py", {}, "sha")
        run = Run(Point({"n": number}, "config.py"), 0, folder)
        job = type("Job", (Scripted,), {"extra": extra})
        made.append(job(folder, folder.path / "epoch_1.pth", 1, [run]))
    return made


def test_runs_are_side_by_side_on_the_places_there_are(tmp_path: Path, capsys) -> None:
    # Each waits until the other has begun.
    other = "import time\nwhile len(list(folder.parent.glob('*/place'))) < 2: time.sleep(0.01)"
    made = jobs(tmp_path, other, other)
    Runner(made, [{"CUDA_VISIBLE_DEVICES": "3"}, {"CUDA_VISIBLE_DEVICES": "5"}]).run()
    assert {file.read_text() for file in tmp_path.glob("*/place")} == {"3", "5"}
    assert [job.pending() for job in made] == [[], []]
    printed = capsys.readouterr().out
    assert "[1/2 runs" in printed
    assert "[2/2 runs] n=" in printed
    assert "mAP 12.5" in printed
    assert (tmp_path / "0" / "train.log").read_text().count("Epoch(train)") == 1


def test_a_trained_run_is_only_tested(tmp_path: Path) -> None:
    (job,) = jobs(tmp_path, "raise SystemExit('trained again')")
    job.folder.path.mkdir()
    job.checkpoint.write_text("")
    Runner([job], [{}]).run()
    assert not job.pending()


def test_the_reason_of_a_failure_is_its_last_sentence(tmp_path: Path) -> None:
    sentence = "print('error: the cache lacks a.jpg', file=sys.stderr); raise SystemExit(1)"
    with pytest.raises(SweepError, match=r"n=0, seed 0: the cache lacks a.jpg \(.*train.log\)"):
        Runner(jobs(tmp_path, sentence), [{}]).run()
    with pytest.raises(SweepError, match="n=0, seed 0: ZeroDivisionError: division by zero"):
        Runner(jobs(tmp_path, "1 / 0"), [{}]).run()


def test_an_unknown_metric_is_named_after_the_first_run(tmp_path: Path) -> None:
    with pytest.raises(SweepError, match="was not scored by 'mAQ', but by mAP.*"):
        Runner(jobs(tmp_path, "", ""), [{}], metric="mAQ").run()
    assert not (tmp_path / "1").exists()


def test_sigterm_ends_the_started_runs(tmp_path: Path) -> None:
    stop = f"import signal, time; os.kill({os.getpid()}, signal.SIGTERM); time.sleep(60)"
    (job,) = jobs(tmp_path, stop)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(KeyboardInterrupt):
        Runner([job], [{}]).run()
    assert signal.getsignal(signal.SIGTERM) is handler
    assert not job.checkpoint.exists()  # which a run left alone would have written by now


def test_folder_in_use_by_an_orphan_is_left_alone(tmp_path: Path) -> None:
    """A sweep that is killed outright leaves its training behind, which still holds the lock."""
    (job,) = jobs(tmp_path, "")
    job.folder.path.mkdir()
    code = (
        "import fcntl, subprocess, sys\n"
        f"file = open({str(job.folder.path / '.lock')!r}, 'w')\n"
        "fcntl.flock(file, fcntl.LOCK_EX)\n"
        "orphan = subprocess.Popen([sys.executable, '-c', 'input()'], pass_fds=(file.fileno(),))\n"
        "print(orphan.pid, flush=True)\n"
        "import os; os.kill(os.getpid(), 9)\n"
    )
    read, write = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=read, stdout=subprocess.PIPE, text=True
    ) as sweep:
        assert int(sweep.stdout.readline())
        sweep.wait()
        with pytest.raises(SweepError, match="another process is using it"):
            Runner([job], [{}]).run()
        os.close(write)  # ends the orphan, which waits for input
        os.close(read)
        sweep.stdout.read()  # until it has ended
    Runner([job], [{}]).run()
    assert json.loads((job.folder.path / "results.json").read_text())


def test_one_run_at_a_time_on_each_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)

    def numbers(*args: int | None) -> list[str]:
        return [place["CUDA_VISIBLE_DEVICES"] for place in places(*args)]

    assert numbers() == ["0", "1", "2", "3"]
    assert numbers(2) == ["0", "1"]
    assert numbers(5) == ["0", "1", "2", "3", "0"]
    assert numbers(None, 2) == ["0,1", "2,3"]
    assert numbers(None, 3) == ["0,1,2"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,5,6,7")
    assert numbers(2) == ["4", "5"]
    with pytest.raises(ConfigError, match="--gpus-per-run 5: torch sees 4 GPUs"):
        places(None, 5)


def test_on_a_cpu_one_after_the_other_unless_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert places() == [{}]
    assert places(2) == [{"OMP_NUM_THREADS": "4"}] * 2
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert places(2) == [{}, {}]
