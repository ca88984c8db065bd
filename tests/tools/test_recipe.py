"""Recipes by the tool, on tiny data sets: what there is data for, once; what is left out, or refused."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import pytest

from pgan.apis import load_config
from pgan.evaluation import evaluate, load_features
from pgan.experiments.recipes import Recipe
from pgan.experiments.sweeps import plan
from pgan.tools import recipe as tool
from tests.pgan.datasets.layouts import make_vehicle1m, make_vehicleid, make_veri
from tests.tools.tiny_sweeps import ROOT, SMALL, Tools, cache_two_parts

pytestmark = pytest.mark.slow

LARGE, CROSS = "configs/recipes/large_scale.py", "configs/recipes/cross_domain.py"
SETS = {"VehicleID": make_vehicleid, "Vehicle-1M": make_vehicle1m, "VeRi": make_veri}
TINY = ["--cfg-options", *SMALL, "train_cfg.max_epochs=1"]
PROTOCOLS = {
    "VehicleID 800": "vehicleid-800",
    "VehicleID 2400": "vehicleid-2400",
    "Vehicle-1M 1000": "vehicle1m-1000",
}
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
    assert tools.called() == ["train"] * len(names)
    folder = here / "work_dirs/recipes/large_scale"
    rows = table(folder / "matrix.csv")
    assert [(row["test set"], row["model"]) for row in rows] == [
        (test, name) for test in PROTOCOLS for name in names
    ]
    for row in rows:
        kept = folder / row["model"] / row["test set"] / "features.npz"
        expected = evaluate(load_features(kept))
        assert row["protocol"] == expected.protocol.name == PROTOCOLS[row["test set"]]
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

    # Once more: of one model, whose test is gone, and whose training data, too.
    (folder / "fc256_r50 union" / "VehicleID 800" / "scores.json").unlink()
    shutil.rmtree(here / "data/VeRi")
    assert tools.run(tool.main, LARGE, "--models", "fc256_r50 union", *TINY) == 0
    assert tools.called() == []
    again = capsys.readouterr().out
    assert "[1/3] fc256_r50 union on VehicleID 800: running" in again
    assert again.count(": kept\n") == 2
    assert table(folder / "matrix.csv") == [
        row for row in rows if row["model"] == "fc256_r50 union"
    ]


def test_missing_data_sets_are_skipped_with_a_notice(
    tools: Tools, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shutil.rmtree(here / "data/Vehicle-1M")
    shutil.rmtree(here / "data/VehicleID_parts")
    names = ["PGAN VeRi-776", "bot_r50 VeRi-776", "bot_r50 Vehicle-1M"]
    assert tools.run(tool.main, CROSS, "--models", *names, "--dry-run") == 0
    lines = capsys.readouterr().out.splitlines()
    left_out = [line for line in lines if line.startswith("left out")]
    sizes = ", ".join(f"Vehicle-1M {size}" for size in (1000, 2000, 3000, 5527))
    folder = "data_root='data/Vehicle-1M' is not a folder"
    assert left_out[0].startswith(f"left out: bot_r50 Vehicle-1M, {sizes}: {folder}")
    parts = next(line for line in left_out if "VehicleID_parts" in line)
    assert parts.startswith("left out for PGAN VeRi-776: VehicleID 800, ")
    assert [line.split()[1].rsplit("/")[-1] for line in lines if line.startswith("python")] == [
        "train.py"
    ] * 2
    assert [line for line in lines if line.startswith("test ")] == [
        "test bot_r50 VeRi-776 on VehicleID 800",
        "test bot_r50 VeRi-776 on VehicleID 2400",
        "test PGAN VeRi-776 on VeRi-776",
        "test bot_r50 VeRi-776 on VeRi-776",
    ]
    assert not (here / "work_dirs").exists()


def test_no_training_tests_only_trained_models(
    tools: Tools, here: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tools.run(tool.main, LARGE, "--no-training", "--models", "bot_r50 union") == 1
    said = capsys.readouterr()
    assert said.out.startswith("left out: bot_r50 union: not trained yet, there is no ")
    assert said.err.startswith("error: large_scale: nothing is left to run")
    assert tools.called() == []


def test_across_domains_nothing_is_erased_and_nothing_else_is_changed(here: Path) -> None:
    recipe = load_config(CROSS)
    assert not any("union" in name for name in recipe.models)
    assert {"VeRi-776", "VehicleID 800", "Vehicle-1M 1000"} <= set(recipe.tests)
    for config in recipe.models.values():
        plain, changed = load_config(config), load_config(config, dict(recipe.options))
        steps = changed.train_dataloader.dataset.pipeline
        erasing = [step for step in steps if step.type == "torchvision/RandomErasing"]
        assert [step.p for step in erasing] == [0.0]
        erasing[0].p = 0.5
        assert changed.to_dict() == plain.to_dict()


def test_every_model_looks_at_images_128_high_and_256_wide(here: Path) -> None:
    configs = {config for path in (LARGE, CROSS) for config in load_config(path).models.values()}
    assert len(configs) == 12
    for config in configs:
        cfg = load_config(config)
        loaders = cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader
        steps = [step for loader in loaders for step in loader.dataset.pipeline]
        sizes = [step.size for step in steps if step.type == "torchvision/Resize"]
        assert sizes == [(128, 256)] * 3


def test_recipes_share_a_work_dir_and_common_runs(here: Path) -> None:
    folders = []
    for config in (LARGE, CROSS, LARGE):
        (job,) = plan(Recipe.read(config, ["bot_r50 VehicleID"]).models, here / "work")
        job.folder.claim()
        folders.append(job.folder.path)
    assert folders[0] == folders[2] != folders[1]


@pytest.mark.parametrize(
    ("text", "words", "message"),
    [
        ("tests = {}", [], "is no recipe, it has no 'title': see configs/recipes"),
        (None, ["--models", "bot"], "has no model 'bot', but 'bot_r50 VehicleID', "),
        (None, ["--cfg-options", "model.dropuot=1"], "has no such key"),
        ("metrics = ['Rank-0']", [], "'Rank-0' is not a metric here"),
        ("tests = {'a/b': _vehicleid}", [], "'a/b' is also a folder's name"),
        ("models = {'a': dict(test_size=800)}", [], "'a' names no config: write a path, or dict("),
        ("models = {'a': 'none.py'}", [], "none.py: no such config file"),
        ("tests = {'a': dict(config=_vehicleid, test_sise=1)}", [], "do you mean 'test_size'?"),
        (
            "tests = {'a': 'configs/baseline/bot_r50_1xb64-120e_vehicleid-128x256.py'}",
            ["--models", "PGAN VehicleID"],
            "PGAN VehicleID uses parts, and the test set a has no part cache",
        ),
    ],
)
def test_invalid_request_is_refused_before_anything_runs(
    tools: Tools, here: Path, capsys: pytest.CaptureFixture[str], text, words, message
) -> None:
    path = LARGE
    if text is not None:
        path = "recipe.py"
        whole = (ROOT / LARGE).read_text() if not text.startswith("tests = {}") else ""
        Path(path).write_text(f"{whole}\n{text}\n")
    assert tools.run(tool.main, path, *words) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert message in error
    assert "\n" not in error
    assert tools.called() == []
