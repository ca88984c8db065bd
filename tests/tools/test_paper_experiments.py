"""The commands of the papers' experiments, as docs/paper.md and ssrnet.md have them, on tiny data sets."""

from __future__ import annotations

import csv
import math
import shutil
from pathlib import Path

import pytest

from pgan.experiments.papers import paper_sweep
from pgan.experiments.papers.pgan import EXPERIMENTS
from pgan.experiments.sweeps import plan
from pgan.tools import sweep
from tests.pgan.datasets.layouts import LAYOUTS
from tests.tools.tiny_sweeps import SMALL, Tools, cache_two_parts

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = {
    "veri776": "VeRi",
    "vehicleid": "VehicleID",
    "vric": "VRIC",
    "veriwild": "VERI-Wild",
}
# Test lists that the tiny data sets lack -> those that stand in for them.
LISTS = {
    "VehicleID/train_test_split/test_list_1600.txt": "test_list_800.txt",
    "VERI-Wild/train_test_split/test_5000.txt": "test_3000.txt",
    "VERI-Wild/train_test_split/test_5000_query.txt": "test_3000_query.txt",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkout with its data: configs/, data/VeRi, data/VeRi_parts and so on."""
    place = tmp_path_factory.mktemp("paper")
    (place / "configs").symlink_to(ROOT / "configs")
    for layout, folder in FOLDERS.items():
        LAYOUTS[layout](place / "data" / folder)
        cache_two_parts(place / "data" / folder, place / "data" / f"{folder}_parts")
    for name, other in LISTS.items():
        file = place / "data" / name
        shutil.copy(file.with_name(other), file)
    return place


def test_common_runs_of_experiments_are_trained_once(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PGAN of 512 dimensions, with 8 parts, lambda 2 and all losses is in all four."""
    monkeypatch.chdir(place)
    folders = [
        job.folder.path
        for name in ("table2", "table5", "figure5", "figure6")
        for job in plan(paper_sweep(name), "nowhere")
    ]
    assert max(map(folders.count, folders)) == 4


# Of SSR-Net's, the others' points are tests/pgan/papers.
@pytest.mark.parametrize("name", [*EXPERIMENTS, "ssrnet_datasets", "ssrnet_depth"])
def test_experiment_trains_and_tests_all_its_models(
    tools: Tools,
    place: Path,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(place)
    words = ["--paper", name, "--work-dir", "work_dirs/paper", "--cfg-options", *SMALL]
    assert tools.run(sweep.main, *words, "train_cfg.max_epochs=1") == 0
    rows = list(csv.DictReader((place / f"work_dirs/paper/{name}.csv").open()))
    assert len(rows) == len(paper_sweep(name).points)
    assert all(math.isfinite(float(row["mAP"])) for row in rows)
    assert (place / f"work_dirs/paper/{name}.png").stat().st_size > 5000
