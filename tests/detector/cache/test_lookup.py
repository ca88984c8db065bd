"""Finding an image in a part cache whose index is full, or not what it should be."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detector.cache import CacheError, PartCache
from detector.cache.layout import MANIFEST
from detector.common.schema import CHECKSUM_KEY, add_checksum
from tests.detector.cache.test_check import box_cache, mask_cache


def with_index(path: Path, name: str, content: np.ndarray) -> Path:
    """Replace one file of the index, and the size that the manifest has of it."""
    np.save(path / name, content)
    manifest = json.loads((path / MANIFEST).read_text())
    manifest["files"][name]["bytes"] = (path / name).stat().st_size
    del manifest[CHECKSUM_KEY]
    (path / MANIFEST).write_text(json.dumps(add_checksum(manifest)))
    return path


def test_slots_are_the_boxes_and_may_be_written_to(tmp_path: Path) -> None:
    cache = box_cache(tmp_path)
    for image in ("a.jpg", "b.jpg", "c.jpg"):
        slots = cache.slots(image, 2)
        np.testing.assert_array_equal(slots, cache.parts(image).slots(2))
        slots += 1
        np.testing.assert_array_equal(cache.slots(image, 2), slots - 1)
    for image, words in (("d.jpg", "is damaged"), ("e.jpg", "not in")):
        with pytest.raises(CacheError, match=words):
            cache.slots(image, 2)
    with pytest.raises(CacheError, match="holds masks and no boxes"):
        mask_cache(tmp_path / "masks").slots("a.jpg", 2)


def test_a_table_without_an_empty_slot_ends_the_search(tmp_path: Path) -> None:
    box_cache(tmp_path)
    cache = PartCache.open(with_index(tmp_path, "table.npy", np.arange(4)))
    assert [image in cache for image in ("a.jpg", "b.jpg", "e.jpg")] == [True, True, False]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("table.npy", np.full(8, -1.0)),
        ("table.npy", np.full((8, 1), -1)),
        ("table.npy", np.zeros(0, np.int64)),
        ("names.npy", np.zeros(20, np.int8)),
        ("offsets.npy", np.arange(5, dtype=np.int32)),
        ("offsets.npy", np.arange(4)),
    ],
)
def test_an_index_of_another_kind_is_refused(
    tmp_path: Path, name: str, content: np.ndarray
) -> None:
    box_cache(tmp_path)
    with pytest.raises(CacheError, match="damaged"):
        PartCache.open(with_index(tmp_path, name, content))
