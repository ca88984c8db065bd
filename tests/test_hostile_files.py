"""Files that were made to do harm, or were harmed: they run nothing, read nothing else, and fool nobody.

The second half changes files at random places. A longer run::

    MUTATIONS=10000 pytest tests/test_hostile_files.py --hypothesis-seed=0
"""

from __future__ import annotations

import math
import os
import pickle
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from detector.cache import FILES, MANIFEST, CacheError, PartCache, Parts
from detector.cache_writer import PartCacheWriter
from detector.errors import DetectorError
from detector.extractor import load_detector
from detector.images import ImageError, read_image
from detector.vehicle_parts import VehiclePartsDataset
from detector.voc_xml import AnnotationError, read_annotation
from pgan.apis import load_config
from pgan.datasets import DatasetError
from pgan.datasets.text import read_xml
from pgan.engine import CheckpointError, load_plain
from pgan.evaluation import FeatureSet, FeatureSetError, load_features, save_features
from pgan.registry import DATASETS
from tests.detector.parts_samples import XML
from tests.pgan.datasets.layouts import LAYOUTS

MUTATIONS = int(os.environ.get("MUTATIONS", "120"))  # of all kinds of files together
SECONDS = 10  # in which a small file is read, or the reader hangs

OURS = (
    *(AnnotationError, CacheError, CheckpointError, DatasetError, DetectorError),
    *(FeatureSetError, ImageError),
)


class Harm:
    """Makes a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple:
        return Path.touch, (self.place,)


def test_a_pickle_does_not_run(tmp_path: Path) -> None:
    harm, done = Harm(tmp_path / "done"), tmp_path / "done"
    torch.save({"state_dict": {"w": torch.zeros(1)}, "harm": harm}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(harm))
    config = load_config("configs/detector/ssdlite_resnet_fleet.py")
    for name in ("zip.pth", "plain.pth"):
        with pytest.raises(CheckpointError, match="not opened"):
            load_plain(str(tmp_path / name))
        with pytest.raises(DetectorError, match="not opened"):
            load_detector(config, tmp_path / name, 4, device="cpu")
    cache = make_cache(tmp_path / "cache")
    np.save(cache / "parts.npy", np.array([harm], object), allow_pickle=True)
    with pytest.raises(CacheError):
        PartCache.open(cache)
    np.savez(tmp_path / "features.npz", features=np.array([harm], object))
    with pytest.raises(FeatureSetError):
        load_features(tmp_path / "features.npz")
    assert not done.exists()
    pickle.loads(pickle.dumps(harm))
    assert done.exists()


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    lines = ['<!ENTITY a "lol">']
    lines += [f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij")]
    bomb = "<?xml version='1.0'?><!DOCTYPE annotation [" + "".join(lines) + "]>"
    (tmp_path / "bomb.xml").write_text(bomb + "<annotation>&j;</annotation>")
    (tmp_path / "secret.txt").write_text("secret")
    outside = f"<!DOCTYPE annotation [<!ENTITY s SYSTEM '{tmp_path / 'secret.txt'}'>]>"
    (tmp_path / "outside.xml").write_text(outside + "<annotation>&s;</annotation>")
    for name in ("bomb.xml", "outside.xml"):
        for read, refusal in ((read_annotation, AnnotationError), (read_xml, DatasetError)):
            with pytest.raises(refusal, match=r"entities|not safe") as caught:
                read(tmp_path / name)
            assert "secret " not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../a.jpg", "/etc/passwd", "x/../../a.jpg", "C:/a.jpg", "a\0.jpg"]
)
def test_paths_that_leave_the_data_root_are_refused(tmp_path: Path, name: str) -> None:
    root = tmp_path / "data"
    LAYOUTS["csv"](root)
    (root / "index.csv").write_text(f"path,vehicle_id,split\n{name},1,train\n")
    with pytest.raises(DatasetError, match="inside the data set's folder"):
        DATASETS.build({"type": "CSVDataset", "data_root": str(root)})


@pytest.mark.parametrize("name", ["../x", "/etc/x"])
def test_lists_of_annotations_stay_in_their_folder(tmp_path: Path, name: str) -> None:
    for folder in ("JPEGImages", "Annotations"):
        (tmp_path / folder).mkdir()
    (tmp_path / "train.txt").write_text(name)
    with pytest.raises(AnnotationError, match="must be a name inside"):
        VehiclePartsDataset(data_root=str(tmp_path), ann_file="train.txt")


# What follows harms files at random.


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


def make_checkpoint(folder: Path) -> Path:
    folder.mkdir()
    torch.save({"state_dict": {"w": torch.arange(5.0)}, "meta": {"epoch": 3}}, folder / "a.pth")
    return folder


def read_checkpoint(folder: Path) -> Any:
    found = load_plain(str(folder / "a.pth"))
    return found["state_dict"]["w"].numpy(), found["meta"]


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


TYPES = {
    "csv": "CSVDataset",
    "vehicleid": "VehicleID",
    "vehicle1m": "Vehicle1M",
    "veri776": "VeRi776",
    "veriwild": "VERIWild",
    "vric": "VRIC",
}


def read_lists(kind: str, folder: Path) -> None:
    """Whatever is read, every image is one inside the folder, and has a vehicle."""
    for split in ("train", "test"):
        dataset = DATASETS.build({"type": kind, "data_root": str(folder), "split": split})
        assert len(dataset) > 0
        for record in dataset.data_list:
            file = Path(os.path.normpath(folder / record["img_path"]))
            assert file.is_relative_to(folder)
            assert file.is_file()
            assert record["vehicle_id"] >= 0


class Kind(NamedTuple):
    """A kind of files: how to make one, which of its files to harm, how to read it."""

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    harmed: tuple[str, ...]
    sealed: bool  # a checksum tells whatever has changed


KINDS = {
    "part cache": Kind(make_cache, read_cache, (*FILES, MANIFEST), True),
    "manifest": Kind(make_cache, read_cache, (MANIFEST,), True),
    "features": Kind(make_features, read_features, ("features.npz",), True),
    "checkpoint": Kind(make_checkpoint, read_checkpoint, ("a.pth",), True),
    "annotation": Kind(make_annotation, read_boxes, ("a.xml",), False),
    "JPEG": Kind(lambda f: make_image(f, ".jpg"), read_pixels, ("a.jpg",), False),
    "PNG": Kind(lambda f: make_image(f, ".png"), read_pixels, ("a.png",), False),
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

_TOKENS = [
    *(b"", b"\0", b"\xff", b"\n", b"\r", b" ", b",", b"-1", b"NaN", b"1e999", b"9" * 30, b"null"),
    *(b"..", b"../../etc/passwd", b"/", b"<!ENTITY a 'b'>", b"&a;", b"<", b"]]>", b'"', b"{", b"["),
    *(b"encoding='utf-7'", b"encoding='zip'", "车".encode("gb18030"), b"\xef\xbb\xbf", b"[" * 5000),
]
_PLACE = st.floats(0, 1, exclude_max=True)
_CHANGES = st.lists(
    st.tuples(
        st.sampled_from(["set", "insert", "cut", "repeat", "end"]),
        _PLACE,
        st.one_of(st.sampled_from(_TOKENS), st.binary(max_size=8)),
        st.integers(1, 40),
    ),
    min_size=1,
    max_size=4,
)


def harm(data: bytes, changes: list[tuple[str, float, bytes, int]]) -> bytes:
    for how, place, token, length in changes:
        at = int(place * (len(data) + 1))
        before, after = data[:at], data[at:]
        data = {
            "set": before + token + after[len(token) :],
            "insert": before + token + after,
            "cut": before + after[length:],
            "repeat": before + after[:length] * 3 + after[length:],
            "end": before,
        }[how]
    return data


@contextmanager
def time_limit() -> Iterator[None]:
    def stop(*_: Any) -> None:
        raise AssertionError(f"not read within {SECONDS} seconds")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_a_harmed_file_is_refused_in_words_or_read_as_it_was(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = KINDS[name]
    place = tmp_path_factory.mktemp("harmed")
    whole = kind.make(place / "whole")
    files = sorted(file for pattern in kind.harmed for file in whole.rglob(pattern))
    expected = repr(kind.read(whole))
    copy = place / "copy"
    shutil.copytree(whole, copy)

    @settings(
        max_examples=math.ceil(MUTATIONS / len(KINDS)),
        database=None,
        derandomize="MUTATIONS" not in os.environ,  # the suite is the same every time
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.sampled_from(files), _CHANGES)
    def check(file: Path, changes: list) -> None:
        harmed = copy / file.relative_to(whole)
        harmed.write_bytes(harm(file.read_bytes(), changes))
        try:
            with time_limit():
                answer = kind.read(copy)
        except OURS:
            pass
        else:
            assert not kind.sealed or repr(answer) == expected
        finally:
            harmed.write_bytes(file.read_bytes())

    check()
