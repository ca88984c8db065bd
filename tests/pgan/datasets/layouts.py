"""Tiny data sets in each layout, with at least two training vehicles and other test vehicles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np

GB2312 = '<?xml version="1.0" encoding="gb2312"?>\r\n'
ITEM = '<Item imageName="{0}" vehicleID="{1}" cameraID="{2}" colorID="1" typeID="4" />\r\n'


def draw(root: Path, paths: Iterable[str]) -> None:
    """Write a small, distinct image at each path."""
    for path in paths:
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(list(path.encode()))
        cv2.imwrite(str(file), rng.integers(0, 256, (20, 30, 3), np.uint8))


def write(file: Path, lines: Iterable[str], newline: str = "\n") -> None:
    """Write lines to a file and create its folder."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes("".join(line + newline for line in lines).encode())


def write_xml(path: Path, names: list[str], declaration: str = GB2312) -> None:
    """Write the labels in the image names as XML of VeRi-776."""
    items = "".join(ITEM.format(n, n.split("_")[0], n.split("_")[1]) for n in names)
    text = f'{declaration}<TrainingImages Version="1.0"><!-- 车辆 --><Items number="{len(names)}">'
    path.write_bytes(f"{text}\r\n{items}</Items></TrainingImages>".encode("gb2312"))


def make_veri(root: Path, newline: str = "\r\n") -> Path:
    """Two training and two test vehicles; the query is also in the gallery."""
    names = {
        "train": [
            "0001_c001_00000001_0.jpg",
            "0001_c002_00000002_0.jpg",
            "0003_c001_00000003_0.jpg",
        ],
        "test": [
            "0002_c002_00000004_0.jpg",
            "0002_c003_00000005_0.jpg",
            "0004_c001_00000006_0.jpg",
        ],
        "query": ["0002_c002_00000004_0.jpg"],
    }
    for split, listed in names.items():
        write(root / f"name_{split}.txt", listed, newline)
        draw(root, [f"image_{split}/{name}" for name in listed])
    write_xml(root / "train_label.xml", names["train"])
    write_xml(root / "test_label.xml", names["test"])
    return root


def make_vehicleid(root: Path) -> Path:
    """Names without .jpg, ids with leading zeros, no line end after the last line."""
    lists = {
        "train_list": ["0000001 7", "0000002 7", "0000003 0012", "0000004 12"],
        "test_list_800": ["0000005 3", "0000006 3", "0000007 3", "0000008 5", "0000009 5"],
        "test_list_2400": ["0000008 5", "0000009 5"],
    }
    for name, lines in lists.items():
        file = root / "train_test_split" / f"{name}.txt"
        write(file, lines)
        file.write_bytes(file.read_bytes().rstrip(b"\n"))
        draw(root, [f"image/{line.split()[0]}.jpg" for line in lines])
    return root


def make_vric(root: Path) -> Path:
    """One probe and one gallery image of each vehicle."""
    lists = {
        "train": ["1.jpg 0 3", "2.jpg 0 3", "3.jpg 1 4", "4.jpg 1 5"],
        "probe": ["1.jpg 2 3", "2.jpg 3 3"],
        "gallery": ["1.jpg 2 4", "2.jpg 3 5"],
    }
    for name, lines in lists.items():
        write(root / f"vric_{name}.txt", lines)
        draw(root, [f"{name}_images/{line.split()[0]}" for line in lines])
    return root


def make_veriwild(root: Path) -> Path:
    """Includes camera 0, non-ASCII models in another encoding, and a type that begins with a space."""
    lists = {
        "train_list": ["00001/000001", "00001/000002", "00002/000003", "00002/000004"],
        "test_3000_query": ["00003/000005", "00004/000006"],
        "test_3000": ["00003/000007", "00003/000008", "00004/000009"],
        "test_10000_query": ["00003/000005"],
        "test_10000": ["00003/000007"],
    }
    split = root / "train_test_split"
    for name, lines in lists.items():
        write(split / f"{name}.txt", lines)
        draw(root, [f"images/{line}.jpg" for line in lines])
    images = list(dict.fromkeys(line for lines in lists.values() for line in lines))
    info = ["id/image;Camera ID;Time;Model;Type;Color"]
    info += [
        f"{name};{number};2018-03-11 09:12:01;大众; sedan;white"
        for number, name in enumerate(images)
    ]
    (split / "vehicle_info.txt").write_bytes(("\r\n".join(info) + "\r\n").encode("gb18030"))
    return root


def make_vehicle1m(root: Path) -> Path:
    """Lines with and without model and .jpg, paths with and without the folder."""
    lists = {
        "train_list": ["01/1.jpg 1 7", "01/2.jpg 1 7", "02/3 2", "image/02/4.jpg 2 Audi A6"],
        "test_1000": ["03/5.jpg 3 9", "03/6.jpg 3 9", "04/7.jpg 4 9", "04/8.jpg 4 9"],
    }
    for name, lines in lists.items():
        write(root / "train-test-split" / f"{name}.txt", lines)
    draw(root, [f"image/{number // 2:02d}/{number - 1}.jpg" for number in range(2, 10)])
    return root


def make_csv(root: Path) -> Path:
    """A custom list, whose vehicle and camera ids are text."""
    rows = [
        "a.jpg,bus_2,north,train",
        "b.jpg,bus_1,south,train",
        "c.jpg,taxi,north,query",
        "d.jpg,taxi,south,gallery",
    ]
    write(root / "index.csv", ["path,vehicle_id,camera_id,split", *rows])
    draw(root, [row.split(",")[0] for row in rows])
    return root


def make_folders(root: Path) -> Path:
    """Custom folders, train/ and test/."""
    draw(root, [f"train/{name}.jpg" for name in ("bus 3/1", "bus 3/2", "taxi_7/a", "taxi_7/b")])
    draw(root, [f"test/{name}.jpg" for name in ("van/1", "van/2", "van/3", "lorry/1", "lorry/2")])
    (root / "test/van/notes.txt").write_text("not an image")
    return root


# Name of the data set in config file names -> function that writes a tiny one.
LAYOUTS: dict[str, Callable[[Path], Path]] = {
    "csv": make_csv,
    "fleet": make_veri,
    "folders": make_folders,
    "vehicle1m": make_vehicle1m,
    "vehicleid": make_vehicleid,
    "veri776": make_veri,
    "veriwild": make_veriwild,
    "vric": make_vric,
}
