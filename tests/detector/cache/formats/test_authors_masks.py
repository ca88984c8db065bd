"""Masks and text files of the authors' kind: into a cache, out of it, and what is refused."""

from __future__ import annotations

import io
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
import pytest

from detector.cache import CacheError, PartCache, Parts
from detector.cache import layout as cache_module
from detector.cache.formats.authors import export_files, pair_files
from detector.cache.formats.authors_masks import export_masks, import_masks
from detector.cache.formats.authors_text import export_text
from detector.cache.writer import PartCacheWriter
from detector.common.errors import DetectorError
from tests.detector.conftest import IMAGES

FORK = multiprocessing.get_context("fork")


def mask_file(folder: Path, image: str) -> Path:
    file = (folder / image).with_suffix(".npy")
    file.parent.mkdir(parents=True, exist_ok=True)
    return file


@pytest.fixture
def masks(tmp_path: Path) -> dict[str, np.ndarray]:
    """Mask files as the authors keep them, of 3, 0 and 9 masks; the arrays by image."""
    rng = np.random.default_rng(0)
    arrays = {}
    for image, n, dtype in zip(IMAGES, (3, 0, 9), ("uint8", "bool", "float32")):
        arrays[image] = (rng.random((n, 14, 14)) < 0.3).astype(dtype)
        np.save(mask_file(tmp_path / "masks", image), arrays[image])
    return arrays


def import_all(tmp_path: Path, **changes: object) -> tuple[PartCache, list[str]]:
    arguments = {"progress": False, **changes}
    return import_masks(tmp_path / "masks", tmp_path / "VeRi", tmp_path / "cache", **arguments)


# --- masks -----------------------------------------------------------------------------------


def test_masks_are_served_most_confident_first(root, masks, tmp_path) -> None:
    cache, _ = import_all(tmp_path)
    cache = PartCache.open(cache.path)
    assert list(cache.images()) == sorted(IMAGES)
    assert (cache.mask_size, cache.max_parts, cache.classes) == ((14, 14), 16, ())
    for image, array in masks.items():
        served = cache.masks(image, 8, (14, 14))
        assert (served.shape, served.dtype) == ((8, 14, 14), bool)
        # The authors' program takes the last 8 along the first axis.
        last = array[-8:].astype(bool)
        np.testing.assert_array_equal(served[: len(last)], last[::-1])
        assert not served[len(last) :].any()
    cache.check(IMAGES, 16)


def test_masks_and_a_cache_of_them_are_the_same_there_and_back(root, masks, tmp_path) -> None:
    cache, _ = import_all(tmp_path)
    counts = export_masks(cache, tmp_path / "back", progress=False)
    assert counts == {3: 1, 0: 1, 9: 1}
    for image, array in masks.items():
        back = np.load(mask_file(tmp_path / "back", image))
        assert back.dtype == np.uint8
        np.testing.assert_array_equal(back, array)
    again, _ = import_masks(tmp_path / "back", root, tmp_path / "again", progress=False)
    assert (again.path / "parts.npy").read_bytes() == (cache.path / "parts.npy").read_bytes()


def test_what_was_found_is_said_and_kept(root, masks, tmp_path) -> None:
    np.save(mask_file(tmp_path / "masks", "image_train/9999.jpg"), masks[IMAGES[0]])
    cv2.imwrite(str(root / "image_test" / "alone.jpg"), np.zeros((9, 9, 3), np.uint8))
    empty = masks[IMAGES[0]].copy()
    empty[1] = 0
    np.save(mask_file(tmp_path / "masks", IMAGES[0]), empty)
    cache, found = import_all(tmp_path)
    text = "\n".join(found)
    assert "masks of 14x14 cells: 0 in 1 files, 3 in 1 files, 9 in 1 files" in text
    assert "uint8 in 1 files" in text
    assert "values 0, 1\n" in text
    assert "masks without a cell: 1 " in text
    assert "images without a file, not in the cache: 1 (first: image_test/alone.jpg)" in text
    assert "files without an image, left out: 1 " in text
    assert "9999.npy" in text
    assert cache.manifest["found"] == found
    with pytest.raises(CacheError, match=r"alone.jpg is not in .*import-masks"):
        cache.masks("image_test/alone.jpg", 8, (14, 14))


def test_images_without_a_mask_file_have_no_parts_where_that_is_allowed(
    root, masks, tmp_path
) -> None:
    mask_file(tmp_path / "masks", IMAGES[2]).unlink()
    cache, _ = import_all(tmp_path, allow_missing=True)
    assert not cache.masks(IMAGES[2], 3, (14, 14)).any()
    cache.check(IMAGES, 3)


def test_values_between_0_and_1_are_taken_as_covered_and_said(root, masks, tmp_path) -> None:
    soft = np.zeros((1, 14, 14))
    soft[0, 0, :3] = (0.25, 1, 0)
    np.save(mask_file(tmp_path / "masks", IMAGES[0]), soft)
    cache, found = import_all(tmp_path)
    assert np.argwhere(cache.masks(IMAGES[0], 1, (14, 14))[0]).tolist() == [[0, 0], [0, 1]]
    assert any(
        "values other than 0 and 1 in 1 files" in line and "differ" in line for line in found
    )


def test_the_most_confident_are_kept_where_not_all_are(root, masks, tmp_path) -> None:
    cache, _ = import_all(tmp_path, max_parts=2)
    for image, array in masks.items():
        kept = cache.masks(image, None, (14, 14))
        np.testing.assert_array_equal(kept, array[::-1][:2].astype(bool))


def test_a_cache_of_masks_says_which_size_it_serves(root, masks, tmp_path) -> None:
    cache, _ = import_all(tmp_path)
    with pytest.raises(
        CacheError, match=r"masks of 14x14 cells and no boxes, and 7x7 was requested"
    ):
        cache.masks(IMAGES[0], 3, (7, 7))
    with pytest.raises(CacheError, match="holds masks and no boxes"):
        cache.parts(IMAGES[0])
    with pytest.raises(CacheError, match=r"up to 16 parts .* 17 were requested.*import-masks"):
        cache.masks(IMAGES[0], 17, (14, 14))


def test_masks_of_boxes_are_exported_for_the_authors_program(tmp_path: Path) -> None:
    boxes = np.array([[0, 0, 20, 15], [20, 15, 40, 30], [0, 0, 40, 30]], np.float32)
    parts = Parts(boxes, np.array([0.2, 0.9, 0.5], np.float32), np.zeros(3, int), (30, 40))
    identity = {"classes": ["wheel"], "max_parts": 4}
    writer = PartCacheWriter(tmp_path / "cache", ["a/x.jpg", "a/broken.jpg"], identity)
    writer.write(0, ["is damaged", parts])
    counts = export_masks(writer.finish(), tmp_path / "out", num_parts=2, progress=False)
    assert counts == {2: 1}
    assert [file.name for file in (tmp_path / "out/a").iterdir()] == ["x.npy"]
    stored = np.load(tmp_path / "out/a/x.npy")
    # Ascending confidence: the whole image (0.5), then the lower right quarter (0.9).
    quarter = np.zeros((14, 14), int)
    quarter[7:, 7:] = 1
    np.testing.assert_array_equal(stored, [np.ones((14, 14)), quarter])


def test_an_export_is_whole_or_not_there(root, masks, tmp_path, monkeypatch) -> None:
    cache, _ = import_all(tmp_path)
    before = sorted(file.name for file in tmp_path.iterdir())

    def full(*args: object, **kwargs: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("detector.cache.formats.authors_masks.np.save", full)
    with pytest.raises(OSError, match="disk full"):
        export_masks(cache, tmp_path / "out", progress=False)
    monkeypatch.undo()
    assert sorted(file.name for file in tmp_path.iterdir()) == before
    (tmp_path / "out").mkdir()
    with pytest.raises(CacheError, match="is there already"):
        export_masks(cache, tmp_path / "out", progress=False)
    with pytest.raises(CacheError, match="at least 1"):
        export_masks(cache, tmp_path / "other", num_parts=0, progress=False)
    with pytest.raises(CacheError, match="14x14 cells and no boxes, and 7x7 was requested"):
        export_masks(cache, tmp_path / "other", size=(7, 7), progress=False)
    assert not (tmp_path / "other").exists()


def _killed_export(cache: PartCache, out: Path) -> None:
    def kill(image: str, file: object) -> int:
        os.kill(os.getpid(), signal.SIGKILL)
        return 0

    export_files(cache, out, ".npy", kill, None, progress=False)


def test_a_killed_export_leaves_nothing_for_ever(root, masks, tmp_path) -> None:
    cache, _ = import_all(tmp_path)
    before = sorted(file.name for file in tmp_path.iterdir())
    for _ in range(2):
        process = FORK.Process(target=_killed_export, args=(cache, tmp_path / "out"))
        process.start()
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
        there = sorted(file.name for file in tmp_path.iterdir())
        assert there == sorted([*before, ".out.export"])
    export_masks(cache, tmp_path / "out", progress=False)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted([*before, "out"])
    assert len(list((tmp_path / "out").rglob("*.*"))) == 3


def _export(cache: PartCache, out: Path, told) -> None:
    try:
        export_masks(cache, out, progress=False)
    except CacheError as error:
        told.put(str(error))


def test_two_exports_to_one_folder_do_not_mix(root, masks, tmp_path) -> None:
    cache, _ = import_all(tmp_path)
    told = FORK.Queue()

    def write(image: str, file: BinaryIO) -> int:
        if image == IMAGES[0]:
            other = FORK.Process(target=_export, args=(cache, tmp_path / "out", told))
            other.start()
            assert "another process is using it" in told.get(timeout=30)
            other.join(30)
        return file.write(b"x")

    export_files(cache, tmp_path / "out", ".npy", write, None, progress=False)
    assert [file.read_bytes() for file in (tmp_path / "out").rglob("*.npy")] == [b"x"] * 3


def pickled(masks: np.ndarray) -> bytes:
    return saved(masks.astype(object), allow_pickle=True)


def saved(masks: np.ndarray, allow_pickle: bool = False) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, masks, allow_pickle=allow_pickle)
    return buffer.getvalue()


GOOD = np.ones((2, 14, 14), np.float32)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"no array", "not an array of plain numbers"),
        (b"", "not an array of plain numbers"),
        (saved(GOOD)[:-5], "not an array of plain numbers"),
        (b"PK\x03\x04" + saved(GOOD), "not an array of plain numbers"),
        (saved(GOOD[:1]) + b"more", "4 bytes follow the masks"),
        (pickled(GOOD), "pickled objects are not opened"),
        (saved(GOOD[0]), r"has shape \(14, 14\)"),
        (saved(GOOD[:, :, :0]), r"has shape \(2, 14, 0\)"),
        (saved(GOOD[:, :13]), "masks of 13x14 cells, those before have 14x14"),
        (saved(GOOD * np.nan), "negative or infinite values or NaN"),
        (saved(-GOOD), "negative"),
        (saved(GOOD.astype(complex)), "not one array of real numbers"),
        (saved(GOOD.astype("U3")), "not one array of real numbers"),
    ],
)
def test_a_bad_mask_file_is_named_before_anything_is_written(
    root, masks, tmp_path, data: bytes, words: str
) -> None:
    # The second in order, after one that is good.
    mask_file(tmp_path / "masks", IMAGES[0]).write_bytes(data)
    with pytest.raises(CacheError, match=rf"image_train/0001_c001.npy.*{words}"):
        import_all(tmp_path)
    assert not (tmp_path / "cache").exists()


def test_a_killed_import_goes_on_and_a_finished_cache_is_never_changed(
    root, masks, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(PartCacheWriter, "finish", killed)
    with pytest.raises(KeyboardInterrupt):
        import_all(tmp_path)
    monkeypatch.undo()
    with pytest.raises(CacheError, match=r"has not finished: run the same command again"):
        PartCache.open(tmp_path / "cache")
    import_all(tmp_path)
    files = {name: (tmp_path / "cache" / name).read_bytes() for name in cache_module.FILES}
    with pytest.raises(CacheError, match="is a finished part cache, and a cache is never changed"):
        import_all(tmp_path)
    assert files == {name: (tmp_path / "cache" / name).read_bytes() for name in files}


def test_a_cache_of_masks_alone_has_no_text(root, masks, tmp_path) -> None:
    with pytest.raises(CacheError, match="holds masks and no boxes"):
        export_text(import_all(tmp_path)[0], tmp_path / "out", progress=False)
    assert not (tmp_path / "out").exists()


# --- which file belongs to which image -------------------------------------------------------


def test_files_are_found_by_the_images_own_folder_as_the_authors_do(tmp_path: Path) -> None:
    for image in ("images/12/a.jpg", "images/13/a.jpg"):
        (tmp_path / "wild" / image).parent.mkdir(parents=True)
        (tmp_path / "wild" / image).write_bytes(b"")
    for file in ("12/a.npy", "13/a.npy", "13/b.npy"):
        (tmp_path / "masks" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "masks" / file).write_bytes(b"")
    pairs = pair_files(tmp_path / "masks", ".npy", tmp_path / "wild")
    found = {
        image: file.relative_to(tmp_path / "masks").as_posix()
        for image, file in pairs.files.items()
    }
    assert found == {"images/12/a.jpg": "12/a.npy", "images/13/a.jpg": "13/a.npy"}
    assert [file.name for file in pairs.without_image] == ["b.npy"]


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda root, masks: (root / "image_train/0001_c001.bmp").write_bytes(b""), "could be of"),
        (
            lambda root, masks: mask_file(masks, "x/image_train/0001_c001.jpg").touch(),
            "are both of",
        ),
    ],
)
def test_files_that_could_be_of_two_images_are_refused(
    root, masks, tmp_path, make: Callable, words: str
) -> None:
    make(root, tmp_path / "masks")
    with pytest.raises(CacheError, match=rf"0001_c001.*{words}"):
        pair_files(tmp_path / "masks", ".npy", root)


def test_wrong_folders_are_one_sentence(root, masks, tmp_path) -> None:
    with pytest.raises(CacheError, match="nowhere is no folder"):
        pair_files(tmp_path / "nowhere", ".npy", root)
    with pytest.raises(CacheError, match="has no .txt files"):
        pair_files(tmp_path / "masks", ".txt", root)
    with pytest.raises(DetectorError, match="nowhere: no such folder"):
        pair_files(tmp_path / "masks", ".npy", tmp_path / "nowhere")
    other = tmp_path / "other"
    other.mkdir()
    (other / "z.jpg").touch()
    with pytest.raises(CacheError, match=r"none of the 3 .npy files .* check both folders"):
        pair_files(tmp_path / "masks", ".npy", other)
