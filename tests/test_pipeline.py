"""Images → detector → part cache → PGAN → features → ranking → page, on a tiny fleet, by the tools."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from detector.cache import PartCache
from pgan.evaluation import evaluate, load_features
from pgan.experiments import demo, fleet_steps
from pgan.experiments.sweeps import plan
from pgan.tools import demo as demo_tool
from pgan.tools import extract_parts, make_fleet, test, train

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
DETECTOR = str(ROOT / "configs/detector/ssdlite_resnet_fleet.py")
PGAN = str(ROOT / "configs/pgan/pgan_r18-cpu_1xb64-24e_fleet-96x96.py")
BASELINE = str(ROOT / "configs/pgan/baseline_r18-cpu_1xb64-24e_fleet-96x96.py")
SSRNET = str(ROOT / "configs/ssrnet/ssrnet_r18-cpu_1xb64-24e_fleet-96x96.py")
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
NO_WORKERS = [f"{loader}.num_workers=0" for loader in LOADERS]
# 32 pixels and 4 x 4 images a batch keep the tests quick.
SMALL = [
    "image_size=(32,32)",
    "train_dataloader.batch_size=16",
    "train_dataloader.sampler.identities=4",
]
SMALL += ["train_cfg.val_interval=9", *NO_WORKERS]


def call(main: Callable[[], int], *words: object) -> int:
    """Run a tool in this process with a command line of its own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tool", *map(str, words)])
        return main()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a fleet, a detector trained for a moment, and its part cache."""
    place = tmp_path_factory.mktemp("pipeline")
    fleet, detector = place / "fleet", place / "detector"
    options = (
        "--vehicles 14 --images-per-vehicle 6 --size 64 --seed 1 --detector-images 24 --workers 1"
    )
    assert call(make_fleet.main, fleet, *options.split()) == 0
    tiny = [
        f"data_root={fleet / 'parts_voc'}",
        "train_dataloader.batch_size=6",
        "train_cfg.max_epochs=1",
        *NO_WORKERS,
    ]
    assert call(train.main, DETECTOR, "--work-dir", detector, "--cfg-options", *tiny) == 0
    weights = detector / "epoch_1.pth"
    assert call(test.main, DETECTOR, weights, "--work-dir", detector, "--cfg-options", *tiny) == 0
    words = [
        "--dataset",
        PGAN,
        "--data-root",
        fleet,
        "--out",
        place / "parts",
        "--workers",
        0,
        "--draw",
        4,
    ]
    assert call(extract_parts.main, DETECTOR, weights, *words) == 0
    return place


def options_of(place: Path, *more: str) -> list[str]:
    return ["--cfg-options", f"data_root={place / 'fleet'}", *SMALL, *more]


@pytest.fixture(scope="module")
def trained(place: Path) -> Path:
    """The same folder with PGAN and its baseline trained for two epochs and tested."""
    for name, config in (("pgan", PGAN), ("baseline", BASELINE)):
        more = [f"part_cache={place / 'parts'}", "num_parts=4"] if name == "pgan" else []
        options = options_of(place, "train_cfg.max_epochs=2", *more)
        run_dir = place / name
        assert call(train.main, config, "--work-dir", run_dir, *options) == 0
        words = [run_dir / "epoch_2.pth", "--work-dir", run_dir, "--dump", run_dir / "features.npz"]
        assert call(test.main, config, *words, *options) == 0
    return place


def test_detector_test_writes_precision_by_attribute(place: Path) -> None:
    metrics = json.loads((place / "detector" / "results.json").read_text())["metrics"]
    assert 0 <= metrics["parts/mAP"] <= 1
    assert {"parts/AP50_wheel", "parts/COCO_AP_wheel"} <= set(metrics)


def test_the_cache_holds_every_image_of_the_fleet(place: Path) -> None:
    cache = PartCache.open(place / "parts")
    listed = {f"{p.parent.name}/{p.name}" for p in (place / "fleet").glob("image_*/*.jpg")}
    assert set(cache.images()) == listed
    assert (place / "parts" / "parts.jpg").stat().st_size > 10_000


def test_features_and_results_are_left_by_the_test(trained: Path) -> None:
    for name in ("pgan", "baseline"):
        results = json.loads((trained / name / "results.json").read_text())
        metrics = results["metrics"]
        assert results["protocol"]["name"] == "cross-camera"
        assert results["counts"]["queries"] > 0
        features = load_features(trained / name / "features.npz")
        assert metrics["reid/mAP"] == pytest.approx(evaluate(features).metrics()["mAP"])
    weights = load_features(trained / "pgan" / "features.npz").part_weights
    assert weights.shape[1] == 4
    assert weights.sum(1) == pytest.approx(1, abs=1e-4)


def test_more_parts_than_cached_stop_before_training(trained: Path, capsys) -> None:
    options = options_of(trained, f"part_cache={trained / 'parts'}", "num_parts=17")
    assert call(train.main, PGAN, "--work-dir", trained / "x", *options) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    assert "17" in error
    assert "extract_parts.py" in error
    assert not list((trained / "x").glob("*.pth"))


def test_images_that_are_not_in_the_cache_stop_before_training(
    trained: Path, tmp_path, capsys
) -> None:
    words = [
        "--images",
        trained / "fleet" / "image_query",
        "--out",
        tmp_path / "other",
        "--workers",
        0,
    ]
    assert call(extract_parts.main, DETECTOR, trained / "detector" / "epoch_1.pth", *words) == 0
    options = options_of(trained, f"part_cache={tmp_path / 'other'}", "num_parts=4")
    assert call(train.main, PGAN, "--work-dir", tmp_path / "x", *options) == 1
    assert "image_train/" in capsys.readouterr().err.strip().splitlines()[-1]


def test_resume_continues_from_the_last_epoch(trained: Path) -> None:
    options = options_of(trained, "train_cfg.max_epochs=3")
    run_dir = trained / "baseline_resumed"
    run_dir.mkdir()
    (run_dir / "epoch_2.pth").write_bytes((trained / "baseline" / "epoch_2.pth").read_bytes())
    assert call(train.main, BASELINE, "--work-dir", run_dir, "--resume", *options) == 0
    checkpoint = torch.load(run_dir / "epoch_3.pth", weights_only=True)
    assert checkpoint["meta"]["epoch"] == 3
    assert "Epoch(train) [1]" not in next(run_dir.glob("2*/*.log")).read_text()


def test_ssr_net_trains_resumes_and_tests(place: Path) -> None:
    """As PGAN does, by the same tools, without a part cache."""
    run_dir = place / "ssrnet"
    for epochs in (1, 2):
        options = options_of(place, f"train_cfg.max_epochs={epochs}")
        assert call(train.main, SSRNET, "--work-dir", run_dir, "--resume", *options) == 0
    assert torch.load(run_dir / "epoch_2.pth", weights_only=True)["meta"]["epoch"] == 2
    first, second = sorted(run_dir.glob("2*/*.log"))
    assert "Epoch(train) [1]" in first.read_text()
    assert "Epoch(train) [1]" not in second.read_text()
    words = [run_dir / "epoch_2.pth", "--work-dir", run_dir, "--dump", run_dir / "features.npz"]
    assert call(test.main, SSRNET, *words, *options) == 0
    features = load_features(run_dir / "features.npz")
    assert features.features.shape[1] == 128 + 128 + 128  # ResNet-18's layer2, the token, layer2
    metrics = json.loads((run_dir / "results.json").read_text())["metrics"]
    assert metrics["reid/mAP"] == pytest.approx(evaluate(features).metrics()["mAP"])


def test_detector_checkpoint_is_refused_as_a_reid_checkpoint(trained: Path, capsys) -> None:
    words = [BASELINE, trained / "detector" / "epoch_1.pth", "--work-dir", trained / "x"]
    assert call(test.main, *words, *options_of(trained)) == 1
    assert "is not a checkpoint of" in capsys.readouterr().err


def test_demo_resumes_and_writes_a_page(
    trained: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    """Every step is done but the page; the tiny runs stand in for the demo's."""
    plain = fleet_steps.load_config

    def small(path: str, options: dict | None = None):
        cfg = plain(path, options)
        cfg.train_cfg.max_epochs = 1
        return cfg

    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(fleet_steps, "load_config", small)
    monkeypatch.setattr(demo, "FLEET", trained / "fleet")
    monkeypatch.setattr(demo, "TESTED_PARTS", (2, 4))
    study = trained / "study.py"
    options = {"data_root": str(trained / "fleet"), "num_parts": 4}
    study.write_text(f"_base_ = {str(ROOT / demo.STUDY)!r}\noptions = {options}\n")
    monkeypatch.setattr(demo, "STUDY", str(study))
    planned = demo.Demo(trained, [0])
    for job in plan(planned.sweep(), planned.reid_dir):
        kind = Path(job.folder.config).name.split("_")[0]
        for run in job.runs:
            run.folder.path.mkdir(parents=True, exist_ok=True)
            for name in ("results.json", "features.npz"):
                (run.folder.path / name).symlink_to(trained / kind / name)
    assert call(demo_tool.main, "--work-dir", trained) == 0
    printed = capsys.readouterr().out
    assert printed.count("done before") == 4 + 1
    assert "Re-identification" in printed
    assert re.search(r"\| baseline +\| +\d", printed)
    page = (trained / "index.html").read_text()
    assert "PGAN" in page
    assert page.count("data:image/") >= 3 + 2 * 2
    for word in ("make_fleet", "train", "test", "extract_parts"):
        assert f"python tools/{word}.py " in page
