"""Tables of hand-made results."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

import pytest

from pgan.experiments.sweeps import Point, Sweep, SweepError, SweepResults
from pgan.experiments.sweeps.results import Row, scores

THEIRS = {"PGAN paper, Table IV": {"mAP": 61.5, "Rank-1": 90.0}}


def run(mean_ap: float, protocol: str = "veri776", **more: float) -> dict:
    """As tools/test.py writes it."""
    metrics = {"reid/mINP": 1.0, "reid/mAP": mean_ap, "reid/mAP_std": 0.5, **more}
    return {"metrics": metrics, "dataset": "VeRi-776", "protocol": {"name": protocol}}


@pytest.fixture
def results() -> SweepResults:
    """Three seeds of 4 and 8 parts, of which one is not finished, and a baseline."""
    rows = [
        Row(Point({"D": "baseline"}, "b.py", reference=True), {0: run(70.0), 1: run(70.0)}),
        Row(Point({"D": 4}, "c.py"), {0: run(50.0), 1: run(52.0), 2: run(57.0)}),
        Row(Point({"D": 8}, "c.py", published=THEIRS), {0: run(60.0), 1: run(61.0)}),
        Row(Point({"D": 12}, "c.py"), {}),
    ]
    return SweepResults(Sweep("Parts", [row.point for row in rows], (0, 1, 2)), rows)


def test_mean_and_standard_deviation_are_those_of_the_seeds(results: SweepResults) -> None:
    # (50 + 52 + 57) / 3 = 53; squares 9 + 1 + 16 = 26; sqrt(26 / 2) = 3.6056.
    assert results.rows[1].mean("mAP") == pytest.approx(53)
    assert results.rows[1].std("mAP") == pytest.approx(3.605551275)
    rows = list(csv.DictReader(io.StringIO(results.csv())))
    assert float(rows[1]["mAP"]) == pytest.approx(53)
    assert float(rows[1]["mAP std"]) == pytest.approx(3.605551275)
    assert [row["seeds"] for row in rows] == ["2", "3", "2", "0"]
    assert [row["mAP (PGAN paper, Table IV)"] for row in rows] == ["", "", "61.5", ""]
    assert rows[3]["mAP"] == ""


def test_the_best_point_is_the_highest_mean_and_no_baseline(results: SweepResults) -> None:
    assert results.best.point.values == {"D": 8}
    assert results.describe_best() == "Best mAP: 60.5 ± 0.7 % at D=8."


def test_the_table_has_ours_and_theirs_side_by_side(results: SweepResults) -> None:
    head, rule, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in results.markdown().splitlines()
        if line.startswith("|")
    ]
    assert head == ["D", "mAP, %", "mINP, %", "*PGAN paper, Table IV*: mAP / Rank-1"]
    assert rule[0].strip("-") == ""
    assert rule[1].endswith("-:")
    assert rows == [
        ["baseline", "70.0 ± 0.0", "1.0 ± 0.0", ""],
        ["4", "53.0 ± 3.6", "1.0 ± 0.0", ""],
        ["8", "60.5 ± 0.7", "1.0 ± 0.0", "61.5 / 90.0"],
        ["12", "", "", ""],
    ]
    text = results.markdown()
    assert "Protocol: VeRi-776, veri776; seeds 0, 1, 2; mean ± standard deviation (N - 1)" in text
    assert "7 of 12 runs are finished" in text
    assert "the named source's numbers, not ours" in text


def test_rows_of_several_protocols_each_name_their_own() -> None:
    rows = [Row(Point({"set": name}, "c.py"), {0: run(50.0, name)}) for name in ("veri776", "vric")]
    text = SweepResults(Sweep("", [row.point for row in rows]), rows).markdown()
    assert "| Test set, protocol |" in text
    assert "| VeRi-776, vric     |" in text
    assert "Protocol:" not in text


def test_metrics_lose_their_prefix_and_the_spread_over_a_protocols_repeats() -> None:
    assert scores(run(50.0, **{"reid/Rank-10": 2.0})) == {"mAP": 50.0, "mINP": 1.0, "Rank-10": 2.0}


def test_all_files_are_written_and_the_json_has_every_run(
    results: SweepResults, tmp_path: Path
) -> None:
    results.write(tmp_path)
    assert (tmp_path / "sweep.png").read_bytes().startswith(b"\x89PNG")
    svg = (tmp_path / "sweep.svg").read_text()
    assert "<!-- baseline, 70.0 -->" in svg
    assert "<!-- PGAN paper, Table IV -->" in svg
    written = json.loads((tmp_path / "sweep.json").read_text())
    assert written["points"][1]["runs"]["2"]["metrics"]["reid/mAP"] == 57.0


def test_without_a_finished_run_there_is_a_table_and_no_plot(tmp_path: Path) -> None:
    point = Point({"D": 4}, "c.py")
    results = SweepResults(Sweep("Parts", [point]), [Row(point, {})])
    results.write(tmp_path)
    assert "No run is finished." in (tmp_path / "sweep.md").read_text()
    assert not (tmp_path / "sweep.png").exists()


def test_an_unknown_metric_is_refused(results: SweepResults) -> None:
    with pytest.raises(SweepError, match="not scored by 'Rank-7', but by mAP, mINP"):
        SweepResults(results.sweep, results.rows, "Rank-7")
