"""Shares and caches joined, and caches compared."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.cache import CacheError, PartCache
from detector.cache.check import verify_content
from detector.cache.merge import diff, merge
from detector.cache.writer import PartCacheWriter
from detector.extraction.work_split import Split
from tests.detector.extraction.test_work_split import (  # noqa: F401
    IDENTITY,
    IMAGES,
    contents,
    parts_of,
    whole,
    work,
)


def cache_of(folder: Path, images: list[str], **identity: object) -> PartCache:
    writer = PartCacheWriter(folder, images, IDENTITY | identity, {"config": "x"}, shard_size=4)
    return writer.fill(parts_of, progress=False)


def test_shares_of_machines_that_see_no_common_folder(tmp_path: Path, whole: dict) -> None:  # noqa: F811
    for index in range(3):
        work(tmp_path / str(index), Split(index, 3))
    folders = [tmp_path / str(index) for index in range(3)]
    before = [contents(folder) for folder in folders]
    with pytest.raises(CacheError, match=r"2 of 6 shards are in none .*shard 4, 016.jpg"):
        merge(folders[:2], tmp_path / "joined")
    merge(folders, tmp_path / "joined")
    assert contents(tmp_path / "joined") == whole
    assert [contents(folder) for folder in folders] == before
    merge(folders, folders[0])
    assert contents(folders[0]) == whole


def test_shares_of_one_folder_whose_last_process_died(tmp_path: Path, whole: dict) -> None:  # noqa: F811
    for index in range(2):
        work(tmp_path / "cache", Split(index, 2))
    merge([tmp_path / "cache"], tmp_path / "cache")
    assert contents(tmp_path / "cache") == whole


def test_caches_of_other_images_become_one(tmp_path: Path, whole: dict) -> None:  # noqa: F811
    parts = {"a": IMAGES[:9], "b": IMAGES[8:15], "c": IMAGES[14:]}
    caches = [cache_of(tmp_path / name, images).path for name, images in parts.items()]
    joined = merge(caches, tmp_path / "joined")
    verify_content(joined)
    assert contents(tmp_path / "joined") == whole


def test_what_does_not_belong_together_is_refused(tmp_path: Path) -> None:
    first = cache_of(tmp_path / "a", IMAGES[:5]).path
    other = cache_of(tmp_path / "b", IMAGES[5:], weights="new").path
    with pytest.raises(CacheError, match="not by the same detector: weights is None in one, new"):
        merge([first, other], tmp_path / "joined")
    work(tmp_path / "begun", Split(0, 2))
    with pytest.raises(CacheError, match="merge one kind at a time"):
        merge([first, tmp_path / "begun"], tmp_path / "joined")
    PartCacheWriter(tmp_path / "else", IMAGES[1:], IDENTITY, shard_size=4).take()
    with pytest.raises(CacheError, match="differ in their list of images"):
        merge([tmp_path / "begun", tmp_path / "else"], tmp_path / "joined")
    with pytest.raises(CacheError, match="is not a part cache"):
        merge([tmp_path], tmp_path / "joined")


def test_differences_are_named(tmp_path: Path) -> None:
    first = cache_of(tmp_path / "a", IMAGES[:10])
    same = diff(first, cache_of(tmp_path / "b", IMAGES[:10]))
    assert same.same_parts
    assert not same.settings
    assert (same.common, same.box_shift, same.score_shift) == (10, 0, 0)

    def moved(image: str) -> object:
        parts = parts_of(image)
        if image == IMAGES[4]:
            parts.boxes[0, 2] += 0.5
        return "gone" if image == IMAGES[5] else parts

    identity = IDENTITY | {"weights": "new"}
    second = PartCacheWriter(tmp_path / "c", IMAGES[1:12], identity).fill(moved, progress=False)
    found = diff(first, second)
    assert not found.same_parts
    assert found.settings == [("weights", None, "new")]
    assert (found.only_first, found.only_second) == (IMAGES[:1], IMAGES[10:12])
    assert found.changed == IMAGES[4:6]
    assert found.common == 9
    assert found.box_shift == 0.5
