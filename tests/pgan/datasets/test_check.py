"""`check_config` finds all faults at once; a reader stops at the first."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pgan.benchmarks.datasets import reading_benchmark
from pgan.datasets.check import CheckReport, check_config
from tests.pgan.datasets.layouts import (
    draw,
    make_csv,
    make_folders,
    make_vehicleid,
    make_veri,
    make_veriwild,
    make_vric,
    write,
)


def check(kind: str, root: Path, **options) -> CheckReport:
    loaders = {
        f"{split}_dataloader": {"dataset": {"type": kind, "data_root": str(root), "split": split}}
        for split in ("train", "test")
    }
    return check_config({**loaders, "val_dataloader": loaders["test_dataloader"]}, **options)


def only_fault(report: CheckReport, kind: str, count: int, first: str) -> None:
    assert list(report.faults) == [kind]
    messages = list(report.faults[kind])
    assert len(messages) == count
    assert re.search(first, messages[0])


@pytest.mark.parametrize(
    ("kind", "make", "images"),
    [
        ("CSVDataset", make_csv, 4),
        ("FolderDataset", make_folders, 9),
        ("VehicleID", make_vehicleid, 9),
        ("VERIWild", make_veriwild, 9),
        ("VRIC", make_vric, 8),
    ],
)
@pytest.mark.parametrize("decode", [False, True])
def test_check_config_finds_no_fault_in_valid_data_set(
    tmp_path: Path, kind: str, make, images: int, decode: bool
) -> None:
    root = make(tmp_path)
    before = {p: p.stat().st_mtime_ns for p in root.rglob("*")}
    report = check(kind, root, decode=decode)
    assert (report.faults, report.images) == ({}, images)
    assert report.found[0].startswith(f"{kind} train: ")
    assert {p: p.stat().st_mtime_ns for p in root.rglob("*")} == before


def test_check_config_reports_differing_counts_without_fault(tmp_path: Path) -> None:
    report = check("VehicleID", make_vehicleid(tmp_path))
    assert report.found[1].endswith("published: 6493 images of 800 vehicles")
    assert not report.faults


def test_check_config_finds_all_faults_in_one_pass(tmp_path: Path) -> None:
    root = make_vehicleid(tmp_path)
    lines = ["0000001 7", "0000002 7", "0000002 7", "x", "y", "0000404 8", "0000405 8", "0000003 3"]
    write(root / "train_test_split/train_list.txt", lines)
    faults = check("VehicleID", root).faults
    assert {kind: len(messages) for kind, messages in faults.items()} == {
        "duplicate line": 1,
        "malformed line": 2,
        "missing image": 2,
        "vehicle to train and to test on": 1,
    }
    first = {kind: next(iter(messages)) for kind, messages in faults.items()}
    assert "train_list.txt:3: image/0000002.jpg was listed before" in first["duplicate line"]
    assert "train_list.txt:4: 'x' must read 'image vehicle'" in first["malformed line"]
    assert "train_list.txt:6: image/0000404.jpg is not there" in first["missing image"]
    twins = r"test_list_800.txt:1: the vehicle of image/0000005.jpg is trained on, at .*list.txt:8"
    assert re.search(twins, first["vehicle to train and to test on"])


def test_check_config_names_undecodable_images(tmp_path: Path) -> None:
    root = make_vric(tmp_path)
    image = root / "probe_images/2.jpg"
    image.write_bytes(image.read_bytes()[:-20])
    (root / "train_images/3.jpg").write_bytes(b"")
    assert not check("VRIC", root).faults
    message = r"vric_train.txt:3: train_images/3.jpg: the file is empty"
    only_fault(check("VRIC", root, decode=True), "unreadable image", 2, message)


def test_check_config_reports_constant_camera(tmp_path: Path) -> None:
    root = make_vric(tmp_path)
    write(root / "vric_train.txt", [f"{i}.jpg {i // 3} 0" for i in (1, 2, 3, 4)])
    message = "vric_train.txt:1: camera 0, as of all 4 images of the train split"
    only_fault(check("VRIC", root), "camera that is constant", 1, message)


def test_missing_list_does_not_hide_other_faults(tmp_path: Path) -> None:
    root = make_vric(tmp_path)
    (root / "vric_train.txt").unlink()
    (root / "gallery_images/1.jpg").unlink()
    faults = check("VRIC", root).faults
    assert set(faults) == {"unreadable file", "missing image"}


def test_check_config_reports_vehicle_in_train_and_test_folders(tmp_path: Path) -> None:
    root = make_folders(tmp_path)
    draw(root, ["test/taxi_7/9.jpg"])
    message = r"test/taxi_7/9.jpg: the vehicle of .* is trained on, at .*train/taxi_7/a.jpg"
    only_fault(check("FolderDataset", root), "vehicle to train and to test on", 1, message)


def test_check_config_counts_fault_of_shared_file_once(tmp_path: Path) -> None:
    root = make_csv(tmp_path)
    file = root / "index.csv"
    file.write_text(file.read_text() + "e.jpg,,,train\n")
    only_fault(check("CSVDataset", root), "malformed line", 1, "index.csv:6: vehicle_id is empty")


def test_check_config_compares_veri776_index_files_with_labels(tmp_path: Path) -> None:
    root = make_veri(tmp_path)
    (root / "gt_index.txt").write_bytes(b"2 \r\n")
    (root / "jk_index.txt").write_bytes(b"1 \r\n")
    assert not check("VeRi776", root).faults
    (root / "gt_image.txt").write_bytes(b"2 3 \r\n")
    (root / "jk_index.txt").write_bytes(b"1 \r\n1 \r\n")
    report = check("VeRi776", root)
    only_fault(report, "index that contradicts the labels", 2, "gt_image.txt:1: gallery image 3 of")
    assert "jk_index.txt: has 2 lines for 1 queries" in list(report.faults.popitem()[1])[1]


def test_check_config_counts_veri776_labels_without_id(tmp_path: Path) -> None:
    root = make_veri(tmp_path)
    xml = root / "test_label.xml"
    xml.write_bytes(xml.read_bytes().replace(b'cameraID="c003"', b'cameraID=""'))
    message = r"test_label.xml: item 2 \(0002_c003_00000005_0.jpg\) has no vehicleID and cameraID"
    only_fault(check("VeRi776", root), "label", 1, message)


def test_check_config_checks_each_member_of_union(tmp_path: Path) -> None:
    first, second = make_vehicleid(tmp_path / "a"), make_veri(tmp_path / "b")
    (first / "image/0000001.jpg").unlink()
    members = [
        {"type": "VehicleID", "data_root": str(first)},
        {"type": "VeRi776", "data_root": str(second)},
    ]
    test = {"type": "VehicleID", "data_root": str(first), "split": "test"}
    report = check_config(
        {
            "train_dataloader": {"dataset": {"type": "ReIDUnion", "datasets": members}},
            "test_dataloader": {"dataset": test},
        }
    )
    assert [line.split(":")[0] for line in report.found] == [
        "VehicleID train",
        "VeRi776 train",
        "VehicleID pool",
    ]
    only_fault(report, "missing image", 1, "train_list.txt:1: image/0000001.jpg is not there")


def test_reading_benchmark_reads_whole_data_set() -> None:
    measured = reading_benchmark(images=40, vehicles=8, repeats=1)
    assert (measured["images"], measured["vehicles"]) == (40, 8)
    assert min(measured[key] for key in ("list_seconds", "check_seconds", "speedup")) > 0
