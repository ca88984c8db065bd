"""Verifying and counting what a part cache holds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detector.cache import CacheError, PartCache, Parts
from detector.cache import writer as cache_writer
from detector.cache.check import compare, open_sound, statistics, verify_content
from detector.cache.formats.authors_text import export_text
from detector.cache.merge import merge
from detector.cache.writer import PartCacheWriter
from detector.common.files import file_sha256
from detector.common.schema import CHECKSUM_KEY, add_checksum


def box_cache(path: Path) -> PartCache:
    """Four images of 10 x 20 pixels with 2, 1, no parts, and one that could not be read."""
    boxes = np.array([[0, 0, 10, 10], [0, 0, 20, 10]], np.float32)
    two = Parts(boxes, np.array([0.8, 0.2], np.float32), np.array([0, 1]), (10, 20))
    one = Parts(boxes[:1], np.array([0.4], np.float32), np.array([0]), (10, 20))
    none = Parts(boxes[:0], np.zeros(0, np.float32), np.zeros(0, int), (10, 20))
    identity = {"classes": ["wheel", "plate", "logo"], "max_parts": 3}
    writer = PartCacheWriter(path, ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], identity)
    writer.write(0, [two, one, none, "is damaged"])
    return writer.finish()


def mask_cache(path: Path) -> PartCache:
    masks = np.zeros((2, 2, 3), bool)
    masks[0, 0] = True
    identity = {"classes": [], "max_parts": 3, "mask_size": [2, 3]}
    writer = PartCacheWriter(path, ["a.jpg", "b.jpg"], identity)
    writer.write(0, [masks, masks[:0]])
    return writer.finish()


def tamper(path: Path, change: Callable[[np.ndarray], None]) -> PartCache:
    """Change the records, and the checksum with them: only the content gives it away."""
    records = np.load(path / "parts.npy")
    change(records)
    np.save(path / "parts.npy", records)
    return reseal(path, "parts.npy")


def reseal(path: Path, name: str) -> PartCache:
    """Give a file's new checksum to the manifest."""
    manifest = json.loads((path / "manifest.json").read_text())
    manifest["files"][name]["sha256"] = file_sha256(path / name)
    del manifest[CHECKSUM_KEY]
    (path / "manifest.json").write_text(json.dumps(add_checksum(manifest)))
    return PartCache.open(path)


def test_a_sound_cache_passes(tmp_path: Path) -> None:
    verify_content(box_cache(tmp_path / "boxes"))
    verify_content(mask_cache(tmp_path / "masks"))


def test_a_table_that_points_behind_the_last_image_is_named(tmp_path: Path) -> None:
    cache = box_cache(tmp_path / "cache")
    table = np.load(cache.path / "table.npy")
    table[table == 3] = 99
    np.save(cache.path / "table.npy", table)
    with pytest.raises(CacheError, match=r"d\.jpg is not found through table\.npy"):
        verify_content(reseal(cache.path, "table.npy"))


@pytest.mark.parametrize("name", ["/x.jpg", "../../x.jpg", "a/../x.jpg", "a\0.jpg", "", "."])
def test_a_name_that_leaves_the_root_is_named_and_nothing_is_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    with monkeypatch.context() as lax:  # as one could write it by hand
        lax.setattr(cache_writer, "is_plain_path", lambda name: True)
        cache = random_cache(tmp_path / "cache", [name, "b.jpg"], 0)
    with pytest.raises(CacheError, match="a name is no plain path") as told:
        verify_content(cache)
    assert repr(name) in str(told.value)
    with pytest.raises(CacheError, match="is no plain path") as told:
        export_text(cache, tmp_path / "new/out", progress=False)
    assert repr(name) in str(told.value)
    assert [file.name for file in tmp_path.iterdir()] == ["cache"]


def test_only_a_sound_cache_is_opened_to_be_carried_on(tmp_path: Path) -> None:
    box_cache(tmp_path / "cache")
    assert len(open_sound(tmp_path / "cache")) == 4
    tamper(tmp_path / "cache", put("labels", (0, 1), 3))
    with pytest.raises(CacheError, match="a label is not one of the classes"):
        open_sound(tmp_path / "cache")
    with pytest.raises(CacheError, match="a label is not one of the classes"):
        merge([tmp_path / "cache"], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def put(field: str, index: object, value: object) -> Callable[[np.ndarray], None]:
    def change(records: np.ndarray) -> None:
        records[field][index] = value

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (put("count", 1, 4), "count is impossible, in b.jpg"),
        (put("count", 2, -1), "disagree on it, in c.jpg"),
        (put("boxes", (0, 1, 2), 21), "a box is empty or outside the image, in a.jpg"),
        (put("boxes", (1, 0), (5, 5, 5, 9)), "a box is empty or outside the image, in b.jpg"),
        (put("labels", (0, 1), 3), "a label is not one of the classes, in a.jpg"),
        (put("scores", (0, 1), 0.9), "scores do not fall, in a.jpg"),
        (put("scores", (1, 0), np.nan), "a score is no number, in b.jpg"),
        (put("boxes", (2, 0), (0, 0, 1, 1)), "an empty slot has a box, in c.jpg"),
    ],
)
def test_records_that_are_not_sound_are_named(tmp_path: Path, change: Callable, words: str) -> None:
    box_cache(tmp_path / "cache")
    with pytest.raises(CacheError, match=words):
        verify_content(tamper(tmp_path / "cache", change))


def test_masks_and_checksums_are_verified_too(tmp_path: Path) -> None:
    mask_cache(tmp_path / "cache")
    cache = tamper(tmp_path / "cache", put("masks", (1, 0), 255))
    with pytest.raises(CacheError, match=r"an empty slot has a mask, in b.jpg"):
        verify_content(cache)
    data = bytearray((tmp_path / "cache" / "names.npy").read_bytes())
    data[-1] ^= 1
    (tmp_path / "cache" / "names.npy").write_bytes(data)
    with pytest.raises(CacheError, match=r"names.npy has changed"):
        verify_content(PartCache.open(tmp_path / "cache"))


def test_counts_by_hand(tmp_path: Path) -> None:
    lines = statistics(box_cache(tmp_path / "cache"), num_parts=(1, 2))
    assert lines[0] == "images: 4, of which 1 could not be read"
    assert lines[1] == "parts: 3, 1.00 an image (quartiles 0, 0.5, 1, 1.5, 2)"
    assert lines[2].endswith("1 in 66.7%, 2 in 33.3%")
    assert lines[3] == "images without parts: 1"
    # Class, parts, images with one, mean score, mean share of the image.
    assert [line.split() for line in lines[5:]] == [
        ["wheel", "2", "66.7%", "0.600", "50.0%"],
        ["plate", "1", "33.3%", "0.200", "100.0%"],
        ["logo", "0", "0.0%"],
    ]


def test_masks_are_counted_by_their_cells(tmp_path: Path) -> None:
    lines = statistics(mask_cache(tmp_path / "cache"))
    assert lines[1].startswith("parts: 2, 1.00 an image")
    assert "of 2x3 cells: one covers 25.0% of the image on average" in lines[-2]
    assert lines[-1] == "masks without a cell: 1"


def overlap(a: np.ndarray, b: np.ndarray) -> float:
    """Of two boxes with whole corners, counted cell by cell."""
    first, second = (
        {(x, y) for x in range(x1, x2) for y in range(y1, y2)}
        for x1, y1, x2, y2 in (a.astype(int), b.astype(int))
    )
    return len(first & second) / len(first | second)


def random_cache(path: Path, images: list[str], seed: int) -> PartCache:
    rng = np.random.default_rng(seed)

    def read(image: str) -> Parts:
        corners = rng.integers(0, 6, (rng.integers(0, 5), 2))
        boxes = np.concatenate([corners, corners + rng.integers(1, 5, corners.shape)], 1)
        count = len(boxes)
        return Parts(
            boxes.astype(np.float32), np.ones(count, np.float32), np.arange(count), (10, 10)
        )

    identity = {"classes": list("abcd"), "max_parts": 4}
    return PartCacheWriter(path, images, identity).fill(read, progress=False)


@pytest.mark.parametrize("num_parts", [1, 2, 4])
def test_compare_is_recall_and_precision_by_definition(tmp_path: Path, num_parts: int) -> None:
    shared = [f"{number:02}.jpg" for number in range(40)]
    cache = random_cache(tmp_path / "cache", [*shared, "only_here.jpg"], 0)
    truth = random_cache(tmp_path / "truth", [*shared, "only_there.jpg"], 1)
    found, right = [], []
    for image in shared:
        boxes, true = cache.parts(image, num_parts).boxes, truth.parts(image).boxes
        found += [any(overlap(box, own) >= 0.5 for box in boxes) for own in true]
        right += [any(overlap(box, own) >= 0.5 for own in true) for box in boxes]
    assert 0 < np.mean(right) < 1
    assert compare(cache, truth, num_parts) == pytest.approx((np.mean(found), np.mean(right)))
    assert compare(truth, truth, 4) == (1, 1)


def test_caches_of_other_images_or_of_masks_are_not_compared(tmp_path: Path) -> None:
    boxes, other = box_cache(tmp_path / "boxes"), random_cache(tmp_path / "other", ["x.jpg"], 1)
    with pytest.raises(CacheError, match="share no image with parts"):
        compare(boxes, other, 2)
    with pytest.raises(CacheError, match="holds masks and no boxes"):
        compare(mask_cache(tmp_path / "masks"), boxes, 2)
    assert compare(boxes, boxes, 3) == (1, 1)
