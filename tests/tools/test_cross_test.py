"""Models on each other's test sets: what each side brings, what is kept, what is refused."""

from __future__ import annotations

import csv
import json
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import init_default_scope

from detector.cache import Parts
from detector.cache.writer import PartCacheWriter
from pgan.apis import load_config
from pgan.evaluation import evaluate, load_features
from pgan.experiments.cross_test import Pair, Side, combine
from pgan.registry import MODELS
from pgan.tools import cross_test as tool

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PGAN = str(ROOT / "configs/pgan/pgan_r18-cpu_1xb64-30e_csv-128x128.py")
BASELINE = str(ROOT / "configs/pgan/baseline_r18-cpu_1xb64-30e_csv-128x128.py")
SMALL = ["image_size=(32,32)", "test_dataloader.num_workers=0"]


def make_set(root: Path, vehicles: int) -> None:
    """Noise images of vehicles, three each, by cameras 0 to 2; no training images."""
    rng = np.random.default_rng(vehicles)
    lines = ["path,vehicle_id,camera_id,split"]
    root.mkdir()
    for vehicle in range(vehicles):
        for camera in range(3):
            image = rng.integers(0, 255, (24, 32, 3), dtype=np.uint8)
            cv2.imwrite(str(root / f"{vehicle}_{camera}.png"), image)
            split = "query" if camera == 0 else "gallery"
            lines.append(f"{vehicle}_{camera}.png,{vehicle},{camera},{split}")
    (root / "index.csv").write_text("\n".join(lines))


def make_cache(root: Path, out: Path, score: float = 0.9) -> None:
    """Two parts on each image."""
    images = sorted(path.name for path in root.glob("*.png"))
    identity = {"classes": ["wheel", "plate"], "max_parts": 2, "model": {}}
    writer = PartCacheWriter(out, images, identity, {}, shard_size=64)
    boxes = np.array([[2, 2, 12, 12], [14, 8, 30, 20]], np.float32)
    parts = Parts(boxes, np.array([score, 0.5], np.float32), np.arange(2), (24, 32))
    writer.write(0, [parts] * len(images))
    writer.finish()


def make_checkpoint(config: str, path: Path, seed: int = 0) -> None:
    init_default_scope("pgan")
    torch.manual_seed(seed)
    model = MODELS.build(dict(load_config(config).model, num_vehicles=3))
    torch.save({"state_dict": model.state_dict()}, path)


def call(*words: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["cross_test.py", *map(str, words)])
        return tool.main()


def words(place: Path, out: Path | None = None, *more: object) -> list[str]:
    """The command for both models on both sets."""
    command = [
        *("--models", f"{PGAN}:{place / 'pgan.pth'}:PGAN:num_parts=2"),
        f"{BASELINE}:{place / 'baseline.pth'}:baseline",
        *("--tests", f"{BASELINE}:one:data_root={place / 'one'}:part_cache={place / 'one_parts'}"),
        f"{PGAN}:data_root={place / 'two'}:part_cache={place / 'two_parts'}"
        ":test_evaluator.protocol=single-gallery-shot",
        *("--work-dir", out or place / "out", *more, "--cfg-options", *SMALL),
    ]
    return list(map(str, command))


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two test sets with part caches, two checkpoints, and their matrix."""
    place = tmp_path_factory.mktemp("cross_test")
    for name, vehicles in (("one", 5), ("two", 4)):
        make_set(place / name, vehicles)
        make_cache(place / name, place / f"{name}_parts")
    make_checkpoint(PGAN, place / "pgan.pth")
    make_checkpoint(BASELINE, place / "baseline.pth")
    assert call(*words(place)) == 0
    return place


@pytest.fixture
def again(place: Path, tmp_path: Path) -> Path:
    """A copy of the finished matrix's folder."""
    return Path(shutil.copytree(place / "out", tmp_path / "again"))


@pytest.fixture
def not_run(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The pairs whose models would run; kept features stand in for them."""
    asked: list[str] = []

    def run(pair: Pair) -> None:
        asked.append(f"{pair.model.name} on {pair.test.name}")
        return evaluate(load_features(pair.features))

    monkeypatch.setattr(Pair, "run", run)
    return asked


def test_every_cell_is_the_score_of_the_features_by_its_columns_protocol(place: Path) -> None:
    with (place / "out" / "matrix.csv").open(newline="") as file:
        rows = {row.pop("model"): row for row in csv.DictReader(file)}
    assert list(rows) == ["PGAN", "baseline"]
    for model, row in rows.items():
        for test, protocol in (("one", "cross-camera"), ("CSVDataset", "single-gallery-shot")):
            features = load_features(place / "out" / model / test / "features.npz")
            expected = evaluate(features, protocol)
            column = f"{test} ({protocol})"
            for name in ("mAP", "Rank-1"):
                assert float(row[f"{column} {name}"]) == expected.metrics()[name]
            spread = row.get(f"{column} mAP std")
            assert (spread and float(spread)) == expected.stds().get("mAP")
    weights = load_features(place / "out" / "PGAN" / "one" / "features.npz").part_weights
    assert weights.shape == (15, 2)  # the parts that the model asks for


def test_the_table_is_in_markdown_and_says_how_each_column_was_scored(place: Path) -> None:
    text = (place / "out" / "matrix.md").read_text()
    table, *notes = text.split("\n\n")
    header, rule, *rows = table.splitlines()
    assert header.count("|") == rule.count("|") == rows[0].count("|") == 6
    assert "one (cross-camera) Rank-1" in header
    assert "CSVDataset (single-gallery-shot) mAP" in header
    assert [row.split("|")[1].strip() for row in rows] == ["PGAN", "baseline"]
    assert rows[0].count("±") == 2  # of the repeated protocol alone
    assert notes[0].startswith("one: protocol 'cross-camera' (")
    kept = json.loads((place / "out" / "matrix.json").read_text())
    assert [r["protocol"]["repeats"] for r in kept] == [1, 10, 1, 10]
    assert {"queries", "gallery"} <= set(kept[0]["counts"])


def test_finished_pairs_are_not_run_again(place: Path, again: Path, not_run: list, capsys) -> None:
    assert call(*words(place, again)) == 0
    assert not_run == []
    before, after = ((folder / "matrix.json").read_bytes() for folder in (place / "out", again))
    assert before == after
    assert "baseline on one: kept" in capsys.readouterr().out


def test_other_metrics_are_scored_from_the_kept_features(
    place: Path, again: Path, not_run: list, capsys
) -> None:
    assert call(*words(place, again, "--metrics", "mINP", "Rank-3")) == 0
    assert not_run == []
    assert "one (cross-camera) Rank-3" in capsys.readouterr().out


def test_a_changed_checkpoint_is_run_again_and_no_other(
    place: Path, again: Path, not_run: list, tmp_path: Path
) -> None:
    make_checkpoint(BASELINE, tmp_path / "baseline.pth", seed=1)
    changed = str(tmp_path / "baseline.pth")
    command = [w.replace(str(place / "baseline.pth"), changed) for w in words(place, again)]
    assert call(*command) == 0
    assert not_run == ["baseline on one", "baseline on CSVDataset"]


def test_a_changed_number_of_parts_is_run_again(place: Path, again: Path, not_run: list) -> None:
    assert call(*[word.replace("num_parts=2", "num_parts=1") for word in words(place, again)]) == 0
    assert not_run == ["PGAN on one", "PGAN on CSVDataset"]


def test_new_part_cache_causes_a_new_run(
    place: Path, again: Path, not_run: list, tmp_path: Path
) -> None:
    other = tmp_path / "other_parts"
    make_cache(place / "one", other, score=0.8)
    kept = (place / "one_parts").rename(tmp_path / "kept_parts")
    try:
        shutil.copytree(other, place / "one_parts")
        assert call(*words(place, again)) == 0
    finally:
        shutil.rmtree(place / "one_parts")
        kept.rename(place / "one_parts")
    assert not_run == ["PGAN on one"]


def test_the_model_brings_its_transforms_and_the_test_set_everything_else(tmp_path: Path) -> None:
    model = Side.parse(f"{PGAN}:x.pth:num_parts=3:part_cache=a", True)
    size = "test_dataloader.dataset.pipeline.1.size=(8,8)"
    test = Side.parse(f"{PGAN}:part_cache=b:num_parts=7:data_root=here:{size}", False)
    cfg = combine(model, test)
    data = cfg.test_dataloader.dataset
    assert data.pipeline[1].size == (128, 128)
    assert (data.data_root, data.part_cache, data.num_parts) == ("here", "b", 3)
    bare = combine(Side.parse(f"{BASELINE}:x.pth", True), test).test_dataloader.dataset
    assert (bare.part_cache, bare.num_parts) == (None, 0)
    assert model.cfg.test_dataloader.dataset.data_root != "here"  # nobody's config is changed


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda w: [x.split(":part_cache=")[0] for x in w], "has no part cache: name the one"),
        (lambda w: [x.replace("pgan.pth", "none.pth") for x in w], "none.pth: no such checkpoint"),
        (lambda w: [x.replace(":one", ":CSVDataset") for x in w], "two are named 'CSVDataset'"),
        (lambda w: [x.replace(":one", ":a/b") for x in w], "'a/b' is also a folder's name"),
        (
            lambda w: [x.replace(":PGAN:", ":PGAN:x:") for x in w],
            "is not understood: write CONFIG:",
        ),
        (lambda w: [x.replace(PGAN, "none.py") for x in w], "none.py: no such config file"),
        (lambda w: [*w[:2], w[2].split(":")[0], *w[3:]], "is not understood"),
        (lambda w: [*w, "--metrics", "Rank-0"], "'Rank-0' is not a metric here"),
    ],
)
def test_invalid_request_is_refused_before_anything_runs(
    place: Path, not_run: list, capsys, change, message
) -> None:
    assert call(*change(words(place))) == 1
    error = capsys.readouterr().err.strip()
    assert error.startswith("error: ")
    assert message in error
    assert "\n" not in error
    assert not_run == []


def test_a_config_of_something_else_is_refused(tmp_path: Path, capsys) -> None:
    config = tmp_path / "detector.py"
    config.write_text("test_evaluator = dict(type='VOCMetric')")
    assert call("--models", f"{config}:x.pth", "--tests", BASELINE) == 1
    assert "is not a re-identification config" in capsys.readouterr().err


def test_a_checkpoint_of_another_model_is_refused(place: Path, tmp_path: Path, capsys) -> None:
    checkpoint = f"{BASELINE}:{place / 'pgan.pth'}"
    test = f"{BASELINE}:data_root={place / 'one'}"
    command = ["--models", checkpoint, "--tests", test, "--work-dir", tmp_path]
    assert call(*command, "--cfg-options", *SMALL) == 1
    assert "is not a checkpoint of" in capsys.readouterr().err
