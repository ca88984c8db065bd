"""The readers on the real label files of the benchmarks, which may not be redistributed.

Set PGAN_LABELS to a folder that contains ``veri776/``, ``vehicleid/`` and ``veriwild/``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgan.datasets import ReIDDataset, VehicleID, VeRi776, VERIWild
from pgan.datasets.veri776 import read_labels

LABELS = Path(os.environ.get("PGAN_LABELS", "/nonexistent"))
pytestmark = pytest.mark.skipif(
    not LABELS.is_dir(), reason="PGAN_LABELS is not set to a folder with the real label files"
)


def link(root: Path, folder: str, **names: str) -> Path:
    """Link label files into the layout of a data set, without images: name in ``root`` = source name."""
    root.mkdir(exist_ok=True)
    for name, source in names.items():
        (root / f"{name}.txt").symlink_to(LABELS / folder / f"{source}.txt")
    return root


def counts(dataset: ReIDDataset, role: str) -> tuple[int, int]:
    images = dataset.read_split(role)
    return len(images), len({image.vehicle_id for image in images})


def cameras(dataset: ReIDDataset, *roles: str) -> set[int]:
    return {image.camera_id for role in roles for image in dataset.read_split(role)}


@pytest.fixture
def veri(tmp_path: Path) -> Path:
    names = ("name_train", "name_query", "name_test", "gt_index", "jk_index")
    link(tmp_path, "veri776", **{name: name for name in names})
    (tmp_path / "test_label.xml").symlink_to(LABELS / "veri776/test_label.xml")
    return tmp_path


def test_veri776_has_published_counts(veri: Path) -> None:
    train = VeRi776(str(veri), lazy_init=True)
    test = VeRi776(str(veri), split="test", lazy_init=True)
    assert counts(train, "train") == (37_778, 576)
    assert counts(test, "query") == (1_678, 200)
    assert counts(test, "gallery") == (11_579, 200)
    assert (len(cameras(train, "train")), len(cameras(test, "gallery"))) == (20, 19)
    names = {role: {i.path.split("/")[1] for i in test.read_split(role)} for role in test.roles()}
    assert names["query"] < names["gallery"]


def test_veri776_xml_agrees_with_the_file_names(veri: Path) -> None:
    labels = read_labels(veri / "test_label.xml")
    assert len(labels) == 11_579
    assert labels["0002_c002_00030600_0.jpg"] == (2, 2)
    assert {name: (int(name[:4]), int(name[6:9])) for name in labels} == labels


def test_veri776_index_files_agree_with_junk_rule(veri: Path) -> None:
    test = VeRi776(str(veri), split="test", lazy_init=True)
    found = {role: test.read_split(role) for role in test.roles()}
    assert list(test.further_faults(found)) == []
    found["gallery"][7], found["gallery"][-1] = found["gallery"][-1], found["gallery"][7]
    assert "gt_index.txt:1: " in str(next(iter(test.further_faults(found))))


@pytest.mark.parametrize(("size", "images"), [(800, 6_493), (1600, 13_377)])
def test_vehicleid_test_lists(tmp_path: Path, size: int, images: int) -> None:
    name = f"test_list_{size}"
    link(tmp_path / "train_test_split", "vehicleid", **{name: name})
    test = VehicleID(str(tmp_path), split="test", test_size=size, lazy_init=True)
    assert counts(test, "pool") == (images, size)
    assert test.describe("pool", test.read_split("pool")).endswith(", as published")


def test_vehicleid_training_list(tmp_path: Path) -> None:
    link(tmp_path / "train_test_split", "vehicleid", train_list="train_50000")
    assert counts(VehicleID(str(tmp_path), lazy_init=True), "train") == (49_999, 5_055)


@pytest.fixture
def veriwild(tmp_path: Path) -> Path:
    sizes = ("3000", "10000")
    names = ["train_list"] + [f"test_{size}{end}" for size in sizes for end in ("", "_query")]
    link(tmp_path / "train_test_split", "veriwild", **{name: name for name in names})
    return tmp_path


def test_veriwild_reads_vehicle_info_of_joined_copies(veriwild: Path) -> None:
    info = b"".join(
        (LABELS / f"veriwild/test_3000{end}_info.txt").read_bytes() for end in ("", "_query")
    )
    (veriwild / "train_test_split/vehicle_info.txt").write_bytes(info)
    test = VERIWild(str(veriwild), split="test", lazy_init=True)
    assert counts(test, "query") == (3_000, 3_000)
    assert counts(test, "gallery") == (38_861, 3_000)
    assert 0 in cameras(test, "gallery")
    assert len(cameras(test, "query")) == 105


def test_veriwild_large_test_and_training_lists(veriwild: Path) -> None:
    options = {"cameras": "unknown", "lazy_init": True}
    test = VERIWild(str(veriwild), split="test", test_size=10000, **options)
    assert counts(test, "query") == (10_000, 10_000)
    assert counts(test, "gallery") == (128_517, 10_000)
    assert counts(VERIWild(str(veriwild), **options), "train") == (277_797, 30_671)
    small = VERIWild(str(veriwild), split="test", **options)
    query, gallery = ({i.path for i in small.read_split(role)} for role in small.roles())
    assert not query & gallery
