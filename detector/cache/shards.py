"""The folder of an unfinished part cache: its plan, its shards, and which process works on which shard.

Its layout::

    CACHE/
    ├── extraction.json              what is being extracted
    ├── names.npy, offsets.npy       from which images, as in the finished cache
    ├── shard-00000.npy, .json       records of a finished shard; their checksum and the failed images
    └── .lock                        byte k is locked by the process that works on shard k, and a byte far
    behind
                                     them by a process that is starting

Processes share only this folder. A lock ends with its process, however it ends, and is not inherited by the
workers that read images, so a killed process does not block the next one.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from detector.cache.layout import (
    FILES,
    MANIFEST,
    PLAN,
    CacheError,
    decode_name,
    encode_name,
    read_json,
)
from detector.common.files import temporary_files, write_atomically
from detector.common.locks import lock_bytes
from detector.common.schema import add_checksum, fits

LOCK = ".lock"
_BEGIN = 2**30  # the byte that a starting process locks
_NAMES = ("names.npy", "offsets.npy")
_SHARD = r"shard-\d{5,}\.(?:npy|json)"
_OURS = "|".join([_SHARD, *map(re.escape, (MANIFEST, PLAN, *FILES))])  # anything else is a user's
_FACTS = {"plan_sha256": str, "sha256": str, "failed": {str: str}}  # of a shard


class ShardFolder:
    """The shards of one plan in one folder.

    Args:
        path: Folder.
        plan: What is being extracted; has ``num_images`` and ``shard_size``.

    Attributes:
        path (Path): The folder.
    """

    def __init__(self, path: Path, plan: dict[str, Any]) -> None:
        self.path = path
        self._number = -(-plan["num_images"] // plan["shard_size"])
        # A shard of another plan, such as one with another shard size, does not count.
        keys = ("identity", "images_sha256", "shard_size")
        text = json.dumps({key: plan[key] for key in keys}, sort_keys=True)
        self._plan_sha256 = hashlib.sha256(text.encode()).hexdigest()
        self._lock: int | None = None

    def __len__(self) -> int:
        return self._number

    def file(self, index: int, suffix: str) -> Path:
        """Return the path of a shard's ``npy`` or ``json`` file."""
        return self.path / f"shard-{index:05d}.{suffix}"

    def write(self, index: int, records: np.ndarray, failed: dict[str, str]) -> None:
        """Store a finished shard: the records, then the JSON file that makes it valid.

        Raises:
            CacheError: The folder cannot be written to.
        """
        data = _npy_bytes(records)
        facts = {
            "schema": 1,
            "plan_sha256": self._plan_sha256,
            "sha256": hashlib.sha256(data).hexdigest(),
            "failed": failed,
        }
        write_file(self.file(index, "npy"), lambda file: file.write(data))
        write_json(self.file(index, "json"), facts)

    def read(self, index: int) -> tuple[np.ndarray, dict[str, str]] | None:
        """Return a shard's records and failed images; None if it is missing, damaged or of another plan."""
        try:
            facts = read_json(self.file(index, "json"))
            data = self.file(index, "npy").read_bytes()
        except (FileNotFoundError, CacheError):
            return None
        if not fits(facts, _FACTS):
            return None
        known = (facts["plan_sha256"], facts["sha256"])
        if known != (self._plan_sha256, hashlib.sha256(data).hexdigest()):
            return None
        return np.load(io.BytesIO(data), allow_pickle=False), facts["failed"]

    def num_failed(self) -> int:
        """Return the number of failed images in all finished shards."""
        shards = map(self.read, range(len(self)))
        return sum(len(shard[1]) for shard in shards if shard)

    def take(self, shards: range) -> bool:
        """Lock some shards for this process; return False if another process has one of them.

        Raises:
            CacheError: The folder cannot be written to, or its file system does not lock.
        """
        if not len(shards):
            return True
        with writing_to(self.path):
            if self._lock is None:
                self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
            return lock_bytes(self._lock, shards.start, len(shards))

    def release(self) -> None:
        """Release the locks of all shards."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def sweep(self) -> None:
        """Remove temporary files of killed writers; call it only while all shards are locked."""
        for file in temporary_files(self.path, _OURS):
            file.unlink(missing_ok=True)

    def remove(self) -> None:
        """Remove shards, plan, temporary files and lock of a finished cache."""
        with writing_to(self.path):
            shards = [file for file in self.path.iterdir() if re.fullmatch(_SHARD, file.name)]
            left = [*shards, *temporary_files(self.path, _OURS), self.path / PLAN, self.path / LOCK]
            for file in left:
                if file.exists():
                    file.unlink(missing_ok=True)
        self.release()


@contextmanager
def beginning(folder: Path) -> Iterator[None]:
    """Start in a folder alone: another starting process waits, and then finds the plan.

    It must not be used while this process holds shards of the folder: the system would release their locks
    too.

    Raises:
        CacheError: The folder cannot be written to, or its file system does not lock.
    """
    with writing_to(folder):
        folder.mkdir(parents=True, exist_ok=True)
        lock = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        with writing_to(folder):
            lock_bytes(lock, _BEGIN, 1, wait=True)
        yield
    finally:
        os.close(lock)


def write_names(folder: Path, images: Sequence[str]) -> None:
    """Write the images' names in the format of a finished cache."""
    names = [encode_name(image) for image in images]
    write_array(folder / _NAMES[0], np.frombuffer(b"".join(names), np.uint8))
    write_array(folder / _NAMES[1], np.cumsum([0, *map(len, names)], dtype="<i8"))


def read_names(folder: Path) -> list[str]:
    """Read the names written by `write_names`.

    Raises:
        CacheError: The files are missing or damaged.
    """
    try:
        names, offsets = (np.load(folder / name, allow_pickle=False) for name in _NAMES)
        data = names.tobytes()
        return [decode_name(data[a:b]) for a, b in pairwise(offsets)]
    except Exception as error:  # numpy raises many kinds for a broken file
        raise CacheError(
            f"{folder} lacks its list of images ({error}): run its extraction again, which restores it"
        ) from None


def is_fresh(folder: Path) -> bool:
    """Return whether a folder holds at most what a writer that was killed at its start leaves."""
    if not folder.is_dir():
        return False
    # Listed first: a temporary file that appears later is not among them.
    there = set(folder.iterdir())
    return there <= {folder / LOCK, *temporary_files(folder, re.escape(PLAN))}


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array as ``.npy`` in one step."""
    write_file(path, lambda file: np.save(file, array, allow_pickle=False))


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write plain values in one step, with their checksum, in ASCII: file names that are no UTF-8 survive."""
    text = json.dumps(add_checksum(content), indent=1)
    write_file(path, lambda file: file.write(text.encode("ascii")))


def write_file(path: Path, write: Callable[[BinaryIO], Any]) -> None:
    """Write a file of the cache: it is whole or not there.

    Raises:
        CacheError: The disk is full, or the folder cannot be written to.
    """
    with writing_to(path.parent):
        write_atomically(path, write)


@contextmanager
def writing_to(folder: Path) -> Iterator[None]:
    """Say in one sentence that a folder cannot be written to."""
    try:
        yield
    except OSError as error:
        raise CacheError(
            f"cannot write to {folder} ({error.strerror or error}): fix that, or give another folder with "
            "--out. Finished shards are kept, and the same command resumes"
        ) from error


def _npy_bytes(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()
