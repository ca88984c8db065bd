"""The files of a fleet in the layouts of VeRi-776 and Pascal VOC."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from defusedxml import ElementTree

from detector.common.attributes import ATTRIBUTES
from fleet import read_fleet
from fleet.voc_layout import voc_box


def lines(path) -> list[str]:
    return path.read_text(encoding="ascii").splitlines()


def items(path):
    """The items of a label file; ElementTree cannot decode gb2312, which VeRi-776 declares."""
    text = path.read_bytes()
    assert text.startswith(b'<?xml version="1.0" encoding="gb2312" ?>\r\n')
    assert text.count(b"\n") == text.count(b"\r\n")
    root = ElementTree.fromstring(text.decode("gb2312").split("?>", 1)[1])
    assert root.tag == "TrainingImages"
    (parent,) = root
    assert int(parent.get("number")) == len(parent)
    return list(parent)


@pytest.mark.parametrize("split", ["train", "test"])
def test_lists_labels_and_images_agree(fleet_dir, split):
    names = lines(fleet_dir / f"name_{split}.txt")
    assert names == sorted(set(names))
    assert names == sorted(path.name for path in (fleet_dir / f"image_{split}").iterdir())
    found = items(fleet_dir / f"{split}_label.xml")
    assert [item.get("imageName") for item in found] == names
    described = {v["id"]: v for v in read_fleet(fleet_dir)["vehicles"]}
    colours = dict(line.split()[::-1] for line in lines(fleet_dir / "list_color.txt"))
    types = dict(line.split()[::-1] for line in lines(fleet_dir / "list_type.txt"))
    for item in found:
        vehicle, camera, stamp, last = item.get("imageName").split("_")
        assert (item.get("vehicleID"), item.get("cameraID")) == (vehicle, camera)
        assert len(stamp) == 8
        assert last == "0.jpg"
        own = described[int(vehicle)]
        assert own["split"] == split
        assert item.get("colorID") == colours[own["colour"]]
        assert item.get("typeID") == types[own["style"]]


def test_every_query_is_in_the_gallery_byte_for_byte(fleet_dir):
    queries = lines(fleet_dir / "name_query.txt")
    assert queries
    assert queries == sorted(path.name for path in (fleet_dir / "image_query").iterdir())
    for name in queries:
        assert (fleet_dir / "image_query" / name).read_bytes() == (
            fleet_dir / "image_test" / name
        ).read_bytes()


def test_good_and_junk_images_follow_the_definition(fleet_dir):
    gallery = [name.split("_")[:2] for name in lines(fleet_dir / "name_test.txt")]
    queries = [name.split("_")[:2] for name in lines(fleet_dir / "name_query.txt")]
    for name, same_camera in (("gt_image.txt", False), ("jk_image.txt", True)):
        data = (fleet_dir / name).read_bytes()
        assert data.endswith(b" \r\n")
        rows = data.decode().split("\r\n")[:-1]
        assert len(rows) == len(queries)
        for row, (vehicle, camera) in zip(rows, queries):
            wanted = [
                i + 1
                for i, (v, c) in enumerate(gallery)
                if v == vehicle and (c == camera) == same_camera
            ]
            assert [int(word) for word in row.split()] == wanted
            assert wanted  # each query has a match in another camera


def test_tracks_cover_the_gallery_once(fleet_dir):
    covered, ids = [], []
    for line in (fleet_dir / "test_track.txt").read_text().splitlines():
        assert line.endswith(" ")
        track, *names = line.split()
        assert {name[:9] for name in names} == {track[:9]}
        covered += names
        ids.append(track)
    assert covered == lines(fleet_dir / "name_test.txt")
    assert len(ids) == len(set(ids))


def test_camera_distances_are_above_the_diagonal(fleet_dir):
    table = np.loadtxt(fleet_dir / "camera_Dist.txt")
    assert table.shape == (20, 20)
    assert (np.tril(table) == 0).all()
    assert (table[np.triu_indices(20, 1)] > 0).all()


def test_twins_share_model_and_split_and_cameras(fleet_dir):
    described = {v["id"]: v for v in read_fleet(fleet_dir)["vehicles"]}
    cameras: dict[int, set[str]] = {}
    for split in ("train", "test"):
        for name in lines(fleet_dir / f"name_{split}.txt"):
            cameras.setdefault(int(name[:4]), set()).add(name[5:9])
    assert sum(bool(v["twins"]) for v in described.values() if v["split"] != "detector") >= 8
    for number, vehicle in described.items():
        for twin in vehicle["twins"]:
            assert number in described[twin]["twins"]
            assert all(
                described[twin][key] == vehicle[key] for key in ("style", "trim", "colour", "split")
            )
            assert cameras.get(twin) == cameras.get(number)
            assert described[twin]["details"] != vehicle["details"]


def test_detector_split_has_its_own_vehicles(fleet_dir):
    main = fleet_dir / "parts_voc" / "ImageSets" / "Main"
    train, val = lines(main / "train.txt"), lines(main / "val.txt")
    assert len(train) + len(val) == 16
    own = {stem[:4] for stem in train}, {stem[:4] for stem in val}
    assert own[0]
    assert own[1]
    assert not own[0] & own[1]
    reid = {
        name[:4] for split in ("train", "test") for name in lines(fleet_dir / f"name_{split}.txt")
    }
    assert not reid & (own[0] | own[1])


def test_annotations_are_voc(fleet_dir, spec):
    voc, seen = fleet_dir / "parts_voc", 0
    true_parts = json.loads((fleet_dir / "true_parts.json").read_text())["images"]
    for path in sorted((voc / "Annotations").iterdir()):
        root = ElementTree.fromstring(path.read_bytes())
        image = cv2.imread(str(voc / "JPEGImages" / root.findtext("filename")))
        assert root.findtext("filename") == path.stem + ".jpg"
        assert image.shape == (
            int(root.findtext("size/height")),
            int(root.findtext("size/width")),
            3,
        )
        truth = true_parts[f"parts_voc/JPEGImages/{path.stem}.jpg"]
        assert len(truth) == len(root.findall("object"))
        for part, (label, *box) in zip(root.findall("object"), truth):
            assert part.findtext("name") == ATTRIBUTES[label]
            x1, y1, x2, y2 = (
                int(part.findtext(f"bndbox/{k}")) for k in ("xmin", "ymin", "xmax", "ymax")
            )
            assert 1 <= x1 <= x2 <= spec.size
            assert 1 <= y1 <= y2 <= spec.size
            assert np.allclose((x1 - 1, y1 - 1, x2, y2), box, atol=1.01)
            seen += 1
    assert seen > 16


def test_voc_box_covers_every_touched_pixel():
    assert voc_box((0.0, 0.0, 96.0, 96.0)) == (1, 1, 96, 96)
    assert voc_box((10.2, 3.9, 11.1, 4.1)) == (11, 4, 12, 5)


def test_true_parts_cover_all_images(fleet_dir, spec):
    truth = json.loads((fleet_dir / "true_parts.json").read_text())
    images = {
        str(p.relative_to(fleet_dir))
        for p in fleet_dir.rglob("*.jpg")
        if p.parent.name != "image_query"
    }
    assert set(truth["images"]) == images
    assert tuple(truth["labels"]) == ATTRIBUTES
    boxes = np.array([row[1:] for rows in truth["images"].values() for row in rows])
    assert (boxes >= 0).all()
    assert (boxes <= spec.size).all()
    assert (boxes[:, 2:] > boxes[:, :2]).all()
