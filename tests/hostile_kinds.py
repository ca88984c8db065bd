"""Kinds of files that are corrupted at random: how each is written, and how all its content is read."""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import pytest
from PIL import Image

from detector.cache import PartCache, Parts
from detector.cache.formats.authors_masks import import_masks
from detector.cache.formats.authors_text import import_text
from detector.cache.layout import FILES, MANIFEST, PLAN
from detector.cache.merge import merge
from detector.cache.writer import PartCacheWriter
from detector.common.images import read_image
from detector.model.voc_xml import read_annotation
from pgan.evaluation import (
    FeatureProjection,
    FeatureSet,
    load_features,
    load_projection,
    save_features,
    save_projection,
)
from pgan.gallery.adding import add
from pgan.gallery.info import describe, threshold_of
from pgan.gallery.part_source import PartSource
from pgan.gallery.results import as_json, query_results
from pgan.gallery.search import Query, Searcher, build
from pgan.gallery.store import Entry, Gallery
from pgan.gallery.threshold import Curve, Threshold
from pgan.gallery.times import Time
from pgan.registry import DATASETS
from tests.detector.parts_samples import XML
from tests.hostile_checkpoints import (
    convert,
    make_authors_checkpoint,
    make_backbone,
    make_checkpoint,
    make_detector,
    read_backbone,
    read_checkpoint,
    read_detector,
)
from tests.pgan.datasets.layouts import LAYOUTS
from tests.pgan.gallery.conftest import FakeEmbedder, annotations, draw


def make_cache(folder: Path) -> Path:
    """A part cache of three images, one of them unreadable."""
    identity = {"classes": ["wheel", "plate"], "max_parts": 2}
    writer = PartCacheWriter(folder, ["a.jpg", "b/c.jpg", "d.jpg"], identity)
    boxes = np.array([[1, 2, 30, 40], [5, 5, 9, 9.5]], np.float32)
    found = Parts(boxes, np.array([0.9, 0.5], np.float32), np.array([1, 0]), (48, 64))
    writer.write(0, [found, "the file is empty", found.first(1)])
    writer.finish()
    return folder


def read_cache(folder: Path) -> Any:
    cache = PartCache.open(folder)
    cache.verify()
    known = [name for name in cache.images() if name not in cache.failed]
    return cache.classes, cache.failed, [(name, cache.parts(name)) for name in known]


def make_features(folder: Path) -> Path:
    folder.mkdir()
    ids = np.array([1, 1])
    names = np.array(["a.jpg", "b.jpg"])
    features = np.eye(2, 3, dtype=np.float32)
    roles = np.array(["query", "gallery"])
    save_features(folder / "features.npz", FeatureSet(features, ids, ids, roles, names))
    return folder


def read_features(folder: Path) -> Any:
    found = load_features(folder / "features.npz")
    return [found.features, found.vehicle_ids, found.camera_ids, found.roles, found.img_paths]


def make_annotation(folder: Path) -> Path:
    folder.mkdir()
    box = "<bndbox><xmin>3</xmin><ymin>4</ymin><xmax>9</xmax><ymax>12</ymax></bndbox>"
    objects = f"<object><name>wheel</name><difficult>0</difficult>{box}</object>" * 2
    text = XML.format(filename="a.png", height=48, width=64, objects=objects)
    (folder / "a.xml").write_text(text)
    return folder


def read_boxes(folder: Path) -> None:
    for item in read_annotation(folder / "a.xml").objects:
        assert item.name
        assert all(map(math.isfinite, item.box))


def make_image(folder: Path, suffix: str) -> Path:
    folder.mkdir()
    pixels = np.random.default_rng(0).integers(0, 255, (12, 20, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / f"a{suffix}")
    return folder


def read_pixels(folder: Path) -> None:
    image = read_image(next(folder.iterdir()))
    assert image.dtype == np.uint8
    assert image.ndim == 3


def make_extraction(folder: Path, images: int = 5) -> Path:
    """An extraction whose shards are all written, but not merged."""
    writer = begin_extraction(folder, images)
    writer.take()
    for index in writer.pending():
        writer.write(index, [found_in(image) for image in writer.shard(index)])
    writer.shards.release()
    return folder


def begin_extraction(folder: Path, images: int = 5) -> PartCacheWriter:
    identity = {"classes": ["wheel", "plate"], "max_parts": 2}
    names = [f"{i}/车.jpg" for i in range(images)]
    return PartCacheWriter(folder, names, identity, {"config": "model = 1"}, shard_size=2)


def found_in(image: str) -> Parts | str:
    number = int(image.split("/")[0])
    if number == 3:
        return "the file is empty"
    boxes = np.array([[1, 2, 30 + number, 40]], np.float32)
    return Parts(boxes, np.array([0.9], np.float32), np.array([number % 2]), (48, 64))


def merge_extraction(folder: Path) -> Any:
    with TemporaryDirectory(dir=folder.parent) as place:
        cache = merge([folder], Path(place) / "cache")
        return cache.manifest.get("config"), read_cache(cache.path)


def resume_extraction(folder: Path) -> Any:
    """Run the same extraction again, which repeats what is damaged."""
    with TemporaryDirectory(dir=folder.parent) as place:
        copy = shutil.copytree(folder, Path(place) / "cache")
        cache = begin_extraction(copy).fill(found_in, progress=False)
        return cache.manifest.get("config"), read_cache(cache.path)


def make_authors_files(folder: Path) -> Path:
    """Three images, with text files and mask files in the authors' format."""
    rng = np.random.default_rng(0)
    for number in range(3):
        for kind in ("images", "masks", "boxes"):
            (folder / kind / "train").mkdir(parents=True, exist_ok=True)
        name = f"train/{number}"
        Image.new("RGB", (40, 30)).save(folder / "images" / f"{name}.png")
        np.save(folder / "masks" / f"{name}.npy", rng.integers(0, 2, (number + 1, 4, 4), np.uint8))
        line = f"wheel 0.{9 - number} 1 2 11.5 12\nplate 0.25 -3 20 50 29.5\n"
        (folder / "boxes" / f"{name}.txt").write_text(line * number)
    return folder


def read_texts(folder: Path) -> None:
    with TemporaryDirectory(dir=folder.parent) as place:
        out = Path(place) / "cache"
        cache, _ = import_text(folder / "boxes", folder / "images", out, progress=False)
        for image in cache.images():
            parts = cache.parts(image)
            assert np.isfinite(parts.scores).all()
            assert (np.diff(parts.scores) <= 0).all()
            assert ((parts.boxes >= 0) & (parts.boxes <= (40, 30, 40, 30))).all()
            assert all(cache.classes[label].isprintable() for label in parts.labels)


def read_mask_files(folder: Path) -> None:
    """Masks have the size that the header states and the file has, and their cells are 0 or 1."""
    with TemporaryDirectory(dir=folder.parent) as place:
        out = Path(place) / "cache"
        cache, _ = import_masks(folder / "masks", folder / "images", out, progress=False)
        for image in cache.images():
            with (folder / "masks" / image.replace(".png", ".npy")).open("rb") as file:
                masks = np.load(file)
                assert not file.read()
            found = cache.masks(image, None, cache.mask_size)
            assert np.array_equal(found, masks[::-1] > 0)


def make_gallery(folder: Path, vehicles: int = 2, images: int = 4) -> Path:
    add(folder, FakeEmbedder(), annotations(vehicles, images), PartSource())
    make_threshold(folder)
    return folder


def make_indexed_gallery(folder: Path) -> Path:
    """A gallery with an approximate index, which needs 256 images."""
    make_gallery(folder, 6, 50)
    build(Gallery.open(folder), "hnsw")
    return folder


def search_gallery(folder: Path) -> Any:
    gallery = Gallery.open(folder)
    searcher = Searcher(gallery)
    threshold = threshold_of(gallery)
    query = Query(draw("v1"), Entry("query.jpg", "", "", Time()))
    limit = threshold.distance if threshold else None
    found = query_results(gallery, [query], searcher.search([query], 5), limit)
    description = "\n".join(
        line for line in describe(gallery).splitlines() if "index: " not in line
    )
    return description, as_json(gallery, found, limit, {}), gallery.model


def stop_adding(folder: Path) -> Path:
    """An interrupted addition, with finished shards of two images each."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pgan.gallery.adding.SHARD_ROWS", 2)
        with pytest.raises(KeyboardInterrupt):
            add(folder, FakeEmbedder(stop_after=5), annotations(2), PartSource())
    return folder


def resume_adding(folder: Path) -> Any:
    with TemporaryDirectory(dir=folder.parent) as place:
        copy = shutil.copytree(folder, Path(place) / "gallery")
        add(copy, FakeEmbedder(), annotations(2), PartSource())
        gallery = Gallery.open(copy)
        rows = sorted(range(len(gallery)), key=lambda row: gallery.paths[row])
        return gallery.features(rows).tobytes(), gallery.entries(rows), gallery.model


def make_threshold(folder: Path) -> Path:
    curve = Curve([0.1, 0.5, 1.5], [0.0, 0.001, 0.5], [0.1, 0.8, 1.0])
    rates = 0.001, 0.0009, 0.75
    Threshold(0.5, *rates, 700, 9000, {"name": "cross-camera"}, "a set", curve).save(
        folder / "threshold.json"
    )
    return folder


def read_threshold(folder: Path) -> Any:
    threshold = Threshold.load(folder / "threshold.json")
    return threshold, threshold.describe()


def make_projection(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    arrays = (rng.random(shape, np.float32) for shape in (6, (3, 6), 3))
    made = FeatureProjection(
        *arrays, whiten=True, num_features=50, variance_kept=0.9, model="m" * 64
    )
    save_projection(folder / "projection.npz", made)
    return folder


def read_projection(folder: Path) -> Any:
    projection = load_projection(folder / "projection.npz")
    features = np.eye(4, 6, dtype=np.float32)
    rows = FeatureSet(features, *([np.arange(4)] * 4), model=projection.model)
    return projection.dataset, str(projection), projection.project(rows)


TYPES = {
    "csv": "CSVDataset",
    "vehicleid": "VehicleID",
    "vehicle1m": "Vehicle1M",
    "veri776": "VeRi776",
    "veriwild": "VERIWild",
    "vric": "VRIC",
}


def read_lists(kind: str, folder: Path) -> None:
    """Every image that is read lies inside the folder and has a vehicle."""
    for split in ("train", "test"):
        dataset = DATASETS.build({"type": kind, "data_root": str(folder), "split": split})
        assert len(dataset) > 0
        for record in dataset.data_list:
            file = Path(os.path.normpath(folder / record["img_path"]))
            assert file.is_relative_to(folder)
            assert file.is_file()
            assert record["vehicle_id"] >= 0


class Kind(NamedTuple):
    """A kind of files.

    Attributes:
        make: Writes the files.
        read: Reads all their content.
        corrupted: Patterns of the files to corrupt.
        checksummed: Whether checksums reveal every change.
    """

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    corrupted: tuple[str, ...]
    checksummed: bool


_EXTRACTION = (PLAN, "*.npy", "shard-*.json")
_GALLERY = ("gallery.json", "threshold.json", "shard-*")
KINDS = {
    "part cache": Kind(make_cache, read_cache, (*FILES, MANIFEST), True),
    "manifest": Kind(make_cache, read_cache, (MANIFEST,), True),
    "features": Kind(make_features, read_features, ("features.npz",), True),
    "checkpoint": Kind(make_checkpoint, read_checkpoint, ("a.pth",), True),
    "detector's checkpoint": Kind(make_detector, read_detector, ("detector.pth",), True),
    "backbone": Kind(lambda f: make_backbone(f, True), read_backbone, ("a.pth",), True),
    "backbone, older format": Kind(
        lambda f: make_backbone(f, False), read_backbone, ("a.pth",), False
    ),
    "annotation": Kind(make_annotation, read_boxes, ("a.xml",), False),
    "JPEG": Kind(lambda f: make_image(f, ".jpg"), read_pixels, ("a.jpg",), False),
    "PNG": Kind(lambda f: make_image(f, ".png"), read_pixels, ("a.png",), False),
    "extraction, merged": Kind(make_extraction, merge_extraction, _EXTRACTION, True),
    "extraction, resumed": Kind(make_extraction, resume_extraction, _EXTRACTION, True),
    "authors' texts": Kind(make_authors_files, read_texts, ("*.txt",), False),
    "authors' masks": Kind(make_authors_files, read_mask_files, ("*.npy",), False),
    "authors' checkpoint": Kind(
        make_authors_checkpoint, lambda f: convert(f, "theirs.pth", "ours"), ("theirs.pth",), False
    ),
    "converted checkpoint": Kind(
        make_authors_checkpoint, lambda f: convert(f, "ours.pth", "authors"), ("ours.pth",), True
    ),
    "gallery": Kind(make_gallery, search_gallery, _GALLERY, True),
    "gallery's index": Kind(
        make_indexed_gallery, search_gallery, ("index.npz", "built.json"), True
    ),
    "gallery, stopped": Kind(stop_adding, resume_adding, ("shard-*",), True),
    "threshold": Kind(make_threshold, read_threshold, ("threshold.json",), True),
    "projection": Kind(make_projection, read_projection, ("projection.npz",), True),
    **{
        name: Kind(
            LAYOUTS[name],
            lambda folder, kind=kind: read_lists(kind, folder),
            ("*.txt", "*.xml", "*.csv"),
            False,
        )
        for name, kind in TYPES.items()
    },
}
