"""Sweeps by the tools, on a tiny data set: run once, gone on with, tabulated."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
import torch
from mmengine.runner import EpochBasedTrainLoop

from pgan.tools import ablate_parts, sweep, train
from tests.pgan.datasets.layouts import make_veri
from tests.tools.tiny_sweeps import BASELINE, PGAN, ROOT, SMALL, Tools, cache_two_parts

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VeRi-776 of a few images, and a cache of two parts in each."""
    place = tmp_path_factory.mktemp("sweep")
    root = make_veri(place / "VeRi")
    cache_two_parts(root, place / "parts")
    return place


def options(data: Path, *more: str) -> list[str]:
    return ["--cfg-options", f"data_root={data / 'VeRi'}", *SMALL, *more]


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open()))


def test_sweep_runs_each_point_once_and_writes_table_and_plot(
    tools: Tools, data: Path, tmp_path: Path, capsys
) -> None:
    words = [BASELINE, "--set", "model.feature_dim=8,16", "--work-dir", tmp_path, *options(data)]
    assert tools.run(sweep.main, *words) == 0
    assert tools.called() == ["train", "test"] * 2
    printed = capsys.readouterr().out
    assert "[1/2 runs" in printed
    assert "feature_dim=16, seed 0: mAP" in printed
    assert "Protocol: synthetic fleet, cross-camera; seed 0." in printed
    rows = table(tmp_path / "sweep.csv")
    assert [(row["feature_dim"], row["seeds"], row["mAP std"]) for row in rows] == [
        ("8", "1", ""),
        ("16", "1", ""),
    ]
    for row, dimension in zip(rows, (8, 16)):
        run = tmp_path / Path(BASELINE).stem / f"feature_dim={dimension}" / "seed_0"
        metrics = json.loads((run / "results.json").read_text())["metrics"]
        assert float(row["mAP"]) == metrics["reid/mAP"]
        weights = torch.load(run / "epoch_2.pth", weights_only=True)["state_dict"]
        assert weights["neck.weight"].shape == (dimension,)
    assert {p.suffix for p in tmp_path.glob("sweep.*")} == {".md", ".csv", ".json", ".png", ".svg"}

    assert tools.run(sweep.main, *words) == 0
    assert tools.called() == []
    assert "2 of 2 runs done before" in capsys.readouterr().out


def test_killed_run_resumes_from_its_last_epoch(
    tools: Tools, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = [BASELINE, "--set", "model.feature_dim=8,16", "--work-dir", tmp_path, *options(data)]
    epochs: list[int] = []
    plain = EpochBasedTrainLoop.run_epoch
    monkeypatch.setattr(
        EpochBasedTrainLoop,
        "run_epoch",
        lambda loop: (epochs.append(loop.epoch + 1), plain(loop)),
    )

    def kill_after_one_epoch(command: list[str]) -> int:
        command = [*command, "train_cfg.max_epochs=1"]
        assert tools.run(train.main, *command[1:]) == 0
        return 130

    tools.before = kill_after_one_epoch
    assert tools.run(sweep.main, *words) == 130
    assert (tools.called(), epochs) == (["train"], [1])
    assert "0 of 2 runs are finished" in (tmp_path / "sweep.md").read_text()

    tools.before = lambda command: 130 if "test" in Path(command[0]).stem else None
    assert tools.run(sweep.main, *words) == 130
    assert (tools.called(), epochs) == (["train", "test"], [1, 2])

    tools.before = lambda command: None
    assert tools.run(sweep.main, *words) == 0
    assert (tools.called(), epochs) == (["test", "train", "test"], [1, 2, 1, 2])


def test_a_failed_run_is_named_and_stops_no_other_but_at_the_start(
    tools: Tools, data: Path, tmp_path: Path, capsys
) -> None:
    words = [BASELINE, "--set", "model.feature_dim=8,6,16", "--work-dir", tmp_path, *options(data)]
    assert tools.run(sweep.main, *words) == 1
    assert tools.called() == ["train", "test", "train", "train", "test"]
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: 1 of 3 training runs failed: feature_dim=6, seed 0: A refined")
    assert [row["seeds"] for row in table(tmp_path / "sweep.csv")] == ["1", "0", "1"]
    words[2] = "model.feature_dim=6,32"
    assert tools.run(sweep.main, *words) == 1
    assert tools.called() == ["train"]
    assert "1 of 2 training runs failed and 1 were not begun" in capsys.readouterr().err


def test_ablating_parts_ranks_each_d_from_one_cache_beside_the_baseline(
    tools: Tools, data: Path, tmp_path: Path, capsys
) -> None:
    place = ["--cache", data / "parts", "--work-dir", tmp_path]
    words = [PGAN, *place, "--num-parts", 0, 2, "--baseline", BASELINE]
    assert tools.run(ablate_parts.main, *words, "--seeds", 0, 1, *options(data)) == 0
    assert tools.called() == ["train", "test"] * 6
    printed = capsys.readouterr().out
    rows = table(tmp_path / "parts.csv")
    assert [(row["D"], row["seeds"]) for row in rows] == [("baseline", "2"), ("0", "2"), ("2", "2")]
    scores = {row["D"]: float(row["mAP"]) for row in rows[1:]}
    assert f"Best D: {max(scores, key=scores.get)}\n" in printed
    assert " ± " in printed

    assert tools.run(ablate_parts.main, *words, "--num-parts", 13, *options(data)) == 1
    assert "holds up to 12 parts per image, and 13 were requested" in capsys.readouterr().err
    assert tools.called() == []


def test_an_experiment_of_the_paper_runs_on_own_configs_beside_the_published_numbers(
    tools: Tools, data: Path, tmp_path: Path, capsys
) -> None:
    words = ["--pgan", PGAN, "--work-dir", tmp_path, *options(data), f"part_cache={data / 'parts'}"]
    assert tools.run(sweep.main, "--paper", "concat", *words) == 0
    assert tools.called() == ["train", "test", "test"]
    rows = table(tmp_path / "concat.csv")
    assert [row["tested feature"] for row in rows] == ["fusion", "fusion + global + part"]
    assert [row["mAP (authors' release, VeRi-776)"] for row in rows] == ["79.4", ""]
    printed = capsys.readouterr().out
    assert "*authors' release, VeRi-776*: mAP / Rank-1 / Rank-5" in printed
    assert "79.4 / 96.3 / 98.6" in printed
    assert "are the named source's numbers, not ours" in printed


def test_a_dry_run_prints_the_commands(tools: Tools, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.chdir(ROOT)
    words = ["--set", "num_parts=4,8", "--set-test", "model.test_feature=fusion,concat"]
    place = ["--work-dir", tmp_path, "--dry-run"]
    config = "configs/pgan/pgan_r50_1xb64-130e_veri776-224x224.py"
    assert tools.run(sweep.main, config, *words, "--seeds", 0, 1, *place) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines] == ["tools/train.py", *["tools/test.py"] * 2] * 4
    assert lines[0].endswith("--resume --cfg-options randomness.seed=0 num_parts=4")
    assert tools.called() == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--set", "num_part=4,8"], "no such key: do you mean 'num_parts'?"),
        (["--set", "num_parts"], "'num_parts' is not understood: write KEY=V1,V2,..."),
        (["--set", "num_parts=4,4"], "two points of a sweep are 'num_parts=4'"),
        (["--set", "num_parts=4", "--set", "num_parts=8"], "num_parts is given twice"),
        (["--set", "num_parts=4", "--set-test", "num_parts=8"], "num_parts is given to --set and"),
        ([], "nothing to sweep over"),
        (["--paper", "table3"], "--paper names its own configs"),
        (["--set", "num_parts=4,8", "--jobs", "0"], "--jobs and --gpus-per-run are 1 or more"),
        (["--set", "num_parts=4,8", "--seeds", "1", "1"], "two seeds of a sweep are 1"),
    ],
)
def test_bad_command_line_is_refused(
    tools: Tools, tmp_path: Path, capsys, words: list[str], message: str
) -> None:
    assert tools.run(sweep.main, PGAN, *words, "--work-dir", tmp_path / "out") == 1
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert message in error
    assert error.count("\n") == 1
    assert tools.called() == []
    assert not (tmp_path / "out").exists()
