"""Unions keep identities, cameras and part caches apart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from detector.cache import CacheError, Parts
from detector.cache.writer import PartCacheWriter
from pgan.datasets import DatasetError, PKSampler, ReIDUnion
from tests.pgan.datasets.layouts import make_vehicleid, make_veri, make_vric

PIPELINE = [{"type": "LoadReIDImage"}, {"type": "ToFloat"}, {"type": "PackReID"}]


@pytest.fixture
def members(tmp_path: Path) -> list[dict]:
    """VeRi-776: 2 vehicles, cameras 1 and 2; VehicleID: 2 and none; VRIC: 2, cameras 3 to 5."""
    makers = {"VeRi776": make_veri, "VehicleID": make_vehicleid, "VRIC": make_vric}
    return [
        {"type": kind, "data_root": str(make(tmp_path / kind))} for kind, make in makers.items()
    ]


def test_vehicles_and_cameras_are_numbered_on(members: list[dict]) -> None:
    union = ReIDUnion(members)
    assert (len(union), union.num_vehicles) == (3 + 4 + 4, 6)
    assert union.vehicle_labels.tolist() == [0, 0, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    records = [union.get_data_info(i) for i in range(len(union))]
    assert [r["vehicle_label"] for r in records] == union.vehicle_labels.tolist()
    assert [r["vehicle_id"] for r in records] == union.vehicle_labels.tolist()
    assert [r["camera_id"] for r in records] == [1, 2, 1, -1, -1, -1, -1, 6, 6, 7, 8]
    assert union.get_data_info(-1)["img_path"] == "train_images/4.jpg"


def test_samples_are_packed_with_the_unions_labels(members: list[dict]) -> None:
    union = ReIDUnion(members, pipeline=PIPELINE)
    sample = union[7]
    assert sample["inputs"].shape == (3, 20, 30)
    assert sample["data_samples"].vehicle_label == 4
    assert sample["data_samples"].img_path == "train_images/1.jpg"


def test_the_sampler_draws_from_all_members(members: list[dict]) -> None:
    union = ReIDUnion(members)
    batch = list(PKSampler(union, identities=6, images=2, seed=0))
    assert np.bincount(union.vehicle_labels[batch]).tolist() == [2] * 6
    with pytest.raises(DatasetError, match=r"VeRi776 \+ .*: 6 training vehicles are too few"):
        PKSampler(union, identities=7)


def test_image_paths_begin_with_their_root(members: list[dict]) -> None:
    paths = ReIDUnion(members).image_paths()
    assert len(paths) == 11
    assert all(Path(path).is_file() for path in paths)


def test_each_member_has_its_own_parts(members: list[dict], tmp_path: Path) -> None:
    for number, member in enumerate(members):
        images = [
            p.relative_to(member["data_root"]) for p in Path(member["data_root"]).rglob("*.jpg")
        ]
        out = tmp_path / f"parts{number}"
        writer = PartCacheWriter(out, list(map(str, images)), {"classes": ["a"], "max_parts": 2})
        box = np.array([[number, 0, number + 9, 9]], np.float32)
        part = Parts(box, np.ones(1, np.float32), np.zeros(1, np.int64), (20, 30))
        writer.write(0, [part] * len(images))
        writer.finish()
        member["part_cache"] = str(out)
    union = ReIDUnion(members, num_parts=2)
    lefts = [union.get_data_info(i)["part_boxes"][:, 0].tolist() for i in (0, 3, 7)]
    assert lefts == [[0, 0], [1, 0], [2, 0]]
    members[2]["part_cache"] = members[0]["part_cache"]
    with pytest.raises(CacheError, match="not in the part cache"):
        ReIDUnion(members, num_parts=2)


def test_members_take_what_they_do_not_state_from_the_union(members: list[dict]) -> None:
    root = members[1].pop("data_root")
    union = ReIDUnion(members, data_root=root, test_size=800)
    assert union.datasets[1].data_root == root
    assert union.datasets[0].data_root != root
    assert union.metainfo["dataset"] == "VeRi-776 + VehicleID + VRIC"


def test_unions_of_nothing_and_of_test_sets_are_refused(members: list[dict]) -> None:
    with pytest.raises(DatasetError, match="datasets is empty"):
        ReIDUnion([])
    with pytest.raises(DatasetError, match="split='test': a union is to train on"):
        ReIDUnion([members[0] | {"split": "test"}])
