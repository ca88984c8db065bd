"""The part cache: round trip, refusals, resuming, damage."""

from __future__ import annotations

import itertools
import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from detector.cache import CacheError, PartCache, Parts
from detector.cache import layout as cache_module
from detector.cache.writer import PartCacheWriter
from detector.common.schema import add_checksum, verify_checksum
from tests.detector.cache.test_masks import literal_mask

IDENTITY = {"classes": ["wheel", "plate", "logo"], "max_parts": 4, "model": {"nms": 0.45}}


def make_results(number: int, seed: int = 0) -> dict[str, Parts | str]:
    """Random parts of images of their own sizes; one image failed, one has no parts."""
    rng = np.random.default_rng(seed)
    results: dict[str, Parts | str] = {}
    for i in range(number):
        height, width = (int(x) for x in rng.integers(20, 300, 2))
        count = int(rng.integers(0, 7))
        low = rng.random((count, 2)) * (width - 2, height - 2)
        high = low + 1 + rng.random((count, 2))
        boxes = np.concatenate([low, high], 1).astype(np.float32)
        scores = rng.permutation(7)[:count].astype(np.float32) / 8
        labels = rng.integers(0, 3, count)
        results[f"camera {i % 3}/véhicule_{i:03d}.jpg"] = Parts(
            boxes, scores, labels, (height, width)
        )
    names = sorted(results)
    results[names[3]] = "is not an image, or is damaged"
    nothing = np.zeros((0, 4), np.float32)
    results[names[5]] = Parts(nothing, nothing[:, 0], np.zeros(0, np.int64), (30, 40))
    return results


def fill(
    path: Path, results: dict, stop_after: int | None = None, shard_size: int = 8, **changes: object
) -> PartCacheWriter:
    writer = PartCacheWriter(path, list(results), IDENTITY | changes, {"config": "x"}, shard_size)
    for shard in writer.pending()[:stop_after]:
        writer.write(shard, [results[image] for image in writer.shard(shard)])
    return writer


@pytest.fixture
def finished(tmp_path: Path) -> tuple[Path, dict[str, Parts | str]]:
    results = make_results(30)
    fill(tmp_path / "cache", results).finish()
    return tmp_path / "cache", results


def test_everything_written_is_read_back(finished: tuple) -> None:
    path, results = finished
    cache = PartCache.open(path)
    assert len(cache) == 30
    assert list(cache.images()) == sorted(results)
    assert cache.classes == ("wheel", "plate", "logo")
    assert cache.max_parts == 4
    for image, result in results.items():
        assert image in cache
        if isinstance(result, str):
            assert cache.failed == {image: result}
            continue
        order = np.argsort(-result.scores)[:4]
        parts = cache.parts(image)
        assert parts.image_size == result.image_size
        np.testing.assert_array_equal(parts.boxes, result.boxes[order])
        np.testing.assert_array_equal(parts.scores, result.scores[order])
        np.testing.assert_array_equal(parts.labels, result.labels[order])
        assert (parts.boxes.dtype, parts.labels.dtype) == (np.float32, np.int64)
        assert len(cache.parts(image, 2)) == min(2, len(parts))
    assert "camera 0/other.jpg" not in cache


def test_few_files_and_none_is_pickled(finished: tuple) -> None:
    path, _ = finished
    assert sorted(file.name for file in path.iterdir()) == sorted(
        [*cache_module.FILES, cache_module.MANIFEST]
    )
    for name in cache_module.FILES:
        np.load(path / name, allow_pickle=False)


def test_manifest_states_what_was_done(finished: tuple) -> None:
    path, results = finished
    manifest = PartCache.open(path).manifest
    found = [r for r in results.values() if isinstance(r, Parts)]
    assert manifest["num_images"] == 30
    assert manifest["num_failed"] == 1
    assert manifest["num_without_parts"] == sum(len(r) == 0 for r in found)
    assert manifest["num_parts"] == sum(min(4, len(r)) for r in found)
    assert manifest["identity"] == IDENTITY
    assert manifest["config"] == "x"


def test_equal_scores_keep_the_order_of_the_detector(tmp_path: Path) -> None:
    boxes = np.array([[0, 0, 1, 1], [1, 1, 2, 2], [2, 2, 3, 3]], np.float32)
    tied = Parts(boxes, np.array([0.5, 0.9, 0.5], np.float32), np.array([2, 0, 1]), (9, 9))
    cache = fill(tmp_path / "cache", {"a.jpg": tied}).finish()
    assert cache.parts("a.jpg").labels.tolist() == [0, 2, 1]


def test_a_cache_goes_to_loader_workers_by_its_path(finished: tuple) -> None:
    path, results = finished
    cache = PartCache.open(path)
    image = sorted(results)[0]
    packed = pickle.dumps(cache)
    assert len(packed) < 5000
    np.testing.assert_array_equal(pickle.loads(packed).parts(image).boxes, cache.parts(image).boxes)


def test_lookup_reads_few_slots_however_many_images(tmp_path: Path) -> None:
    empty = make_results(6)[sorted(make_results(6))[5]]
    results = {f"{i}.jpg": empty for i in range(3000)}
    cache = fill(tmp_path / "cache", results, shard_size=3000).finish()
    table = np.load(tmp_path / "cache" / "table.npy")
    probes = [
        next(
            n
            for n, slot in enumerate(
                cache_module.name_slots(cache_module.encode_name(name), len(table)), 1
            )
            if table[slot] >= 0 and cache._name(int(table[slot])) == name
        )
        for name in results
    ]
    assert np.mean(probes) < 2


def test_cached_masks_have_empty_slots_for_absent_parts(finished: tuple) -> None:
    path, results = finished
    cache = PartCache.open(path)
    for image, result in results.items():
        if isinstance(result, str):
            continue
        masks = cache.masks(image, num_parts=4, size=(14, 9))
        assert masks.shape == (4, 14, 9)
        assert masks.any((1, 2)).tolist() == [i < len(result) for i in range(4)]
        for box, mask in zip(cache.parts(image).boxes, masks):
            np.testing.assert_array_equal(mask, literal_mask(box, result.image_size, 14, 9))


# --- what a run may ask ----------------------------------------------------------------------


def test_check_tells_missing_from_failed_from_nothing_found(finished: tuple) -> None:
    path, results = finished
    cache = PartCache.open(path)
    names = sorted(results)
    failed, nothing = names[3], names[5]
    cache.check([name for name in names if name != failed], 4)
    assert len(cache.parts(nothing)) == 0
    with pytest.raises(CacheError, match=r"2 images \(first: x.jpg\) of 3 not in .*extract_parts"):
        cache.check(["x.jpg", names[0], "y.jpg"], 4)
    with pytest.raises(CacheError, match=r"could not be read when .*is not an image"):
        cache.check(names, 4)
    with pytest.raises(CacheError, match="could not be read"):
        cache.parts(failed)
    with pytest.raises(CacheError, match=r"x.jpg is not in .*extract_parts"):
        cache.parts("x.jpg")


@pytest.mark.parametrize("ask", [lambda c, n: c.check([], n), lambda c, n: c.parts("x", n)])
def test_more_parts_than_cached_are_refused_with_the_command(
    finished: tuple, ask: Callable
) -> None:
    with pytest.raises(CacheError, match=r"up to 4 parts .* 9 were requested.*--max-parts 9"):
        ask(PartCache.open(finished[0]), 9)
    with pytest.raises(CacheError, match="at least 1"):
        ask(PartCache.open(finished[0]), 0)


def test_no_cache_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(CacheError, match=r"does not exist: create one with .*extract_parts"):
        PartCache.open(tmp_path / "nothing")
    with pytest.raises(CacheError, match="is not a part cache"):
        PartCache.open(tmp_path)


def test_slots_are_the_boxes_of_the_parts(finished: tuple) -> None:
    path, results = finished
    cache = PartCache.open(path)
    for image in [image for image, result in results.items() if isinstance(result, Parts)]:
        for number in (1, 3, 4):
            slots = cache.slots(image, number)
            np.testing.assert_array_equal(slots, cache.parts(image, number).slots(number))
            slots[:] = -1  # a copy: the cache is not written to
    with pytest.raises(CacheError, match="up to 4 parts"):
        cache.slots(image, 5)
    with pytest.raises(CacheError, match="could not be read"):
        cache.slots(next(iter(cache.failed)), 4)


# --- killed, started again, damaged ----------------------------------------------------------


@pytest.mark.parametrize("killed_after", [0, 1, 3])
def test_a_killed_extraction_goes_on_and_ends_with_the_same_bytes(
    finished: tuple, tmp_path: Path, killed_after: int
) -> None:
    path, results = finished
    again = tmp_path / "again"
    fill(again, results, stop_after=killed_after)
    with pytest.raises(CacheError, match=r"has not finished: run the same"):
        PartCache.open(again)
    # The second start asks for other shards: it keeps those it was begun with.
    writer = fill(again, results, stop_after=0, shard_size=5)
    assert writer.pending() == list(range(killed_after, 4))
    fill(again, results).finish()
    for name in [*cache_module.FILES, cache_module.MANIFEST]:
        assert (again / name).read_bytes() == (path / name).read_bytes()


@pytest.mark.parametrize("moment", ["parts.npy", "names.npy", "manifest.json"])
def test_killed_while_finishing(
    finished: tuple, tmp_path: Path, moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, results = finished
    again = tmp_path / "again"
    writer = fill(again, results)
    replace = os.replace

    def killed(source: Path, target: Path) -> None:
        if target.name == moment:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr("detector.common.files.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        writer.finish()
    monkeypatch.undo()
    with pytest.raises(CacheError, match="has not finished"):
        PartCache.open(again)
    fill(again, results).finish()
    assert sorted(f.name for f in again.iterdir()) == sorted(f.name for f in path.iterdir())
    assert (again / "manifest.json").read_bytes() == (path / "manifest.json").read_bytes()


@pytest.mark.parametrize("asked", [0, 1])
def test_a_cache_is_opened_while_another_process_finishes_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: int
) -> None:
    results = make_results(10)
    writer = fill(tmp_path / "cache", results)
    is_file, questions = Path.is_file, itertools.count()

    def finishing(file: Path) -> bool:
        if file.name in (cache_module.PLAN, cache_module.MANIFEST) and next(questions) == asked:
            monkeypatch.undo()
            writer.finish()
        return is_file(file)

    monkeypatch.setattr(Path, "is_file", finishing)
    assert list(PartCache.open(tmp_path / "cache").images()) == sorted(results)


def test_shards_left_by_a_kill_after_the_manifest_are_removed(finished: tuple) -> None:
    path, results = finished
    (path / "shard-00000.npy").write_bytes(b"left over")
    PartCache.open(path)
    writer = fill(path, results)
    assert writer.finished
    assert writer.pending() == []
    writer.finish()
    assert not list(path.glob("shard-*"))


def test_a_damaged_shard_is_extracted_again(tmp_path: Path) -> None:
    results = make_results(30)
    writer = fill(tmp_path / "cache", results)
    file = tmp_path / "cache" / "shard-00002.npy"
    file.write_bytes(file.read_bytes()[:-1] + b"\x7f")
    assert writer.pending() == [2]
    with pytest.raises(CacheError, match="1 shards are not extracted yet"):
        writer.finish()


@pytest.mark.parametrize("done", [False, True])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"max_parts": 5}, "max_parts is 4 there, 5 now"),
        ({"model": {"nms": 0.5}}, "model.nms is 0.45 there, 0.5 now"),
        ({"classes": ["wheel", "plate", "hungs"]}, r"classes\[2\] is logo there, hungs now"),
        ({"weights": "ab"}, "weights is None there, ab now"),
    ],
)
def test_another_detector_is_refused_naming_what_differs(
    tmp_path: Path, done: bool, change: dict, words: str
) -> None:
    results = make_results(30)
    writer = fill(tmp_path / "cache", results, stop_after=None if done else 1)
    if done:
        writer.finish()
    before = {file.name: file.read_bytes() for file in (tmp_path / "cache").iterdir()}
    with pytest.raises(CacheError, match=words):
        fill(tmp_path / "cache", results, **change)
    assert before == {file.name: file.read_bytes() for file in (tmp_path / "cache").iterdir()}


def test_other_images_are_refused(finished: tuple) -> None:
    path, results = finished
    with pytest.raises(CacheError, match="other images: 30 there, 31 now"):
        fill(path, results | {"new.jpg": "unreadable"})


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(CacheError, match="is not a part cache: give another folder"):
        fill(tmp_path, make_results(8))
    assert [f.name for f in tmp_path.iterdir()] == ["thesis.txt"]


@pytest.mark.parametrize(
    "names",
    [[], ["/etc/x.jpg"], ["a/../b.jpg"], ["./a.jpg"], ["a", "a"], [""], ["."], [".."], ["a\0.jpg"]],
)
def test_image_names_that_are_no_keys_are_refused(tmp_path: Path, names: list[str]) -> None:
    with pytest.raises(CacheError):
        PartCacheWriter(tmp_path / "cache", names, IDENTITY)


@pytest.mark.parametrize("name", cache_module.FILES)
def test_damage_is_found(finished: tuple, name: str) -> None:
    path, results = finished
    readable = [image for image, result in results.items() if isinstance(result, Parts)]
    cache = PartCache.open(path)
    cache.check(readable, 4)
    data = bytearray((path / name).read_bytes())
    data[-1] ^= 1
    (path / name).write_bytes(data)
    with pytest.raises(CacheError, match=f"{name} has changed"):
        PartCache.open(path).check(readable, 4)
    (path / name).write_bytes(data[:-9])
    with pytest.raises(CacheError, match=f"{name} is cut short"):
        PartCache.open(path)
    (path / name).unlink()
    with pytest.raises(CacheError, match=f"{name} is missing"):
        PartCache.open(path)


def test_a_manifest_of_another_schema_or_damaged_is_refused(finished: tuple) -> None:
    file = finished[0] / "manifest.json"
    manifest = json.loads(file.read_text())
    file.write_text(json.dumps(manifest | {"schema": 99}))
    with pytest.raises(CacheError, match="schema 99, this version reads 1"):
        PartCache.open(finished[0])
    file.write_text(file.read_text()[:50])
    with pytest.raises(CacheError, match="is damaged"):
        PartCache.open(finished[0])


@pytest.mark.parametrize(
    "size",
    [[100000, 100000], [32767, 32767], [np.inf, 2], [2.5, 2], [2], [2, 2, 2], [-2, -3], 4, ""],
)
def test_masks_of_an_impossible_size_are_damage(tmp_path: Path, size: object) -> None:
    identity = {"classes": [], "max_parts": 4, "mask_size": [2, 3]}
    writer = PartCacheWriter(tmp_path / "cache", ["a.jpg"], identity)
    file = writer.fill(lambda image: np.ones((1, 2, 3), bool), False).path / "manifest.json"
    manifest = verify_checksum(json.loads(file.read_text()))
    manifest["identity"]["mask_size"] = size
    file.write_text(json.dumps(add_checksum(manifest)))
    with pytest.raises(CacheError, match="cache is damaged"):
        PartCache.open(tmp_path / "cache")


@pytest.mark.parametrize("box", [[0, 0, 0, 5], [5, 0, 3, 5], [-1, 0, 5, 5], [0, 0, 21, 5]])
def test_boxes_outside_the_image_are_never_stored(tmp_path: Path, box: list[float]) -> None:
    parts = Parts(np.array([box], np.float32), np.ones(1, np.float32), np.zeros(1, int), (10, 20))
    with pytest.raises(ValueError, match="empty or outside the image of 20x10"):
        fill(tmp_path / "cache", {"a.jpg": parts})
