"""The gallery from the command line, with a small model, parts and a detector."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

from detector.cache import Parts
from detector.cache.writer import PartCacheWriter
from pgan.evaluation import FeatureSet, save_features
from pgan.gallery.checksummed_json import read_checksummed_json, write_checksummed_json
from pgan.gallery.store import Gallery
from pgan.gallery.threshold import Threshold
from pgan.tools import gallery as tool
from tests.pgan.datasets.layouts import draw, write
from tests.pgan.tiny_models import CLASSES, tiny_detector, tiny_reid

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
VEHICLES, IMAGES = 8, 4


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the tool with these words; returns its exit status, output and lines of errors."""

    def run(*words: object) -> tuple[int, str, list[str]]:
        monkeypatch.setattr(sys, "argv", ["gallery.py", *map(str, words)])
        status = tool.main()
        printed = capsys.readouterr()
        return status, printed.out, printed.err.strip().splitlines()

    return run


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """Vehicles as VeRi-776 lays them out, a part cache of them, models, and a gallery."""
    folder = tmp_path_factory.mktemp("place")
    root = folder / "vehicles"
    test = [
        f"{vehicle:04}_c{image:03}_{100 * vehicle + image:08}_0.jpg"
        for vehicle in range(1, VEHICLES + 1)
        for image in range(1, IMAGES + 1)
    ]
    lists = {"train": ["0099_c001_00000001_0.jpg"], "test": test, "query": test[::IMAGES]}
    for split, names in lists.items():
        write(root / f"name_{split}.txt", names)
        draw(root, [f"image_{split}/{name}" for name in names])
    images = [f"image_{split}/{name}" for split, names in lists.items() for name in names]
    identity = {"classes": list(CLASSES), "max_parts": 4}
    PartCacheWriter(folder / "parts", images, identity).fill(_parts, progress=False)
    settings = {"data_root": str(root), "part_cache": str(folder / "parts")}
    pgan = tiny_reid(folder / "models", **settings)
    other = tiny_reid(folder / "models", seed=1, **settings)
    baseline = tiny_reid(folder / "models", "baseline", data_root=str(root))
    detector = tiny_detector(folder / "models")
    draw(folder, ["mine/a.png", "mine/b.png"])
    (folder / "mine/broken.jpg").write_bytes(b"no image")
    with pytest.MonkeyPatch.context() as patch:
        words = ["add", str(folder / "gallery"), pgan.config, "--model", *pgan]
        patch.setattr(sys, "argv", ["gallery.py", *words])
        assert tool.main() == 0
    return SimpleNamespace(**locals())


def _parts(image: str) -> Parts:
    boxes = np.array([[1, 2, 9, 8], [12, 5, 25, 19], [3, 10, 8, 18]], np.float32)
    return Parts(boxes, np.array([0.9, 0.6, 0.2], np.float32), np.array([0, 1, 0]), (20, 30))


@pytest.fixture
def gallery(place: SimpleNamespace, tmp_path: Path) -> Path:
    """Of the test images, by PGAN."""
    return shutil.copytree(place.folder / "gallery", tmp_path / "g")


def image(place: SimpleNamespace, row: int, split: str = "test") -> Path:
    return place.root / f"image_{split}" / place.lists[split][row]


def cells(out: str) -> Iterator[list[str]]:
    """Of each row of a table but its head."""
    for line in out.splitlines():
        if line.startswith("|") and line[1:].split("|")[0].strip().isdigit():
            yield [cell.strip() for cell in line.strip("|").split("|")]


def test_add_data_set_once_with_labels(place, gallery, call) -> None:
    status, out, _ = call("add", gallery, place.pgan.config)
    assert (status, out) == (0, f"{gallery}: 0 images added, 32 were there already\n")
    status, out, _ = call("add", gallery, place.pgan.config, "--roles", "query", "train")
    assert out == f"{gallery}: 9 images added, 0 were there already\n"
    (entry,) = Gallery.open(gallery).entries([0])
    assert (entry.path, entry.vehicle, entry.camera) == (str(image(place, 0)), "1", "1")
    assert str(entry.time) == "101"
    assert call("verify", gallery)[1].startswith(f"{gallery}: sound, ")
    status, out, _ = call("info", gallery)
    assert "41 images, 9 vehicles, 4 cameras (1, 2, 3, 4)" in out
    assert "times: of 41 images, 1 to 804" in out
    assert "model: PGAN, " in out
    assert "features: 16 dimensions" in out
    assert f"parts: from {place.folder / 'parts'}, for images below {place.root}" in out
    assert "index: none, searched exactly" in out
    assert "not calibrated" in out


def test_search_finds_same_image_at_distance_zero(place, gallery, call, tmp_path) -> None:
    """The query's file lies in another folder than the gallery's, with the same pixels."""
    query = image(place, 2, "query")
    query.write_bytes(image(place, 2 * IMAGES).read_bytes())
    words = ["--top", 5, "--json", tmp_path / "found.json", "--out", tmp_path / "page"]
    status, out, _ = call("search", gallery, query, *words)
    assert status == 0
    rows = list(cells(out))
    assert [row[0] for row in rows] == ["1", "2", "3", "4", "5"]
    assert rows[0][1:] == ["0.0000", "3", "1", "301", str(image(place, 2 * IMAGES))]
    found = json.loads((tmp_path / "found.json").read_text())
    (result,) = found["queries"]
    assert result["query"]["path"] == str(query)
    assert [hit["path"] for hit in result["results"]] == [row[-1] for row in rows]
    assert [f"{hit['distance']:.4f}" for hit in result["results"]] == [row[1] for row in rows]
    first = result["results"][0]
    assert (first["vehicle"], first["camera"], first["time"]) == ("3", "1", "301")
    assert [part["label"] for part in first["parts"]] == ["wheel", "plate", "wheel"]
    assert [part["box"] for part in first["parts"]] == _parts("").boxes.tolist()
    assert sum(part["weight"] for part in first["parts"]) == pytest.approx(1, abs=1e-5)
    panel = cv2.imread(str(tmp_path / "page" / "query_1.png"))
    assert panel.shape[1] > 5 * panel.shape[0]  # query and five results in a row
    amber = (np.abs(panel.astype(int) - [0, 159, 230]).max(2) < 8).sum()
    assert amber > 100  # boxes of parts
    page = (tmp_path / "page" / "index.html").read_text()
    assert "attention weight" in page
    assert "tools/gallery.py search" in page


def test_search_json_equals_gallery_features(place, gallery, call) -> None:
    opened = Gallery.open(gallery)
    features, query = opened.features(), 5
    distances = ((features - features[query]) ** 2).sum(1)
    cameras = np.array(opened.cameras)
    paths = np.array([path.decode() for path in opened.paths.tolist()])
    for words, allowed in (
        ([], np.ones(32, bool)),
        (["--camera", "1", "4"], np.isin(cameras, ["1", "4"])),
        (["--camera-not", "1"], cameras != "1"),
        (["--other-cameras"], cameras != cameras[query]),
        (["--after", "300", "--before", "602"], (opened.times("number") >= 300)),
    ):
        if "--before" in words:
            allowed &= opened.times("number") < 602
        allowed[query] = False
        order = [row for row in np.argsort(distances, kind="stable") if allowed[row]]
        status, out, _ = call("search", gallery, paths[query], *words, "--top", 40)
        assert status == 0
        assert [row[-1] for row in cells(out)] == paths[order].tolist()


def test_search_rerank_adds_a_column(place, gallery, call) -> None:
    status, out, _ = call("search", gallery, image(place, 0), "--rerank", 10, "--top", 12)
    assert status == 0
    assert "re-ranked" in out
    again = [row[2] for row in cells(out)]
    assert again[:10] == sorted(again[:10])
    assert again[10:] == ["", ""]


def test_add_and_search_refuse_another_model(place, gallery, call) -> None:
    for words in (
        ["search", gallery, image(place, 0)],  # even though its feature is in the gallery
        ["search", gallery, place.folder / "mine/a.png"],
        ["add", gallery, place.folder / "mine"],
        ["calibrate", gallery, place.pgan.config],
    ):
        status, out, errors = call(*words, "--model", *place.other)
        assert (status, out) == (1, "")
        (error,) = errors
        assert error.startswith("error: ")
        assert "built with another model, PGAN of" in error
        assert "its weights differ from those of" in error
    assert len(Gallery.open(gallery)) == 32


def test_add_images_in_no_cache_needs_detector(place, gallery, call, tmp_path) -> None:
    mine = place.folder / "mine"
    status, _, errors = call("search", gallery, mine / "a.png")
    assert status == 1
    assert f"{mine / 'a.png'}: this model needs its parts" in errors[-1]
    assert "--detector CONFIG CHECKPOINT" in errors[-1]
    status, out, errors = call("search", gallery, mine, "--detector", *place.detector, "--top", 3)
    assert (status, len(list(cells(out)))) == (1, 2 * 3)
    assert errors[-2].startswith(f"{mine / 'broken.jpg'}: ")
    assert errors[-1] == "error: 1 images could not be read and were skipped"
    words = ["--detector", *place.detector, "--vehicle", "mine", "--camera", "gate"]
    status, out, errors = call("add", gallery, mine, *words)
    assert status == 1
    assert out == f"{gallery}: 2 images added, 0 were there already\n"
    assert "broken.jpg: " in errors[-2]
    assert f"found by {place.detector.checkpoint}" in call("info", gallery)[1]
    # From now on the gallery knows its detector, and the images need none.
    draw(tmp_path, ["new.png"])
    status, out, _ = call("search", gallery, tmp_path / "new.png", mine / "a.png", "--top", 33)
    assert status == 0
    found = [row[2:] for row in cells(out)]
    assert found.count(["mine", "gate", "", str(mine / "b.png")]) == 2


def test_add_with_model_without_parts_needs_no_detector(place, call, tmp_path) -> None:
    mine = place.folder / "mine"
    words = [mine / "a.png", mine / "b.png", "--model", *place.baseline]
    assert call("add", tmp_path / "g", *words)[:2] == (
        0,
        f"{tmp_path / 'g'}: 2 images added, 0 were there already\n",
    )
    assert "unknown vehicles, unknown cameras" in call("info", tmp_path / "g")[1]
    status, out, _ = call("search", tmp_path / "g", mine / "a.png", "--out", tmp_path / "page")
    assert (status, len(list(cells(out)))) == (0, 1)
    assert "attention weight" not in (tmp_path / "page" / "index.html").read_text()


def test_search_marks_same_vehicle_after_calibration(place, gallery, call) -> None:
    status, out, _ = call("calibrate", gallery, place.pgan.config, "--false-match-rate", 0.1)
    assert status == 0
    threshold = Threshold.load(gallery / "threshold.json")
    assert threshold.describe() in out
    assert threshold.measured_false_match_rate <= 0.1
    assert (threshold.same_pairs, threshold.different_pairs) == (8 * 3, 8 * 28)
    assert cv2.imread(str(gallery / "threshold.png")).shape[0] > 100
    assert threshold.describe() in call("info", gallery)[1]
    status, out, _ = call("search", gallery, image(place, 0), "--top", 31)
    assert threshold.describe() in out
    told = {row[2] for row in cells(out)}
    assert told == {"yes", "no"}
    for _, distance, same, *_ in cells(out):
        assert (same == "yes") == (float(distance) <= threshold.distance)


def test_calibrate_refuses_features_of_other_dimensions(place, gallery, call, tmp_path) -> None:
    ids = np.arange(6) // 2
    roles = np.array(["query", "gallery"] * 3)
    features = np.eye(6, dtype=np.float32)
    names = np.array([f"{row}.png" for row in range(6)])
    path = save_features(
        tmp_path / "f.npz", FeatureSet(features, ids, np.full(6, -1), roles, names)
    )
    status, _, errors = call("calibrate", gallery, path)
    assert status == 1
    assert "6 dimensions and" in errors[-1]
    assert "the gallery's own model" in errors[-1]
    status, _, errors = call("calibrate", gallery, place.pgan.config)
    assert status == 1
    assert "ask for" in errors[-1]  # 1e-3 of 224 pairs cannot be told
    assert not (gallery / "threshold.json").exists()


def test_index_reports_recall_and_when_it_is_not_used(gallery, call, place) -> None:
    status, out, _ = call("index", gallery)
    assert status == 0
    assert "exact, recall@1 1.0000" in out
    assert call("index", gallery, "--kind", "ivfpq")[0] == 1
    assert "index: exact" in call("info", gallery)[1]
    status, out, _ = call("remove", gallery, image(place, 3), "--vehicle", 1, 2)
    assert out == f"{gallery}: 8 images removed, 24 left\n"
    assert call("search", gallery, image(place, 9))[0] == 0


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["search", "{g}", "{tmp}/none.jpg"], "none.jpg: no such image or folder"),
        (["search", "{g}", "{tmp}/empty"], "has no image"),
        (["add", "{g}", "{tmp}/empty"], "has no image"),
        (["add", "{g}", "{root}/name_test.txt"], "name_test.txt: this model needs its parts"),
        (["add", "{tmp}/h", "{root}/image_test"], "create one with `python tools/gallery.py add"),
        (["add", "{root}", "{root}/image_test", "--model", "{c}", "{k}"], "is not a gallery: give"),
        (["add", "{g}", "{c}", "--vehicle", "x"], "a data set has its own"),
        (["add", "{g}", "none.py"], "none.py: no such config file"),
        (["search", "{tmp}/empty", "{root}/image_test"], "is not a gallery: create one with"),
        (["search", "{g}", "{root}/image_query", "--camera", "9"], "it has 1, 2, 3, 4"),
        (["search", "{g}", "{root}/image_test", "--after", "2018-03-11"], "has a date as its"),
        (["remove", "{g}"], "name images to remove, or --vehicle ID"),
        (["index", "{g}", "--kind", "tree"], "choose auto, exact, hnsw, ivfpq"),
        (["calibrate", "{g}", "{c}", "--false-match-rate", "2"], "above 0 and below 1"),
        (["info", "{tmp}/none"], "does not exist: create one with"),
    ],
)
def test_invalid_input_is_reported_in_one_sentence(
    place, gallery, call, tmp_path, words, message
) -> None:
    (tmp_path / "empty").mkdir()
    names = {"g": gallery, "tmp": tmp_path, "root": place.root}
    names |= {"c": place.pgan.config, "k": place.pgan.checkpoint}
    before = sorted(tmp_path.rglob("*"))
    status, _, errors = call(*(word.format(**names) for word in words))
    assert status == 1
    assert errors[-1].startswith("error: ")
    assert message in errors[-1]
    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("words", [["--top", "0"], ["--after", "noon"], ["--rerank", "-1"]])
def test_invalid_arguments_are_refused(place, gallery, call, words, capsys) -> None:
    with pytest.raises(SystemExit):
        call("search", gallery, image(place, 0), *words)
    assert "error: argument" in capsys.readouterr().err


def test_search_asks_for_missing_model(place, gallery, call, tmp_path) -> None:
    manifest = read_checksummed_json(gallery / "gallery.json", {})
    manifest["model"]["checkpoint"] = str(tmp_path / "gone.pth")
    write_checksummed_json(gallery / "gallery.json", manifest)
    query = image(place, 1, "query")
    assert call("search", gallery, image(place, 0))[0] == 0  # it is in the gallery
    status, _, errors = call("search", gallery, query)
    assert status == 1
    assert "gone.pth, no longer exist: give their new place with --model" in errors[-1]
    assert call("search", gallery, query, "--model", *place.pgan)[0] == 0


@pytest.mark.slow
@pytest.mark.parametrize(
    ("case", "files", "changes", "absent"),
    [
        # An image of the gallery: read its row, compare, print.
        ("known", 23, 77, ["torch", "mmengine", "mmdet", "cv2", "matplotlib", "scipy"]),
        # Its parts are in the part cache: neither a detector nor a data set is built.
        ("cached", 47, 155, ["mmdet", "matplotlib"]),
        ("without parts", 47, 155, ["mmdet", "matplotlib"]),
    ],
)
def test_search_passes_through_few_files_and_loads_what_it_uses(
    place, gallery, tmp_path, case: str, files: int, changes: int, absent: list[str]
) -> None:
    query, model = image(place, 1, "query"), []
    if case == "known":
        query = image(place, 0)
    elif case == "without parts":
        query, gallery = place.folder / "mine/a.png", tmp_path / "baseline"
        model = ["--model", *place.baseline]
        add = [sys.executable, str(ROOT / "tools/gallery.py"), "add", str(gallery)]
        subprocess.run([*add, str(place.folder / "mine/b.png"), *model], check=True)
    command = [str(ROOT), str(ROOT / "tools/gallery.py"), "search", str(gallery), str(query)]
    script = Path(__file__).with_name("search_path.py")
    done = subprocess.run(
        [sys.executable, str(script), *command], capture_output=True, text=True, check=True
    )
    status, entered, rooms, modules = json.loads(done.stdout.splitlines()[-1])
    assert status == 0
    assert len(entered) <= files, entered
    assert rooms <= changes
    assert not set(absent) & set(modules)
    assert not any(file.startswith("pgan/datasets/reid_dataset") for file in entered)


def test_info_verify_and_remove_do_not_load_torch(place, gallery) -> None:
    code = "import sys; from pgan.tools.gallery import main; main(); print('torch' in sys.modules)"
    for words in (["info", gallery], ["verify", gallery], ["remove", gallery, image(place, 0)]):
        command = [sys.executable, "-c", code, *map(str, words)]
        told = subprocess.run(command, capture_output=True, text=True, check=True)
        assert told.stdout.splitlines()[-1] == "False"
    assert len(Gallery.open(gallery)) == len(place.lists["test"]) - 1
