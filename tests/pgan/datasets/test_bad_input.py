"""Known faults of image lists, with each reader that may encounter them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from pgan.datasets import (
    VRIC,
    CSVDataset,
    DatasetError,
    FolderDataset,
    ReIDDataset,
    Vehicle1M,
    VehicleID,
    VeRi776,
    VERIWild,
)
from pgan.datasets.text import read_xml
from tests.pgan.datasets.layouts import (
    make_csv,
    make_vehicle1m,
    make_vehicleid,
    make_veri,
    make_veriwild,
    make_vric,
)

# Reader, function that writes its data set, training list, and a valid line for an image and a vehicle.
READERS = [
    (VehicleID, make_vehicleid, "train_test_split/train_list.txt", "{} {}"),
    (Vehicle1M, make_vehicle1m, "train-test-split/train_list.txt", "{} {} 3"),
    (VRIC, make_vric, "vric_train.txt", "{} {} 4"),
]
ALL = [
    *READERS,
    (VERIWild, make_veriwild, "train_test_split/train_list.txt", "{}"),
    (VeRi776, make_veri, "name_train.txt", "{}"),
    (CSVDataset, make_csv, "index.csv", "{},{},,train"),
]
each_reader = pytest.mark.parametrize(("kind", "make", "name", "line"), READERS)
every_reader = pytest.mark.parametrize(("kind", "make", "name", "line"), ALL)


def rewrite(file: Path, change: Callable[[bytes], bytes]) -> None:
    file.write_bytes(change(file.read_bytes()))


def with_line(root: Path, name: str, line: str) -> tuple[str, int]:
    """Append a line to a list and return its location as it appears in messages."""
    rewrite(root / name, lambda data: data.rstrip(b"\r\n") + b"\n" + line.encode() + b"\n")
    return f"{name}:{len((root / name).read_bytes().splitlines())}: "


@every_reader
@pytest.mark.parametrize(
    "change",
    [
        lambda data: data.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n"),
        lambda data: b"\xef\xbb\xbf" + data,
        lambda data: data.replace(b"\r\n", b"\n").replace(b"\n", b" \t\n"),
        lambda data: data.replace(b"\r\n", b"\n").replace(b"\n", b"\n\n"),
        lambda data: data.rstrip(b"\r\n"),
    ],
    ids=["CRLF", "BOM", "trailing spaces", "empty lines", "no final line end"],
)
def test_reader_ignores_bom_line_ends_and_blanks(
    tmp_path: Path, kind: type[ReIDDataset], make, name: str, line: str, change
) -> None:
    root = make(tmp_path)
    expected = kind(str(root)).column("img_path")
    rewrite(root / name, change)
    assert kind(str(root)).column("img_path") == expected


@every_reader
def test_reader_names_missing_list(tmp_path: Path, kind, make, name: str, line: str) -> None:
    root = make(tmp_path)
    (root / name).unlink()
    with pytest.raises(DatasetError, match=f"{name}: No such file or directory: check data_root"):
        kind(str(root))


@every_reader
def test_reader_names_missing_image_and_its_line(
    tmp_path: Path, kind, make, name: str, line: str
) -> None:
    root = make(tmp_path)
    path = kind(str(root)).column("img_path")[0]
    (root / path).unlink()
    with pytest.raises(
        DatasetError, match=rf"{name}:\d: {path}: listed but not there \(1 of .*check data_root"
    ):
        kind(str(root))


@every_reader
@pytest.mark.parametrize("content", [b"", b"\r\n \r\n"])
def test_reader_refuses_empty_list(
    tmp_path: Path, kind, make, name: str, line: str, content: bytes
) -> None:
    root = make(tmp_path)
    (root / name).write_bytes(content)
    words = "column 'path' is missing" if kind is CSVDataset else "the train split lists no image"
    with pytest.raises(DatasetError, match=f"{name}:.* {words}"):
        kind(str(root))


@every_reader
@pytest.mark.parametrize(
    "image", ["/01_c001_9.jpg", "../01_c001_9.jpg", "a/../../01_c001_9.jpg", "C:\\01_c001_9.jpg"]
)
def test_reader_refuses_path_outside_data_root(
    tmp_path: Path, kind, make, name: str, line: str, image: str
) -> None:
    root = make(tmp_path)
    where = with_line(root, name, line.format(image, 1))
    with pytest.raises(DatasetError, match=f"{where}.* must be a path inside the data set's"):
        kind(str(root))


@each_reader
@pytest.mark.parametrize("vehicle", ["x12", "-3", "1.5", "1e3", "٣", "9" * 19, "9" * 5000])
def test_id_that_is_not_a_number_is_refused(
    tmp_path: Path, kind, make, name: str, line: str, vehicle: str
) -> None:
    root = make(tmp_path)
    where = with_line(root, name, line.format("9.jpg", vehicle))
    with pytest.raises(DatasetError, match=f"{where}vehicle '{vehicle}' is not a number"):
        kind(str(root))


@each_reader
@pytest.mark.parametrize("text", ["9.jpg", "9.jpg 1 2 3 4"])
def test_reader_refuses_wrong_number_of_fields(
    tmp_path: Path, kind, make, name: str, line: str, text: str
) -> None:
    root = make(tmp_path)
    where = with_line(root, name, text)
    if kind is Vehicle1M and len(text) > 5:  # the name of a model may contain spaces
        where = f"{name}:5: image/9.jpg: listed but not there"
    with pytest.raises(DatasetError, match=where):
        kind(str(root))


@every_reader
def test_reader_refuses_duplicate_image(tmp_path: Path, kind, make, name: str, line: str) -> None:
    root = make(tmp_path)
    lines = [text for text in (root / name).read_text().splitlines() if text]
    where = with_line(root, name, lines[1])
    with pytest.raises(DatasetError, match=rf"{where}.* was listed before, at .*{name}:\d"):
        kind(str(root))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("00009", "has no camera of '00009'"),
        ("00001/000001.jpg 00001 5", "'00001/000001.jpg 00001 5' must read 'vehicle/image'"),
        ("00009/000009", "vehicle_info.txt has no camera of '00009/000009'"),
    ],
)
def test_veriwild_refuses_malformed_line(tmp_path: Path, line: str, message: str) -> None:
    root = make_veriwild(tmp_path)
    where = with_line(root, "train_test_split/train_list.txt", line)
    with pytest.raises(DatasetError, match=f"{where}.*{message}"):
        VERIWild(str(root))


def test_veriwild_camera_that_is_not_a_number_is_refused(tmp_path: Path) -> None:
    root = make_veriwild(tmp_path)
    file = root / "train_test_split/vehicle_info.txt"
    rewrite(file, lambda data: data.replace(b"000002;1;", b"000002;north;"))
    with pytest.raises(DatasetError, match=r"vehicle_info.txt:3: camera 'north' is not a number"):
        VERIWild(str(root))


def test_vehicleid_refuses_list_in_another_encoding(tmp_path: Path) -> None:
    root = make_vehicleid(tmp_path)
    rewrite(
        root / "train_test_split/train_list.txt", lambda data: data + "\n车 1".encode("gb18030")
    )
    with pytest.raises(DatasetError, match=r"train_list.txt: is not utf-8-sig text"):
        VehicleID(str(root))


@pytest.mark.parametrize("declared", ["gb2312", "GBK", "utf-8", "UTF-8"])
def test_read_xml_uses_declared_encoding(tmp_path: Path, declared: str) -> None:
    text = f'<?xml version="1.0" encoding="{declared}"?>\r\n<A><B c="车辆"/></A>'
    (tmp_path / "a.xml").write_bytes(text.encode(declared))
    assert read_xml(tmp_path / "a.xml").find("B").get("c") == "车辆"


def test_read_xml_accepts_byte_order_mark(tmp_path: Path) -> None:
    text = '\ufeff<?xml version="1.0" encoding="utf-8"?><A c="车"/>'
    (tmp_path / "a.xml").write_bytes(text.encode())
    assert read_xml(tmp_path / "a.xml").get("c") == "车"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('<!DOCTYPE a [<!ENTITY x "y"><!ENTITY z "&x;&x;&x;">]><A>&z;</A>', "defines XML entities"),
        (
            '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]><A>&x;</A>',
            "defines XML entities",
        ),
        ("<A>", "is not well-formed XML"),
        ("", "is not well-formed XML"),
    ],
    ids=["expansion", "file", "not closed", "empty"],
)
def test_read_xml_refuses_unsafe_or_broken_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.xml").write_text(text)
    with pytest.raises(DatasetError, match=rf"a\.xml: {message}"):
        read_xml(tmp_path / "a.xml")


def test_folder_dataset_refuses_empty_folders_and_missing_root(tmp_path: Path) -> None:
    (tmp_path / "train").mkdir()
    (tmp_path / "train/bus").mkdir()
    with pytest.raises(DatasetError, match="train: the train split lists no image"):
        FolderDataset(str(tmp_path))
    for root in ("", str(tmp_path / "nowhere")):
        with pytest.raises(DatasetError, match="is not a folder: set it to the data set's"):
            FolderDataset(root)
