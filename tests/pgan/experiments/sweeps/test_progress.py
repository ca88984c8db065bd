"""How far a sweep is, from what its runs print."""

from __future__ import annotations

import pytest

from pgan.experiments.sweeps.progress import Progress, fraction_done


@pytest.mark.parametrize(
    ("line", "fraction"),
    [
        ("Epoch(train)   [1][ 50/100]  lr: 1e-3", 0.05),
        ("Epoch(train) [10][100/100]  lr: 1e-3", 1.0),
        ("Epoch(val) [1][50/100]", None),
        ("Iter(train) [ 25/100]  lr: 1e-3", 0.25),
        ("loss: 1", None),
    ],
)
def test_log_line_gives_the_fraction_done(line: str, fraction: float | None) -> None:
    assert fraction_done(line, max_epochs=10) == fraction


def test_the_time_left_counts_what_was_done_since_the_start() -> None:
    now = [0.0]
    progress = Progress(total=4, done=1, pending=3, clock=lambda: now[0])
    assert progress.left() is None
    progress.update("a", 0.5)  # resumed half-way
    now[0] = 100.0
    progress.update("a", 0.75)
    # A quarter took 100 s; a quarter of this run and two whole ones are to come.
    assert progress.left() == pytest.approx(900)
    progress.update("b", 0.0)
    progress.update("b", 0.25)
    assert progress.left() == pytest.approx(100 * (3 - 1.0) / 0.5)


def test_a_log_shows_each_tenth_of_a_training_once(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(total=1, done=0, pending=1, clock=lambda: 0.0)
    for epoch in range(1, 41):
        progress.update("a, seed 0", epoch / 40, f"epoch {epoch}")
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("epoch ")[1] for line in lines] == [str(e) for e in range(4, 41, 4)]
    assert lines[0].startswith("  0/1 runs")


def test_a_finished_run_is_a_line_with_counts_and_time(capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    progress = Progress(total=3, done=0, pending=3, clock=lambda: now[0])
    now[0] = 600.0
    progress.update("a", 0.0)
    progress.update("a", 1.0)
    progress.finished("a, seed 0", "mAP 12.5")
    assert capsys.readouterr().out == "[1/3 runs, about 20 min left] a, seed 0: mAP 12.5\n"
