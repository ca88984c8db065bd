"""The VeRi-776 reader on small files in the formats of the release."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgan.datasets import DatasetError, VeRi776
from pgan.datasets.veri776 import read_labels
from tests.pgan.datasets.layouts import draw, make_veri, write


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_veri776_reads_gb2312_and_either_line_end(tmp_path: Path, newline: str) -> None:
    dataset = VeRi776(str(make_veri(tmp_path, newline)), split="test")
    records = [dataset.get_data_info(i) for i in range(len(dataset))]
    assert [r["role"] for r in records] == ["query", "gallery", "gallery", "gallery"]
    assert records[0]["img_path"] == "image_query/0002_c002_00000004_0.jpg"
    assert [(r["vehicle_id"], r["camera_id"]) for r in records[1:]] == [(2, 2), (2, 3), (4, 1)]


def test_veri776_numbers_training_vehicles_in_order(tmp_path: Path) -> None:
    dataset = VeRi776(str(make_veri(tmp_path)), split="train")
    assert dataset.num_vehicles == 2
    assert dataset.vehicle_labels.tolist() == [0, 0, 1]


def test_veri776_reads_labels_from_image_names_without_xml(tmp_path: Path) -> None:
    make_veri(tmp_path)
    (tmp_path / "test_label.xml").unlink()
    info = VeRi776(str(tmp_path), split="test").get_data_info(2)
    assert (info["vehicle_id"], info["camera_id"]) == (2, 3)


def test_read_labels_accepts_camid_and_missing_declaration(tmp_path: Path) -> None:
    path = tmp_path / "labels.xml"
    path.write_text(
        '<TestingImages><Items><Item imageName="a.jpg" vehicleID="7" camID="c011"/></Items></TestingImages>'
    )
    assert read_labels(path) == {"a.jpg": (7, 11)}


def test_veri776_refuses_contradiction_of_name_and_xml(tmp_path: Path) -> None:
    make_veri(tmp_path)
    xml = tmp_path / "train_label.xml"
    xml.write_bytes(xml.read_bytes().replace(b'vehicleID="0003"', b'vehicleID="0009"'))
    with pytest.raises(DatasetError, match=r"name_train.txt:3: 0003_c001.*\(3, 1\).*\(9, 1\)"):
        VeRi776(str(tmp_path)).full_init()


def test_read_labels_refuses_xml_entities(tmp_path: Path) -> None:
    path = tmp_path / "evil.xml"
    path.write_text('<!DOCTYPE a [<!ENTITY x "y">]><TrainingImages>&x;</TrainingImages>')
    with pytest.raises(DatasetError, match="defines XML entities"):
        read_labels(path)


@pytest.mark.parametrize(
    "name", ["../up_c001_1_0.jpg", "/0001_c001_1_0.jpg", "C:\\0001_c001_1_0.jpg"]
)
def test_veri776_refuses_name_outside_data_root(tmp_path: Path, name: str) -> None:
    make_veri(tmp_path)
    (tmp_path / "train_label.xml").unlink()
    (tmp_path / "name_train.txt").write_text(f"0001_c001_00000001_0.jpg\n{name}\n")
    with pytest.raises(DatasetError, match="name_train.txt:2"):
        VeRi776(str(tmp_path)).full_init()


def test_veri776_names_missing_image_empty_split_and_wrong_root(tmp_path: Path) -> None:
    make_veri(tmp_path)
    (tmp_path / "image_train" / "0003_c001_00000003_0.jpg").unlink()
    with pytest.raises(
        DatasetError, match=r"0003_c001_00000003_0.jpg: listed but not there \(1 of 3"
    ):
        VeRi776(str(tmp_path)).full_init()
    (tmp_path / "name_query.txt").write_text("\r\n")
    with pytest.raises(DatasetError, match="query split lists no image"):
        VeRi776(str(tmp_path), split="test").full_init()
    with pytest.raises(DatasetError, match="not a folder"):
        VeRi776(str(tmp_path / "nowhere"))


def test_repeated_line_is_refused(tmp_path: Path) -> None:
    make_veri(tmp_path)
    names = tmp_path / "name_train.txt"
    names.write_bytes(names.read_bytes() + b"0001_c001_00000001_0.jpg\r\n")
    with pytest.raises(DatasetError, match=r"name_train.txt:4: .*listed before, at .*:1"):
        VeRi776(str(tmp_path)).full_init()


def test_data_folder_is_unchanged(tmp_path: Path) -> None:
    before = {p: p.stat().st_mtime_ns for p in make_veri(tmp_path).rglob("*")}
    VeRi776(str(tmp_path), split="test").full_init()
    assert {p: p.stat().st_mtime_ns for p in tmp_path.rglob("*")} == before


def test_metainfo_overrides_data_set_and_protocol(tmp_path: Path) -> None:
    root = str(make_veri(tmp_path))
    assert VeRi776(root, split="test").metainfo["protocol"] == "veri776"
    metainfo = {"dataset": "another", "protocol": "cross-camera"}
    found = VeRi776(root, split="test", metainfo=metainfo).metainfo
    assert (found["dataset"], found["protocol"]) == ("another", "cross-camera")
    with pytest.raises(DatasetError, match="test_size=800: VeRi776 has no such list: omit it"):
        VeRi776(root, split="test", test_size=800)


def test_veri776_reads_short_names_and_reordered_items(tmp_path: Path) -> None:
    root = make_veri(tmp_path)
    names = ["0005_c011_00016450.jpg", "000002.jpg"]  # only the XML labels the second
    write(root / "name_train.txt", names)
    draw(root, [f"image_train/{name}" for name in names])
    (root / "train_label.xml").write_text(
        '<TestingImages><Items><Item imageName="000002.jpg" vehicleID="0007" camID="c012"/>'
        '<Item imageName="0005_c011_00016450.jpg" vehicleID="0005" camID="c011"/></Items></TestingImages>'
    )
    dataset = VeRi776(str(root))
    assert dataset.column("vehicle_id") == [5, 7]
    assert dataset.column("camera_id") == [11, 12]
