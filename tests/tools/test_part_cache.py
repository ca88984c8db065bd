"""Parts into a cache and out of it by the tool, and a training from masks alone."""

from __future__ import annotations

import re
import shutil
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
from mmengine.config import Config

from detector.cache import Parts
from detector.cache.layout import FILES
from detector.cache.writer import PartCacheWriter
from pgan.apis import build_runner, load_config
from pgan.tools import part_cache, train
from tests.configs.test_dataset_configs import SMALL, cache_parts
from tests.pgan.datasets.layouts import make_veri

pytestmark = pytest.mark.slow

CONFIG = Path(__file__).resolve().parents[2] / "configs/pgan/pgan_r50_1xb64-130e_veri776-224x224.py"


def call(tool: object, *words: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["tool", *map(str, words)])
        return tool.main()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny VeRi-776 with a cache of boxes, and a cache of the masks exported from it, 8 x 8 cells."""
    place = tmp_path_factory.mktemp("veri")
    boxes = cache_parts(make_veri(place / "VeRi"))
    assert call(part_cache, "export-masks", boxes, "--out", place / "masks", "--size", 8, 8) == 0
    words = [place / "masks", "--data-root", place / "VeRi", "--out", place / "masks_cache"]
    assert call(part_cache, "import-masks", *words) == 0
    return place


def small_run(place: Path, cache: str, out: Path) -> dict:
    parts = {"data_root": str(place / "VeRi"), "part_cache": str(place / cache), "num_parts": 3}
    cfg = load_config(str(CONFIG), {**SMALL, **parts})
    runner = build_runner(cfg, str(out))
    runner.train()
    return {"loss": runner.message_hub.get_scalar("train/loss").current(), **runner.test()}


def test_training_from_masks_is_training_from_the_boxes_they_were_made_of(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Config, "pretty_text", property(lambda config: repr(config)))
    runs = [small_run(place, cache, tmp_path / cache) for cache in ("VeRi_parts", "masks_cache")]
    assert runs[0] == runs[1]


def test_another_size_is_refused_in_one_sentence(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [f"{key}={value!r}" for key, value in {**SMALL, "image_size": (48, 48)}.items()]
    options += [f"data_root={place / 'VeRi'}", f"part_cache={place / 'masks_cache'}", "num_parts=3"]
    assert call(train, CONFIG, "--work-dir", tmp_path, "--cfg-options", *options) == 1
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: The part cache has masks of 8x8 cells and no boxes")
    assert "12x12" in error


def test_import_says_what_it_found_and_what_is_next(place, tmp_path, capsys) -> None:
    words = [place / "masks", "--data-root", place / "VeRi", "--out", tmp_path / "cache"]
    assert call(part_cache, "import-masks", *words) == 0
    out = capsys.readouterr().out
    assert f"{tmp_path / 'cache'}: 7 images, 7 parts" in out
    assert "masks of 8x8 cells: 1 in 7 files" in out
    assert "the cache serves feature maps of 8x8 cells" in out
    assert "next: python tools/train.py CONFIG" in out
    assert call(part_cache, "import-masks", *words) == 1
    assert "a cache is never changed" in capsys.readouterr().err


def test_text_files_are_imported_verified_and_counted(place, tmp_path, capsys) -> None:
    for image in (place / "VeRi").rglob("*.jpg"):
        file = tmp_path / "text" / image.parent.name / f"{image.stem}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("wheel 0.9 5 5 20 15\n")
    words = [tmp_path / "text", "--data-root", place / "VeRi", "--out", tmp_path / "cache"]
    assert call(part_cache, "import-text", *words) == 0
    assert call(part_cache, "verify", tmp_path / "cache") == 0
    assert call(part_cache, "stats", tmp_path / "cache") == 0
    assert call(part_cache, "export-text", tmp_path / "cache", "--out", tmp_path / "back") == 0
    out = capsys.readouterr().out
    assert "sound, 7 images, 7 parts" in out
    assert "wheel" in out
    assert "7 files; 0 images could not be read\n  parts in a file: 1 in 7 files\n" in out
    words = [tmp_path / "back", "--data-root", place / "VeRi", "--out", tmp_path / "again"]
    assert call(part_cache, "import-text", *words) == 0
    assert call(part_cache, "diff", tmp_path / "cache", tmp_path / "again") == 0
    assert call(part_cache, "stats", place / "VeRi") == 1
    assert "is not a part cache" in capsys.readouterr().err


def test_perturbed_boxes_are_compared_with_the_originals(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    boxes, moved = place / "VeRi_parts", tmp_path / "moved"
    assert call(part_cache, "perturb", boxes, "--anywhere", "--out", moved) == 0
    words = [boxes, moved, "--truth", boxes, "--num-parts", 2, "--out", tmp_path / "quality.md"]
    assert call(part_cache, "compare", *words) == 0
    table = (tmp_path / "quality.md").read_text()
    assert table in capsys.readouterr().out
    assert re.search(r"\| VeRi_parts \| +[\d.]+ \| +100.0 \|", table)
    assert "| moved " in table
    assert call(part_cache, "compare", moved, "--truth", tmp_path) == 1
    assert "is not a part cache" in capsys.readouterr().err


def test_boxes_are_moved_one_way_at_a_time(place, tmp_path, capsys) -> None:
    for how in (["--noise", 0.25], ["--anywhere"]):
        out = tmp_path / how[0]
        words = ["perturb", place / "VeRi_parts", "--out", out, *how]
        assert call(part_cache, *words) == 0
        assert call(part_cache, "verify", out) == 0
    assert "sound, 7 images" in capsys.readouterr().out
    for how in ([], ["--noise", 0.25, "--anywhere"]):
        with pytest.raises(SystemExit):
            call(part_cache, "perturb", place / "VeRi_parts", "--out", tmp_path / "no", *how)
    masks = ["perturb", place / "masks_cache", "--out", tmp_path / "no", "--anywhere"]
    assert call(part_cache, *masks) == 1
    assert "holds masks and no boxes" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()


def test_folder_without_a_fleet_is_refused(place, tmp_path, capsys) -> None:
    assert call(part_cache, "import-fleet", place / "VeRi", "--out", tmp_path / "true") == 1
    assert "give the folder of tools/make_fleet.py" in capsys.readouterr().err
    assert not (tmp_path / "true").exists()


def test_a_cache_is_drawn_merged_and_compared(place, tmp_path, capsys) -> None:
    boxes, picture = place / "VeRi_parts", tmp_path / "parts.png"
    assert call(part_cache, "stats", boxes, "--plot", picture) == 0
    assert cv2.imread(str(picture)).shape[1] == 1152
    assert call(part_cache, "stats", place / "masks_cache", "--plot", tmp_path / "m.svg") == 0
    assert call(part_cache, "stats", boxes, "--plot", tmp_path / "m.pdf") == 1
    assert "ends in .png or .svg" in capsys.readouterr().err
    joined, moved = tmp_path / "joined", tmp_path / "moved"
    assert call(part_cache, "merge", boxes, boxes, "--out", joined) == 0
    assert call(part_cache, "diff", boxes, joined) == 0
    assert call(part_cache, "perturb", boxes, "--anywhere", "--out", moved) == 0
    assert call(part_cache, "diff", boxes, moved) == 1
    assert "in both: 7 images, 0 of them with equal parts" in capsys.readouterr().out
    assert call(part_cache, "merge", boxes, moved, "--out", tmp_path / "no") == 1
    assert "are not by the same detector" in capsys.readouterr().err


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize(
    "command",
    [
        ["verify"],
        ["stats"],
        ["diff", "SOUND"],
        ["merge", "--out", "OUT"],
        ["merge", "SOUND", "--out", "OUT"],
        ["perturb", "--anywhere", "--out", "OUT"],
        ["compare", "--truth", "SOUND"],
        ["export-text", "--out", "OUT"],
        ["export-masks", "--out", "OUT"],
    ],
    ids=" ".join,
)
def test_commands_refuse_a_damaged_cache_and_write_no_checksum(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: list[str], name: str
) -> None:
    sound, damaged, out = place / "VeRi_parts", tmp_path / "damaged", tmp_path / "out"
    shutil.copytree(sound, damaged)
    data = bytearray((damaged / name).read_bytes())
    data[-8] ^= 64
    (damaged / name).write_bytes(data)
    words = [{"SOUND": sound, "OUT": out}.get(word, word) for word in command[1:]]
    assert call(part_cache, command[0], damaged, *words) == 1
    said = capsys.readouterr()
    assert f"{name} has changed since it was written" in said.err
    assert not said.out
    assert not out.exists()


def test_a_difference_is_a_line_that_can_be_read(place, tmp_path, capsys) -> None:
    images, parts = ["a.jpg"], Parts(*map(np.zeros, ((0, 4), 0, 0)), (9, 9))
    for name, more in (("a", {"model": {"layers": ["conv"] * 99}}), ("b", {"weights": "new"})):
        identity = {"classes": ["wheel"], "max_parts": 2} | more
        PartCacheWriter(tmp_path / name, images, identity).fill(lambda image: parts, progress=False)
    assert call(part_cache, "diff", tmp_path / "a", tmp_path / "b") == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("setting model: {'layers': ['conv', 'conv',")
    assert lines[0].endswith(" ..., None")
    assert lines[1] == "setting weights: None, new"
    assert all(0 < len(line) < 120 for line in lines if str(tmp_path) not in line)


@pytest.mark.parametrize("size", [(0, 0), (-3, 2), (4, 0)])
def test_masks_without_cells_are_not_exported(place, tmp_path, capsys, size) -> None:
    words = ["export-masks", place / "VeRi_parts", "--out", tmp_path / "out", "--size", *size]
    assert call(part_cache, *words) == 1
    assert "at least 1 row and 1 column" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
