"""How a part cache lies on disk: its files, records and names.

A cache is a folder of few files, memory-mapped and never pickled::

    CACHE/
    ├── manifest.json    schema, detector, classes, checksums, failed images; written last
    ├── parts.npy        one record an image: boxes, scores, labels, count, image size
    ├── names.npy        the images' paths, UTF-8, one after the other
    ├── offsets.npy      where each path starts in names.npy
    └── table.npy        hash table from path to record

A cache imported from masks alone has records of masks at one size in place of boxes, scores and labels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path, PurePosixPath
from typing import Any

from detector.common.schema import COUNT, OptionalKey, verify_checksum

SCHEMA = 1
MANIFEST, PLAN = "manifest.json", "extraction.json"
FILES = ("parts.npy", "names.npy", "offsets.npy", "table.npy")
INDEX_LAYOUT = [("|u1", 1), ("<i8", 1), ("<i8", 1)]  # of the last three: type and dimensions
MANIFEST_SHAPE: dict[str, Any] = {  # the keys that are read
    "identity": {
        "classes": [str],
        "max_parts": range(1, 2**15),
        OptionalKey("mask_size"): (None, [range(1, 2**15)] * 2),
    },
    **{"images_sha256": str, "num_images": COUNT, "num_parts": COUNT},
    "files": {name: {"bytes": COUNT, "sha256": str} for name in FILES},
    "failed": {str: str},
}
COMMAND = "python tools/extract_parts.py DETECTOR_CONFIG CHECKPOINT --dataset REID_CONFIG"


class CacheError(ValueError):
    """A part cache that is missing, unfinished, damaged, or not the one that is needed."""


def encode_name(name: str) -> bytes:
    """Encode an image's path; file names that are not UTF-8 survive the round trip.

    >>> decode_name(encode_name("a/0.jpg"))
    'a/0.jpg'
    """
    return name.encode("utf-8", "surrogateescape")


def decode_name(data: bytes) -> str:
    """Decode a path encoded by `encode_name`."""
    return data.decode("utf-8", "surrogateescape")


def first_slot(name: bytes, table_size: int) -> int:
    """Return the first slot of the hash table for a name."""
    return int.from_bytes(blake2b(name, digest_size=8).digest(), "little") % table_size


def name_slots(name: bytes, table_size: int) -> Iterable[int]:
    """Iterate over the slots of the hash table for a name, in the order to try them."""
    first = first_slot(name, table_size)
    return ((first + step) % table_size for step in range(table_size))


def is_plain_path(name: str) -> bool:
    """Return whether a path is relative, normalised and does not leave its folder.

    >>> is_plain_path("a/0.jpg"), is_plain_path("../0.jpg"), is_plain_path("a//0.jpg")
    (True, False, False)
    """
    pure = PurePosixPath(name)
    plain = str(pure) == name != "." and "\0" not in name
    return plain and not pure.is_absolute() and ".." not in pure.parts


def read_json(path: Path) -> dict[str, Any]:
    """Read one of the cache's JSON files.

    Raises:
        CacheError: It is damaged, or of another schema.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise damaged(path.parent, f"{path.name}: {error}") from None
    schema = content.get("schema") if isinstance(content, dict) else None
    if schema != SCHEMA:
        raise CacheError(
            f"{path} has schema {schema}, this version reads {SCHEMA}: extract again into a new folder"
        )
    try:
        return verify_checksum(content)
    except ValueError as error:
        raise damaged(path.parent, f"{path.name} {error}") from None


def damaged(folder: Path, reason: str) -> CacheError:
    """The error of a cache whose files are not as they were written."""
    return CacheError(f"{folder} is damaged ({reason}): delete it and extract again")
