"""Malicious and corrupted files: reading them runs no code, opens no other file and gives no wrong result.

The second half corrupts files at random places. A longer run:

    MUTATIONS=10000 pytest tests/test_hostile_files.py --hypothesis-seed=0
"""

from __future__ import annotations

import copy
import dataclasses
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

pytestmark = pytest.mark.slow

MUTATIONS = int(os.environ.get("MUTATIONS", "120"))  # for all kinds of files together
SECONDS = 10  # to read a small file; longer means that the reader hangs

DOCUMENTED_ERRORS = (
    *(AnnotationError, CacheError, CheckpointError, DatasetError, DetectorError),
    *(FeatureSetError, GalleryError, ImageError, ModelError, ProjectionError),
)


class Payload:
    """Creates a file when it is unpickled."""

    def __init__(self, place: Path) -> None:
        self.place = place

    def __reduce__(self) -> tuple:
        return Path.touch, (self.place,)


def test_readers_do_not_run_pickles(tmp_path: Path) -> None:
    payload, done = Payload(tmp_path / "done"), tmp_path / "done"
    torch.save({"state_dict": {"w": torch.zeros(1)}, "payload": payload}, tmp_path / "zip.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(payload))
    config = load_config("configs/detector/ssdlite_resnet_fleet.py")
    for name in ("zip.pth", "plain.pth"):
        with pytest.raises(CheckpointError, match="not opened"):
            load_plain(str(tmp_path / name))
        with pytest.raises(DetectorError, match="not opened"):
            load_detector(config, tmp_path / name, 4, device="cpu")
    cache = make_cache(tmp_path / "cache")
    np.save(cache / "parts.npy", np.array([payload], object), allow_pickle=True)
    with pytest.raises(CacheError):
        PartCache.open(cache)
    np.savez(tmp_path / "features.npz", features=np.array([payload], object))
    with pytest.raises(FeatureSetError):
        load_features(tmp_path / "features.npz")
    assert not done.exists()
    pickle.loads(pickle.dumps(payload))
    assert done.exists()


def test_xml_readers_do_not_expand_entities(tmp_path: Path) -> None:
    lines = ['<!ENTITY a "lol">']
    lines += [f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefghi", "bcdefghij")]
    bomb = "<?xml version='1.0'?><!DOCTYPE annotation [" + "".join(lines) + "]>"
    (tmp_path / "bomb.xml").write_text(bomb + "<annotation>&j;</annotation>")
    (tmp_path / "secret.txt").write_text("secret")
    outside = f"<!DOCTYPE annotation [<!ENTITY s SYSTEM '{tmp_path / 'secret.txt'}'>]>"
    (tmp_path / "outside.xml").write_text(outside + "<annotation>&s;</annotation>")
    for name in ("bomb.xml", "outside.xml"):
        for read, error_type in ((read_annotation, AnnotationError), (read_xml, DatasetError)):
            with pytest.raises(error_type, match=r"entities|not safe") as caught:
                read(tmp_path / name)
            assert "secret " not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["../a.jpg", "/etc/passwd", "x/../../a.jpg", "C:/a.jpg", "a\0.jpg"]
)
def test_csv_dataset_raises_for_paths_outside_the_data_root(tmp_path: Path, name: str) -> None:
    root = tmp_path / "data"
    LAYOUTS["csv"](root)
    (root / "index.csv").write_text(f"path,vehicle_id,split\n{name},1,train\n")
    with pytest.raises(DatasetError, match="inside the data set's folder"):
        DATASETS.build({"type": "CSVDataset", "data_root": str(root)})


@pytest.mark.parametrize("name", ["../x", "/etc/x"])
def test_parts_dataset_raises_for_annotations_outside_its_folder(tmp_path: Path, name: str) -> None:
    for folder in ("JPEGImages", "Annotations"):
        (tmp_path / folder).mkdir()
    (tmp_path / "train.txt").write_text(name)
    with pytest.raises(AnnotationError, match="must be a name inside"):
        VehiclePartsDataset(data_root=str(tmp_path), ann_file="train.txt")


# --- files that are corrupted at random ---------------------------------------------------------

_TOKENS = [
    *(b"PK\x03\x04", b"\x93NUMPY", b"1e39", b"1_0"),
    *(b"", b"\0", b"\xff", b"\n", b"\r", b" ", b",", b"-1", b"NaN", b"1e999", b"9" * 30, b"null"),
    *(b"..", b"../../etc/passwd", b"/", b"<!ENTITY a 'b'>", b"&a;", b"<", b"]]>", b'"', b"{", b"["),
    *(b"encoding='utf-7'", b"encoding='zip'", "车".encode("gb18030"), b"\xef\xbb\xbf", b"[" * 5000),
]
# Headers are at the beginning of a file, and the directory of a zip archive is at its end.
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


def corrupt(data: bytes, changes: list[tuple[str, float, bytes, int]]) -> bytes:
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


# Replacements for a value of a JSON file; the first removes it.
_REMOVED = object()
_VALUES = [_REMOVED, None, True, -1, 0, 2.5, 10**30, 1e308, "x", "../x", [], [1], [None] * 3, {}]
_VALUES += [{"x": 1}]
_SWAPS = st.lists(st.tuples(_PLACE, st.sampled_from(_VALUES)), min_size=1, max_size=3)


def replace_values(data: bytes, swaps: list[tuple[float, Any]]) -> bytes:
    """Replace values of a JSON file and write a valid checksum, as an attacker would."""
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


def random_changes(examples: int) -> Callable:
    return settings(
        max_examples=examples,
        database=None,
        derandomize="MUTATIONS" not in os.environ,  # every run of the suite is the same
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )


@contextmanager
def corrupted(file: Path, data: bytes) -> Iterator[None]:
    """Replace the content of a file; reading it must end in time, with a result or a documented error."""
    before = file.read_bytes()
    file.write_bytes(data)
    try:
        with time_limit(), suppress(*DOCUMENTED_ERRORS):
            yield
    finally:
        file.write_bytes(before)


def exact(value: Any) -> Any:
    """Built-in values that are equal only if two results are, since `repr` shortens arrays and parts."""
    if isinstance(value, np.ndarray):
        return value.dtype.str, value.shape, value.tobytes()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return type(value).__name__, {
            f.name: exact(getattr(value, f.name)) for f in dataclasses.fields(value)
        }
    if isinstance(value, dict):
        return {key: exact(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [exact(inner) for inner in value]
    return repr(value)


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_readers_refuse_a_corrupted_file_or_read_its_original_content(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = KINDS[name]
    folder = kind.make(tmp_path_factory.mktemp("corrupted") / "files")
    files = sorted(file for pattern in kind.corrupted for file in folder.rglob(pattern))
    expected = exact(kind.read(folder))

    @random_changes(math.ceil(MUTATIONS / len(KINDS)))
    @given(st.sampled_from(files), _CHANGES)
    def check(file: Path, changes: list) -> None:
        with corrupted(file, corrupt(file.read_bytes(), changes)):
            answer = kind.read(folder)
            assert not kind.checksummed or exact(answer) == expected

    check()


CHECKSUMMED = ["manifest", "extraction, merged", "gallery", "gallery's index", "gallery, stopped"]
CHECKSUMMED += ["threshold"]


@pytest.mark.parametrize("name", CHECKSUMMED)
@pytest.mark.filterwarnings("ignore")
def test_readers_refuse_or_read_other_values_with_a_valid_checksum(
    name: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    kind = KINDS[name]
    folder = kind.make(tmp_path_factory.mktemp("replaced") / "files")
    texts = (file for file in folder.rglob("*.json") if file.name != "model.json")
    files = sorted(file for file in texts if CHECKSUM_KEY in file.read_text())

    @random_changes(math.ceil(MUTATIONS / len(KINDS)))
    @given(st.sampled_from(files), _SWAPS)
    def check(file: Path, swaps: list) -> None:
        with corrupted(file, replace_values(file.read_bytes(), swaps)):
            kind.read(folder)

    check()
