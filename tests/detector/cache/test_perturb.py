"""Caches of a fleet's true boxes, and of boxes out of place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from detector.cache import CacheError, PartCache, Parts
from detector.cache.perturb import import_fleet, perturb
from detector.cache.writer import PartCacheWriter
from fleet import FleetSpec, make_fleet

SIZE = (40, 60)
BOXES = np.array([[0, 0, 10, 20], [50, 30, 60, 40], [20, 10, 21, 11]], np.float32)


@pytest.fixture
def cache(tmp_path: Path) -> PartCache:
    """Three parts on each of 50 images, but one that could not be read and one without parts."""
    images = [f"a/{number:02}.jpg" for number in range(50)] + ["a/bad.jpg", "a/empty.jpg"]
    writer = PartCacheWriter(tmp_path / "parts", images, {"classes": ["x", "y"], "max_parts": 4})
    found = Parts(BOXES, np.float32([0.9, 0.8, 0.1]), np.array([1, 0, 1]), SIZE)
    empty = Parts(BOXES[:0], found.scores[:0], found.labels[:0], SIZE)
    other = {"a/bad.jpg": "truncated", "a/empty.jpg": empty}
    return writer.fill(lambda image: other.get(image, found), progress=False)


def boxes_of(cache: PartCache) -> np.ndarray:
    return np.stack([cache.parts(f"a/{number:02}.jpg", 4).boxes for number in range(50)])


@pytest.mark.parametrize("noise", [None, 0.25, 5.0])
def test_boxes_move_inside_the_image_and_all_else_stays(
    cache: PartCache, tmp_path: Path, noise: float | None
) -> None:
    other = perturb(cache, tmp_path / "other", noise, progress=False)
    boxes = boxes_of(other)
    assert (boxes[..., :2] < boxes[..., 2:]).all()
    assert boxes.min() >= 0
    assert (boxes[..., 2:] <= SIZE[::-1]).all()
    assert not (boxes == BOXES).all(-1).any()
    parts, before = other.parts("a/07.jpg", 4), cache.parts("a/07.jpg", 4)
    for name in ("scores", "labels", "image_size"):
        np.testing.assert_array_equal(getattr(parts, name), getattr(before, name))
    assert other.failed == {"a/bad.jpg": "truncated"}
    assert len(other.parts("a/empty.jpg", 4)) == 0
    assert (tmp_path / "parts" / "manifest.json").is_file()


def test_noise_is_in_sides_of_the_box(cache: PartCache, tmp_path: Path) -> None:
    boxes = boxes_of(perturb(cache, tmp_path / "other", 0.05, progress=False))[:, 0]
    sides, centres = boxes[:, 2:] - boxes[:, :2], (boxes[:, 2:] + boxes[:, :2]) / 2
    # Half of the noise at the border is clipped, so only the far side is looked at.
    assert 0.03 < np.std(boxes[:, 3] / 20) < 0.09
    assert 0.03 < np.std(boxes[:, 2] / 10) < 0.09
    assert abs(np.mean(sides / [10, 20]) - 1) < 0.06
    assert abs(np.mean(centres / [5, 10]) - 1) < 0.06


def test_boxes_go_anywhere_with_equal_chances_and_keep_their_size(
    cache: PartCache, tmp_path: Path
) -> None:
    boxes = boxes_of(perturb(cache, tmp_path / "other", None, progress=False))
    np.testing.assert_allclose(
        boxes[..., 2:] - boxes[..., :2], BOXES[:, 2:] - BOXES[:, :2] + 0 * boxes[..., :2], atol=1e-4
    )
    share = boxes[..., :2] / (np.array(SIZE[::-1]) - (BOXES[:, 2:] - BOXES[:, :2]))
    assert abs(share.mean() - 0.5) < 0.08
    assert np.quantile(share, 0.1) < 0.2
    assert np.quantile(share, 0.9) > 0.8


def test_an_image_moves_alike_whatever_else_is_in_the_cache(
    cache: PartCache, tmp_path: Path
) -> None:
    writer = PartCacheWriter(
        tmp_path / "few", ["a/07.jpg"], {"classes": ["x", "y"], "max_parts": 4}
    )
    few = writer.fill(lambda image: cache.parts(image, 4), progress=False)
    one, two = (
        perturb(source, tmp_path / name, 0.5, seed=3, progress=False).parts("a/07.jpg", 4).boxes
        for name, source in (("one", cache), ("two", few))
    )
    np.testing.assert_array_equal(one, two)
    three = perturb(cache, tmp_path / "three", 0.5, seed=4, progress=False).parts("a/07.jpg", 4)
    assert not (three.boxes == one).all()


@pytest.mark.parametrize("noise", [0.0, -1.0, float("nan"), float("inf")])
def test_noise_that_is_none_is_refused(cache: PartCache, tmp_path: Path, noise: float) -> None:
    with pytest.raises(CacheError, match="noise="):
        perturb(cache, tmp_path / "other", noise)
    assert not (tmp_path / "other").exists()


IMAGES = {"image_train/a.jpg": [[1, 0, 0, 4, 4], [0, 2, 2, 12, 9.5]], "image_test/b.jpg": []}


def true_parts(images: dict[str, list]) -> str:
    return json.dumps({"labels": ["logo", "plate"], "size": 32, "images": images})


def test_a_fleets_true_parts_come_the_largest_first(tmp_path: Path) -> None:
    (tmp_path / "true_parts.json").write_text(true_parts(IMAGES))
    cache = import_fleet(tmp_path, tmp_path / "true", progress=False)
    parts = cache.parts("image_train/a.jpg", 16)
    assert parts.boxes.tolist() == [[2, 2, 12, 9.5], [0, 0, 4, 4]]
    assert [cache.classes[label] for label in parts.labels] == ["logo", "plate"]
    assert parts.scores.tolist() == [1, 1]
    assert len(cache.parts("image_test/b.jpg", 16)) == 0


def test_true_parts_serve_every_list_of_a_fleet(tmp_path: Path) -> None:
    spec = FleetSpec(vehicles=4, images_per_vehicle=4, detector_images=8, size=64)
    make_fleet(tmp_path / "fleet", spec)
    cache = import_fleet(tmp_path / "fleet", tmp_path / "true", progress=False)
    files = (tmp_path / "fleet").rglob("*.jpg")
    assert set(cache.images()) == {str(path.relative_to(tmp_path / "fleet")) for path in files}
    name = (tmp_path / "fleet" / "name_query.txt").read_text().split()[0]
    query, same = (cache.parts(f"{folder}/{name}", 16) for folder in ("image_query", "image_test"))
    assert len(query)
    np.testing.assert_array_equal(query.boxes, same.boxes)
    with pytest.raises(CacheError, match="python tools/part_cache.py import-fleet"):
        cache.check(["image_test/new.jpg"], 8)


@pytest.mark.parametrize("text", [None, "", "[]", '{"size": 1}', true_parts({})])
def test_a_folder_that_is_no_fleet_is_refused(tmp_path: Path, text: str | None) -> None:
    (tmp_path / "image_query").mkdir()
    (tmp_path / "image_query" / "b.jpg").touch()
    if text is not None:
        (tmp_path / "true_parts.json").write_text(text)
    with pytest.raises(CacheError, match=r"true_parts.json is missing or damaged"):
        import_fleet(tmp_path, tmp_path / "true")
