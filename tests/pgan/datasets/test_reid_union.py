"""Unions keep the vehicles, cameras and part caches of their members separate."""

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
    """VeRi-776: 2 vehicles, cameras 1 and 2; VehicleID: 2, no cameras; VRIC: 2, cameras 3 to 5."""
    makers = {"VeRi776": make_veri, "VehicleID": make_vehicleid, "VRIC": make_vric}
    return [
        {"type": kind, "data_root": str(make(tmp_path / kind))} for kind, make in makers.items()
    ]


def test_union_numbers_vehicles_and_cameras_consecutively(members: list[dict]) -> None:
    union = ReIDUnion(members)
    assert (len(union), union.num_vehicles) == (3 + 4 + 4, 6)
    assert union.vehicle_labels.tolist() == [0, 0, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    records = [union.get_data_info(i) for i in range(len(union))]
    assert [r["vehicle_label"] for r in records] == union.vehicle_labels.tolist()
    assert [r["vehicle_id"] for r in records] == union.vehicle_labels.tolist()
    assert [r["camera_id"] for r in records] == [1, 2, 1, -1, -1, -1, -1, 6, 6, 7, 8]
    assert union.get_data_info(-1)["img_path"] == "train_images/4.jpg"


def test_union_packs_samples_with_its_own_labels(members: list[dict]) -> None:
    union = ReIDUnion(members, pipeline=PIPELINE)
    sample = union[7]
    assert sample["inputs"].shape == (3, 20, 30)
    assert sample["data_samples"].vehicle_label == 4
    assert sample["data_samples"].img_path == "train_images/1.jpg"


def test_pk_sampler_draws_from_all_members_of_union(members: list[dict]) -> None:
    union = ReIDUnion(members)
    batch = list(PKSampler(union, identities=6, images=2, seed=0))
    assert np.bincount(union.vehicle_labels[batch]).tolist() == [2] * 6
    with pytest.raises(DatasetError, match=r"VeRi776 \+ .*: 6 training vehicles are too few"):
        PKSampler(union, identities=7)


def test_image_paths_start_with_data_root_of_member(members: list[dict]) -> None:
    paths = ReIDUnion(members).image_paths()
    assert len(paths) == 11
    assert all(Path(path).is_file() for path in paths)


def test_union_reads_parts_of_each_member(members: list[dict], tmp_path: Path) -> None:
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


def test_union_passes_default_settings_to_members(members: list[dict]) -> None:
    root = members[1].pop("data_root")
    union = ReIDUnion(members, data_root=root, test_size=800)
    assert union.datasets[1].data_root == root
    assert union.datasets[0].data_root != root
    assert union.metainfo["dataset"] == "VeRi-776 + VehicleID + VRIC"


def test_union_refuses_no_members_and_test_sets(members: list[dict]) -> None:
    with pytest.raises(DatasetError, match="datasets is empty"):
        ReIDUnion([])
    with pytest.raises(DatasetError, match="split='test': a union is to train on"):
        ReIDUnion([members[0] | {"split": "test"}])
