"""Files that were made to do harm, or were harmed: they run nothing, read nothing else, and fool nobody.

The second half changes files at random places. A longer run::

    MUTATIONS=10000 pytest tests/test_hostile_files.py --hypothesis-seed=0
"""

from __future__ import annotations

import copy
import json
import math
import os
import pickle
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from detector.cache import CacheError, PartCache
from detector.common.errors import DetectorError
from detector.common.images import ImageError
from detector.common.schema import CHECKSUM_KEY, add_checksum
from detector.extraction.loading import load_detector
from detector.model.dataset import VehiclePartsDataset
from detector.model.voc_xml import AnnotationError, read_annotation
from pgan.apis import load_config
from pgan.datasets import DatasetError
from pgan.datasets.text import read_xml
from pgan.engine import CheckpointError, load_plain
from pgan.evaluation import FeatureSetError, ProjectionError, load_features
from pgan.gallery.errors import GalleryError
from pgan.models import ModelError
from pgan.registry import DATASETS
from tests.hostile_kinds import KINDS, make_cache
from tests.pgan.datasets.layouts import LAYOUTS

MUTATIONS = int(os.environ.get("MUTATIONS", "120"))  # of all kinds of files together
SECONDS = 10  # in which a small file is read, or the reader hangs

OURS = (
    *(AnnotationError, CacheError, CheckpointError, DatasetError, DetectorError),
    *(FeatureSetError, GalleryError, ImageError, ModelError, ProjectionError),
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

_TOKENS = [
    *(b"PK\x03\x04", b"\x93NUMPY", b"1e39", b"1_0"),
    *(b"", b"\0", b"\xff", b"\n", b"\r", b" ", b",", b"-1", b"NaN", b"1e999", b"9" * 30, b"null"),
    *(b"..", b"../../etc/passwd", b"/", b"<!ENTITY a 'b'>", b"&a;", b"<", b"]]>", b'"', b"{", b"["),
    *(b"encoding='utf-7'", b"encoding='zip'", "车".encode("gb18030"), b"\xef\xbb\xbf", b"[" * 5000),
]
# Headers are at the beginning, and what counts zip files' members is at the end.
_PLACE = st.floats(0, 1, exclude_max=True)
_PLACE = st.one_of(_PLACE, _PLACE.map(lambda x: x**9), _PLACE.map(lambda x: (1 - x**9) * 0.999999))
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


# In place of a value of a JSON file; the first takes it out.
_REMOVED = object()
_VALUES = [_REMOVED, None, True, -1, 0, 2.5, 10**30, 1e308, "x", "../x", [], [1], [None] * 3, {}]
_VALUES += [{"x": 1}]
_SWAPS = st.lists(st.tuples(_PLACE, st.sampled_from(_VALUES)), min_size=1, max_size=3)


def reseal(data: bytes, swaps: list[tuple[float, Any]]) -> bytes:
    """Other values in a JSON file, and the checksum that goes with them: somebody meant it."""
    content = json.loads(data)
    del content[CHECKSUM_KEY]
    for place, value in swaps:
        if places := list(_places(content)):
            inside, key = places[int(place * len(places))]
            if value is _REMOVED:
                del inside[key]
            else:
                inside[key] = copy.deepcopy(value)
    return json.dumps(add_checksum(content)).encode()


def _places(inside: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(inside, (dict, list)):
        for key in inside if isinstance(inside, dict) else range(len(inside)):
            yield inside, key
            yield from _places(inside[key])


def harming(examples: int) -> Callable:
    return settings(
        max_examples=examples,
        database=None,
        derandomize="MUTATIONS" not in os.environ,  # the suite is the same every time
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def harmed(file: Path, data: bytes) -> Iterator[None]:
    """Have a file hold this for a while, in which it is read in time, or refused in words."""
    before = file.read_bytes()
    file.write_bytes(data)
    try:
        with time_limit(), suppress(*OURS):
            yield
    finally:
        file.write_bytes(before)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_a_harmed_file_is_refused_in_words_or_read_as_it_was(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = KINDS[name]
    folder = kind.make(tmp_path_factory.mktemp("harmed") / "files")
    files = sorted(file for pattern in kind.harmed for file in folder.rglob(pattern))
    expected = repr(kind.read(folder))

    @harming(math.ceil(MUTATIONS / len(KINDS)))
    @given(st.sampled_from(files), _CHANGES)
    def check(file: Path, changes: list) -> None:
        with harmed(file, harm(file.read_bytes(), changes)):
            answer = kind.read(folder)
            assert not kind.sealed or repr(answer) == expected

    check()


RESEALED = ["manifest", "extraction, merged", "gallery", "gallery's index", "gallery, stopped"]
RESEALED += ["threshold"]


@pytest.mark.parametrize("name", RESEALED)
@pytest.mark.filterwarnings("ignore")
def test_other_values_under_a_valid_checksum_are_refused_in_words_or_read(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = KINDS[name]
    folder = kind.make(tmp_path_factory.mktemp("resealed") / "files")
    texts = (file for file in folder.rglob("*.json") if file.name != "model.json")
    files = sorted(file for file in texts if CHECKSUM_KEY in file.read_text())

    @harming(math.ceil(MUTATIONS / len(KINDS)))
    @given(st.sampled_from(files), _SWAPS)
    def check(file: Path, swaps: list) -> None:
        with harmed(file, reseal(file.read_bytes(), swaps)):
            kind.read(folder)

    check()
