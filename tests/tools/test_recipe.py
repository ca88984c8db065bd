"""Recipes by the tool, on tiny data sets: all that there is data for, once; what is left out; what is refused."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

from pgan.apis import load_config
from pgan.evaluation import evaluate, load_features
from pgan.recipes import Recipe
from pgan.tools import recipe as tool
from tests.pgan.datasets.layouts import make_vehicle1m, make_vehicleid, make_veri
from tests.tools.tiny_sweeps import ROOT, SMALL, Tools, cache_two_parts

LARGE, CROSS = "configs/recipes/large_scale.py", "configs/recipes/cross_domain.py"
SETS = {"VehicleID": make_vehicleid, "Vehicle-1M": make_vehicle1m, "VeRi": make_veri}
TINY = ["--cfg-options", *SMALL, "train_cfg.max_epochs=1"]
METRICS = ["mAP", "Rank-1", "Rank-5", "Rank-10", "Rank-20"]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three data sets and their part caches, where the configs look for them."""
    place = tmp_path_factory.mktemp("recipe")
    for name, make in SETS.items():
        cache_two_parts(make(place / "data" / name), place / "data" / f"{name}_parts")
    (place / "configs").symlink_to(ROOT / "configs")
    return place


@pytest.fixture
def here(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of one's own with that data, to work in."""
    shutil.copytree(data, tmp_path / "here", symlinks=True)
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here"


def table(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.open()))


def test_the_whole_recipe_trains_tests_and_prints_its_table(
    tools: Tools, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tools.run(tool.main, LARGE, *TINY) == 0
    printed = capsys.readouterr().out
    names = [
        f"{network} {data}"
        for network in ("bot_r50", "fc256_r50", "PGAN")
        for data in ("VehicleID", "Vehicle-1M", "union")
    ]
    lists = ["VehicleID 800", "VehicleID 2400", "Vehicle-1M 1000"]
    assert tools.called() == ["train"] * len(names)
    folder = here / "work_dirs/recipes/large_scale"
    rows = table(folder / "matrix.csv")
    assert [(row["test set"], row["model"]) for row in rows] == [
        (test, name) for test in lists for name in names
    ]
    for row in rows:
        features = load_features(folder / row["model"] / row["test set"] / "features.npz")
        expected = evaluate(features)
        assert (
            row["protocol"]
            == expected.protocol.name
            == row["test set"].lower().replace("-1m", "1m").replace(" ", "-")
        )
        for name in METRICS:
            assert float(row[name]) == expected.metrics()[name]
            assert float(row[f"{name} std"]) == expected.stds()[name]
    assert (folder / "matrix.md").read_text() in printed
    heads = [cell.strip() for cell in printed.split("\n| Test set")[1].splitlines()[0].split("|")]
    assert heads[1:-1] == ["Model", *METRICS]
    for size in (1600, 3200, 6000, 13164):
        file = f"data/VehicleID/train_test_split/test_list_{size}.txt"
        assert f"left out: VehicleID {size}: {file}: No such file or directory" in printed
    assert printed.count("left out") == 4 + 3  # of Vehicle-1M, 2000 and 3000 and 5527

    assert tools.run(tool.main, LARGE, *TINY) == 0
    assert tools.called() == []
    assert capsys.readouterr().out.count(": kept\n") == len(rows)
