"""Custom data sets, listed in a CSV file."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from pgan.datasets import CSVDataset, DatasetError

GOOD = """path,vehicle_id,camera_id,split
a.jpg,bus_2,north,train
b.jpg,bus_1,south,train
c.jpg,taxi,north,query
d.jpg,taxi,south,gallery
"""


def write(root: Path, text: str, encoding: str = "utf-8") -> str:
    (root / "index.csv").write_bytes(text.encode(encoding))
    for name in "abcd":
        cv2.imwrite(str(root / f"{name}.jpg"), np.zeros((8, 8, 3), np.uint8))
    return str(root)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_csv_dataset_reads_text_ids_with_bom_and_crlf(
    tmp_path: Path, encoding: str, newline: str
) -> None:
    root = write(tmp_path, GOOD.replace("\n", newline), encoding)
    train = CSVDataset(root, split="train")
    assert train.vehicle_labels.tolist() == [1, 0]  # bus_1 sorts before bus_2
    query, gallery = (CSVDataset(root, split="test").get_data_info(i) for i in range(2))
    assert query["vehicle_id"] == gallery["vehicle_id"]
    assert query["camera_id"] != gallery["camera_id"]


def test_csv_dataset_accepts_missing_camera(tmp_path: Path) -> None:
    rows = [",".join(line.split(",")[i] for i in (0, 1, 3)) for line in GOOD.splitlines()]
    dataset = CSVDataset(write(tmp_path, "\n".join(rows)), split="test")
    assert [dataset.get_data_info(i)["camera_id"] for i in range(2)] == [-1, -1]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("split\n", "part\n", "index.csv:1: column 'split' is missing"),
        ("bus_1", "", "index.csv:3: vehicle_id is empty"),
        ("query", "probe", "index.csv:4: split 'probe' is unknown"),
        ("c.jpg", "../c.jpg", "index.csv:4: '../c.jpg' must be a path inside"),
        ("c.jpg", "/c.jpg", "index.csv:4: '/c.jpg' must be a path inside"),
        ("b.jpg", "a.jpg", "index.csv:3: a.jpg was listed before, at .*:2"),
        ("north,query", "north,query,1", "index.csv:4: has more values"),
        ("b.jpg", "nowhere.jpg", "nowhere.jpg: listed but not there"),
    ],
)
def test_csv_dataset_names_file_and_line_of_fault(
    tmp_path: Path, old: str, new: str, message: str
) -> None:
    root = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(DatasetError, match=message):
        [CSVDataset(root, split=split) for split in ("train", "test")]


def test_csv_dataset_names_missing_file(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"index.csv: No such file"):
        CSVDataset(str(tmp_path)).full_init()


def test_unclosed_quote_is_refused(tmp_path: Path) -> None:
    for text in ('"path,vehicle_id,split\n', GOOD + '"e.jpg,taxi,south,gallery\n'):
        with pytest.raises(DatasetError, match="is not CSV"):
            CSVDataset(write(tmp_path, text))
