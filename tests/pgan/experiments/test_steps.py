"""A chain of commands: each once, progress shown, failures named."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgan.experiments.steps import Chain, Step, StepError


def step(tmp_path: Path, name: str, code: str) -> Step:
    return Step(name, ["-c", code], tmp_path / f"{name}.done", 5)


def touch(tmp_path: Path, name: str) -> str:
    return f"open({str(tmp_path / name) + '.done'!r}, 'a').write('x')"


def test_runs_in_order_and_each_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    steps = [step(tmp_path, name, touch(tmp_path, name)) for name in ("first", "second")]
    Chain(steps, tmp_path / "logs").run()
    assert (tmp_path / "first.done").read_text() == "x"
    Chain(steps, tmp_path / "logs").run()
    assert (tmp_path / "first.done").read_text() == "x"
    printed = capsys.readouterr().out
    assert printed.index("[1/2] first") < printed.index("[2/2] second")
    assert printed.count("done before") == 2


def test_shows_progress_and_keeps_the_rest_in_a_log(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = (
        "print('01/02 03:04:05 - mmengine - INFO - Epoch(train) [1][2/3] loss: 1'); print('noise');"
    )
    Chain([step(tmp_path, "train", code + touch(tmp_path, "train"))], tmp_path / "logs").run()
    printed = capsys.readouterr().out
    assert "  Epoch(train) [1][2/3] loss: 1\n" in printed
    assert "\nnoise" not in printed
    assert "\n  noise" not in printed
    assert "noise" in (tmp_path / "logs" / "01.log").read_text()


def test_a_failure_names_the_step_and_its_log_and_stops(tmp_path: Path) -> None:
    steps = [
        step(tmp_path, "bad", "raise SystemExit(3)"),
        step(tmp_path, "next", touch(tmp_path, "next")),
    ]
    with pytest.raises(StepError, match=r"step 1 \(bad\) failed: .*01.log"):
        Chain(steps, tmp_path / "logs").run()
    assert not (tmp_path / "next.done").exists()


def test_a_step_that_leaves_nothing_has_failed(tmp_path: Path) -> None:
    with pytest.raises(StepError, match="idle"):
        Chain([step(tmp_path, "idle", "pass")], tmp_path / "logs").run()


def test_an_interrupted_step_interrupts_the_chain(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        Chain([step(tmp_path, "stop", "raise SystemExit(130)")], tmp_path / "logs").run()
