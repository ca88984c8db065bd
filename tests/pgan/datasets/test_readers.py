"""Each reader on a tiny data set in the layout of the release."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pgan.datasets import (
    VRIC,
    CSVDataset,
    DatasetError,
    FolderDataset,
    Vehicle1M,
    VehicleID,
    VeRi776,
    VERIWild,
)
from pgan.evaluation.protocols import PROTOCOLS
from tests.pgan.datasets.layouts import (
    draw,
    make_csv,
    make_folders,
    make_vehicle1m,
    make_vehicleid,
    make_veri,
    make_veriwild,
    make_vric,
    write,
)

SETS = [
    (make_csv, CSVDataset),
    (make_folders, FolderDataset),
    (make_vehicle1m, Vehicle1M),
    (make_vehicleid, VehicleID),
    (make_veri, VeRi776),
    (make_veriwild, VERIWild),
    (make_vric, VRIC),
]


def rows(dataset) -> list[tuple[str, str, int, int]]:
    return list(
        zip(*(dataset.column(key) for key in ("role", "img_path", "vehicle_id", "camera_id")))
    )


def test_vehicleid_reads_pool_without_cameras(tmp_path: Path) -> None:
    root = str(make_vehicleid(tmp_path))
    train = VehicleID(root)
    assert train.vehicle_labels.tolist() == [0, 0, 1, 1]  # '0012' and '12' are one vehicle
    test = VehicleID(root, split="test")
    assert rows(test)[2:4] == [
        ("pool", "image/0000007.jpg", 3, -1),
        ("pool", "image/0000008.jpg", 5, -1),
    ]
    assert test.metainfo["protocol"] == "vehicleid-800"
    assert test.metainfo["dataset"] == "VehicleID"


def test_test_size_selects_list_and_protocol(tmp_path: Path) -> None:
    test = VehicleID(str(make_vehicleid(tmp_path)), split="test", test_size=2400)
    assert (len(test), test.metainfo["protocol"]) == (2, "vehicleid-2400")
    with pytest.raises(DatasetError, match="test_size=900: VehicleID has no such list: use 800,"):
        VehicleID(str(tmp_path), split="test", test_size=900)


def test_vric_reads_probe_and_gallery(tmp_path: Path) -> None:
    test = VRIC(str(make_vric(tmp_path)), split="test")
    assert rows(test) == [
        ("query", "probe_images/1.jpg", 2, 3),
        ("query", "probe_images/2.jpg", 3, 3),
        ("gallery", "gallery_images/1.jpg", 2, 4),
        ("gallery", "gallery_images/2.jpg", 3, 5),
    ]
    assert test.metainfo["protocol"] == "vric"


def test_veriwild_reads_cameras_from_vehicle_info(tmp_path: Path) -> None:
    root = str(make_veriwild(tmp_path))
    test = VERIWild(root, split="test")
    assert rows(test)[:3] == [
        ("query", "images/00003/000005.jpg", 3, 4),
        ("query", "images/00004/000006.jpg", 4, 5),
        ("gallery", "images/00003/000007.jpg", 3, 6),
    ]
    assert test.metainfo["protocol"] == "veriwild-small"
    assert 0 in VERIWild(root).column("camera_id")  # camera 0 is a known camera
    large = VERIWild(root, split="test", test_size=10000)
    assert (len(large), large.metainfo["protocol"]) == (2, "veriwild-large")


@pytest.mark.parametrize("header", [True, False])
def test_veriwild_reads_vehicle_info_without_time(tmp_path: Path, header: bool) -> None:
    root = make_veriwild(tmp_path)
    expected = rows(VERIWild(str(root), split="test"))
    file = root / "train_test_split/vehicle_info.txt"
    lines = [
        ";".join(f for i, f in enumerate(line.split(";")) if i != 2)
        for line in file.read_bytes().decode("gb18030").splitlines()
    ]
    write(file, lines if header else lines[1:])
    assert rows(VERIWild(str(root), split="test")) == expected


def test_veriwild_without_cameras_changes_protocol_or_is_refused(tmp_path: Path) -> None:
    root = make_veriwild(tmp_path)
    (root / "train_test_split/vehicle_info.txt").unlink()
    with pytest.raises(DatasetError, match=r"vehicle_info.txt: is not there.*cameras='unknown'"):
        VERIWild(str(root), split="test")
    test = VERIWild(str(root), split="test", cameras="unknown")
    assert set(test.column("camera_id")) == {-1}
    assert test.metainfo["protocol"] == "veriwild-small-without-cameras"


def test_vehicle1m_accepts_path_and_field_variants(tmp_path: Path) -> None:
    root = make_vehicle1m(tmp_path)
    expected = [("train", f"image/0{1 + i // 2}/{i + 1}.jpg", 1 + i // 2, -1) for i in range(4)]
    assert rows(Vehicle1M(str(root))) == expected
    (root / "train-test-split").rename(root / "train_test_split")
    assert rows(Vehicle1M(str(root))) == expected
    assert Vehicle1M(str(root), split="test").metainfo["protocol"] == "vehicle1m-1000"


def test_folder_dataset_reads_train_and_test_folders(tmp_path: Path) -> None:
    root = str(make_folders(tmp_path))
    train, test = FolderDataset(root), FolderDataset(root, split="test")
    # Numbered jointly over train/ and test/: bus 3, lorry, taxi_7, van.
    assert rows(train)[0] == ("train", "train/bus 3/1.jpg", 0, -1)
    assert train.column("vehicle_id") == [0, 0, 2, 2]
    assert [row[:3] for row in rows(test)[1:3]] == [
        ("pool", "test/lorry/2.jpg", 1),
        ("pool", "test/van/1.jpg", 3),
    ]
    assert test.metainfo["protocol"] == "one-gallery-image"


def test_folder_dataset_reads_query_and_gallery_folders(tmp_path: Path) -> None:
    draw(tmp_path, ["query/van/1.jpg", "gallery/van/2.jpg", "gallery/bus/3.jpg"])
    test = FolderDataset(str(tmp_path), split="test")
    assert [row[:2] for row in rows(test)] == [
        ("query", "query/van/1.jpg"),
        ("gallery", "gallery/bus/3.jpg"),
        ("gallery", "gallery/van/2.jpg"),
    ]
    assert test.column("vehicle_id") == [1, 0, 1]
    assert test.metainfo["protocol"] == "cross-camera"
    with pytest.raises(DatasetError, match="train: No such file or directory: check data_root"):
        FolderDataset(str(tmp_path))


def test_folder_dataset_reads_vehicle_folders_in_data_root(tmp_path: Path) -> None:
    draw(tmp_path, ["van/1.jpg", "bus/2.JPG", ".cache/3.jpg"])
    for split in ("train", "test"):
        dataset = FolderDataset(str(tmp_path), split=split)
        assert dataset.column("img_path") == ["bus/2.JPG", "van/1.jpg"]


@pytest.mark.parametrize(("make", "kind"), SETS)
def test_reader_finds_images_and_leaves_folder_unchanged(tmp_path: Path, make, kind) -> None:
    root = make(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    paths = [path for split in ("train", "test") for path in kind(str(root), split).image_paths()]
    assert paths
    assert all((root / path).is_file() for path in paths)
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before


@pytest.mark.parametrize(("make", "kind"), SETS)
def test_counts_are_compared_with_the_published_ones(
    tmp_path: Path, make, kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make(tmp_path)
    dataset = kind(str(root), lazy_init=True)
    images = dataset.read_split("train")
    vehicles = len({image.vehicle_id for image in images})
    line = dataset.describe("train", images)
    assert f"train: {len(images)} images of {vehicles} vehicles, " in line
    if published := dataset.PUBLISHED.get(dataset.list_file("train").name):
        assert line.endswith(f"published: {published[0]} images of {published[1]} vehicles")
        mine = {dataset.list_file("train").name: (len(images), vehicles)}
        monkeypatch.setattr(kind, "PUBLISHED", mine)
        assert dataset.describe("train", images).endswith(", as published")
        other = kind(str(root), metainfo={"dataset": "another"}, lazy_init=True)
        assert "published" not in other.describe("train", images)


@pytest.mark.parametrize("kind", [kind for _, kind in SETS])
def test_data_sets_name_existing_protocols(kind: type) -> None:
    named = {kind.METAINFO["protocol"], *kind.TEST_SIZES.values()}
    if kind is VERIWild:
        named |= {f"{name}-without-cameras" for name in named}
    if kind is FolderDataset:
        named.add("one-gallery-image")
    assert named <= set(PROTOCOLS)


def test_reader_follows_symbolic_links_to_images(tmp_path: Path) -> None:
    root = make_vehicleid(tmp_path)
    image = root / "image/0000001.jpg"
    (tmp_path / "elsewhere").mkdir()
    os.rename(image, tmp_path / "elsewhere/x.jpg")
    image.symlink_to(tmp_path / "elsewhere/x.jpg")
    assert len(VehicleID(str(root))) == 4
    (tmp_path / "elsewhere/x.jpg").unlink()
    message = r"train_list.txt:1: image/0000001.jpg: listed but not there \(1 of 4"
    with pytest.raises(DatasetError, match=message):
        VehicleID(str(root))
