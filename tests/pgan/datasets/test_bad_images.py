"""An unreadable image stops training, or is replaced if ``max_bad`` allows it."""

from __future__ import annotations

import hashlib
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from detector.cache import Parts
from detector.cache.writer import PartCacheWriter
from detector.common.images import ImageError
from pgan.cli.errors import error_sentence as sentence
from pgan.datasets import DatasetError
from pgan.datasets.csv_dataset import CSVDataset
from pgan.datasets.reid_union import ReIDUnion
from tests.detector.common.test_bad_images import bad_images, unusual_images

PIPELINE = [
    {"type": "LoadReIDImage"},
    {"type": "torchvision/Resize", "size": (8, 8)},
    {"type": "ToFloat"},
    {"type": "PackReID"},
]
VEHICLES = {"a": 3, "b": 2, "c": 1}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Vehicles a, b and c with 3, 2 and 1 images, each of a different grey."""
    rows, level = ["path,vehicle_id,split"], 0
    for vehicle, count in VEHICLES.items():
        for number in range(count):
            level += 40
            cv2.imwrite(str(tmp_path / f"{vehicle}{number}.png"), np.full((9, 9, 3), level))
            rows.append(f"{vehicle}{number}.png,{vehicle},train")
    rows += ["a0.png,a,query", "a1.png,a,gallery"]
    (tmp_path / "index.csv").write_text("\n".join(rows))
    return tmp_path


def dataset(root: Path, **settings: object) -> CSVDataset:
    return CSVDataset(str(root), **{"pipeline": PIPELINE, **settings})


def paths(samples: list[dict]) -> list[str]:
    return [sample["data_samples"].img_path for sample in samples]


@pytest.mark.parametrize("name", bad_images())
def test_bad_image_stops_training_with_its_name_and_the_fix(root: Path, name: str) -> None:
    data, words = bad_images()[name]
    (root / "a1.png").write_bytes(data)
    with pytest.raises(DatasetError, match=rf"a1\.png: .*{words}.*max_bad=1") as caught:
        dataset(root)[1]
    assert len(str(caught.value).splitlines()) == 1
    assert (root / "a1.png").read_bytes() == data


@pytest.mark.parametrize("name", unusual_images())
def test_getitem_reads_unusual_image(root: Path, name: str) -> None:
    data, _ = unusual_images()[name]
    (root / "a1.png").write_bytes(data)
    before = hashlib.sha256(data).digest()
    assert dataset(root)[1]["inputs"].shape == (3, 8, 8)
    assert hashlib.sha256((root / "a1.png").read_bytes()).digest() == before


@pytest.mark.parametrize("shape", [(1, 1, 3), (9, 9)])
def test_getitem_reads_single_pixel_and_grey_images(root: Path, shape: tuple[int, ...]) -> None:
    cv2.imwrite(str(root / "a1.png"), np.full(shape, 51, np.uint8))
    inputs = dataset(root)[1]["inputs"]
    assert torch.allclose(inputs, torch.full((3, 8, 8), 0.2), atol=1e-6)


def test_dataloader_worker_passes_error_message_on(root: Path) -> None:
    (root / "b0.png").write_bytes(b"")
    loader = DataLoader(dataset(root), 6, num_workers=1, collate_fn=list)
    with pytest.raises(DatasetError) as caught:
        list(loader)
    words = sentence(caught.value)
    assert words.startswith(str(root / "b0.png"))
    assert "is empty" in words
    loader = DataLoader(dataset(root, split="test"), 6, num_workers=1, collate_fn=list)
    (root / "a0.png").write_bytes(b"")
    with pytest.raises(ImageError) as caught:
        list(loader)
    assert sentence(caught.value) == f"{root / 'a0.png'}: the file is empty"


def test_getitem_replaces_bad_image_with_next_of_vehicle(root: Path) -> None:
    for name in ("a1", "b1"):
        (root / f"{name}.png").write_bytes(b"?")
    samples = dataset(root, max_bad=2)
    for _ in range(2):  # the second pass counts no file again
        found = [samples[index] for index in range(6)]
        assert paths(found) == ["a0.png", "a2.png", "a2.png", "b0.png", "b0.png", "c0.png"]
        assert [sample["data_samples"].vehicle_label for sample in found] == [0, 0, 0, 1, 1, 2]
    assert torch.equal(found[1]["inputs"], found[2]["inputs"])
    strict = dataset(root, max_bad=1)
    assert paths([strict[1]]) == ["a2.png"]
    with pytest.raises(DatasetError, match=r"b1\.png.*max_bad=2"):
        strict[4]


def test_getitem_refuses_vehicle_without_readable_image(root: Path) -> None:
    (root / "c0.png").write_bytes(b"?")
    with pytest.raises(DatasetError, match=r"c0\.png.*no other image of its vehicle"):
        dataset(root, max_bad=9)[5]


def test_init_refuses_max_bad_for_test_split(root: Path) -> None:
    with pytest.raises(DatasetError, match="max_bad"):
        dataset(root, split="test", max_bad=1)


def test_image_that_extraction_could_not_read_is_replaced_too(root: Path, tmp_path: Path) -> None:
    names = [f"{vehicle}{i}.png" for vehicle, count in VEHICLES.items() for i in range(count)]
    writer = PartCacheWriter(tmp_path / "cache", names, {"classes": ["wheel"], "max_parts": 2})
    found = Parts(
        np.array([[1, 1, 4, 4]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64), (9, 9)
    )
    writer.write(0, ["is damaged" if name == "a1.png" else found for name in writer.images])
    writer.finish()
    parts = {"part_cache": str(tmp_path / "cache"), "num_parts": 2}
    words = r"could not be read when .* a1\.png \(is damaged\).*train_dataloader\.dataset\.max_bad=1 or more"
    with pytest.raises(DatasetError, match=words):
        dataset(root, **parts).full_init()
    sample = dataset(root, max_bad=1, **parts)[1]["data_samples"]
    assert sample.img_path == "a2.png"
    assert sample.part_boxes[0].any()


def test_union_replaces_bad_image_within_its_member(root: Path) -> None:
    (root / "a1.png").write_bytes(b"?")
    member = {"type": "CSVDataset", "data_root": str(root)}
    union = ReIDUnion([member, member], pipeline=PIPELINE, max_bad=1)
    assert paths([union[1], union[7]]) == ["a2.png", "a2.png"]
    assert [union[i]["data_samples"].vehicle_label for i in (1, 7)] == [0, 3]
    with pytest.raises(DatasetError, match=r"a1\.png"):
        ReIDUnion([member], pipeline=PIPELINE)[1]
