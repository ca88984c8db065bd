"""A gallery on disk: features of images, with all that is known of each; NumPy only.

::

    GALLERY/
    ├── gallery.json          schema, the model and its fingerprint, the shards; written last
    ├── model.json            the model's whole config
    ├── shard-1a2b….npy       (n, C) float32 features, memory-mapped
    ├── shard-1a2b….npz       the same rows' paths, vehicles, cameras, times, part boxes, part weights
    ├── threshold.json        the distance up to which two images are taken for one vehicle, if calibrated
    └── index/                a faiss index of the first shards, if built

A shard is never changed, and its name is the digest of its content. Until ``gallery.json`` names it, it has
a ``.json`` beside it and is no part of the gallery. `pgan.gallery.transaction` writes.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from detector.cache import Parts
from detector.cache.layout import decode_name, encode_name
from detector.common.schema import COUNT
from pgan.gallery.checksummed_json import read_sealed
from pgan.gallery.errors import GalleryError
from pgan.gallery.times import Time

SCHEMA = 1
MANIFEST, MODEL, THRESHOLD, INDEX = "gallery.json", "model.json", "threshold.json", "index"
COMMAND = "python tools/gallery.py"
_BLOCK = 1 << 15  # rows looked at together
SHARD_SHAPE = {
    **{"name": re.compile("shard-[0-9a-f]{16}"), "rows": COUNT, "time": str},
    **{"classes": [str], "sizes": [COUNT, COUNT]},
}
_SHAPE = {
    "schema": int,
    "model": {
        **dict.fromkeys(("type", "config", "checkpoint", "fingerprint"), str),
        "facts": {"its weights": str},
    },
    "sources": [[str, str]],
    "detector": (None, [str, str]),
    "shards": [SHARD_SHAPE],
}


@dataclass(frozen=True, eq=False)
class Rows:
    """Images of a gallery.

    Attributes:
        features: (n, C) float32.
        paths: (n,) bytes, absolute paths as `detector.cache.reader.encode_name` writes them.
        vehicles: (n,) str, empty where unknown.
        cameras: (n,) str, empty where unknown.
        times: (n,) float64, see `pgan.gallery.times`; NaN where unknown.
        parts: (n,) records of `detector.cache.reader.record_dtype`; None for a model that looks at no boxes.
        weights: (n, D) float32 attention weight of each part; None likewise.
    """

    features: np.ndarray
    paths: np.ndarray
    vehicles: np.ndarray
    cameras: np.ndarray
    times: np.ndarray
    parts: np.ndarray | None = None
    weights: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.features)

    def arrays(self) -> dict[str, np.ndarray]:
        """The attributes that there are, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def take(self, rows: np.ndarray) -> Rows:
        """Some of the rows, by index or as a mask."""
        return Rows(**{name: array[rows] for name, array in self.arrays().items()})


@dataclass(frozen=True, eq=False)
class Entry:
    """All that is known of one image of a gallery but its feature.

    Attributes:
        path: Absolute.
        vehicle: Its id as the data set writes it, empty where unknown.
        camera: Likewise.
        time: When it was taken.
        parts: What the model looked at; None for a model without boxes.
        weights: (n,) float32 attention weight of each part; None likewise.
        labels: n names of the parts.
    """

    path: str
    vehicle: str
    camera: str
    time: Time
    parts: Parts | None = None
    weights: np.ndarray | None = None
    labels: Sequence[str] = ()


@dataclass(frozen=True)
class Shard:
    """A file of rows.

    Attributes:
        folder: Of the gallery.
        name: Without suffix.
        rows: How many.
        time: Kind of its times, see `pgan.gallery.times.Time`.
        classes: Names of its parts' labels.
        sizes: Bytes of its ``.npy`` and its ``.npz``.
    """

    folder: Path
    name: str
    rows: int
    time: str
    classes: tuple[str, ...]
    sizes: tuple[int, int]

    @classmethod
    def from_json(cls, folder: Path, entry: dict[str, Any]) -> Shard:
        """Read what `to_json` gave."""
        listed = {key: tuple(entry[key]) for key in ("classes", "sizes")}
        return cls(folder, **{**entry, **listed})

    def to_json(self) -> dict[str, Any]:
        """As the manifest has it."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "folder"}

    @property
    def files(self) -> tuple[Path, Path]:
        """Its features and its columns."""
        return self.folder / f"{self.name}.npy", self.folder / f"{self.name}.npz"

    def is_whole(self) -> bool:
        """Whether both files are there, of the right size."""
        return all(f.is_file() and f.stat().st_size == n for f, n in zip(self.files, self.sizes))

    def verify(self) -> None:
        """Compare both files with the digest that is their name.

        Raises:
            GalleryError: They have changed since they were written.
        """
        digest = hashlib.sha256()
        with self._refusing_damage():
            for path in self.files:
                with path.open("rb") as file:
                    while block := file.read(1 << 20):
                        digest.update(block)
            if self.name != shard_name(digest):
                raise ValueError("has changed since it was written")

    def features(self) -> np.ndarray:
        """(rows, C) float32, memory-mapped."""
        with self._refusing_damage():
            return self._checked(np.load(self.files[0], mmap_mode="r", allow_pickle=False))

    def column(self, name: str) -> np.ndarray:
        """One of the columns of `Rows` that every shard has."""
        return self._columns([name])[name]

    def read(self) -> Rows:
        """All of it."""
        return Rows(np.array(self.features()), **self._columns())

    def _columns(self, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        with self._refusing_damage(), np.load(self.files[1], allow_pickle=False) as file:
            return {name: self._checked(file[name]) for name in names or file.files}

    def _checked(self, rows: np.ndarray) -> np.ndarray:
        if len(rows) != self.rows:
            raise ValueError(f"{len(rows)} rows in place of {self.rows}")
        return rows

    @contextmanager
    def _refusing_damage(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise GalleryError(
                f"{self.folder / self.name} is gone: images were removed meanwhile: open the gallery again"
            ) from None
        except Exception as error:  # numpy and zipfile raise many kinds for a broken file
            raise GalleryError(_damaged(self.folder, f"{self.name}: {error}")) from None


def shard_name(digest: Any) -> str:
    """Name of a shard from the SHA-256 of its features' and its columns' files, one after the other."""
    return f"shard-{digest.hexdigest()[:16]}"


class Gallery:
    """A gallery, open for reading.

    Attributes:
        path (Path): The folder.
        model (dict): ``fingerprint``, ``facts`` (what the fingerprint is of), ``type``, ``config``,
            ``checkpoint``.
        sources (list): Folder and part cache of each addition with a cache, newest last.
        detector (list[str] | None): Config and checkpoint of the newest addition's part detector.
        shards (list[Shard]): In the order of the rows.
    """

    def __init__(self, path: str | os.PathLike[str], manifest: dict[str, Any]) -> None:
        self.path = Path(path)
        self.model: dict[str, Any] = manifest["model"]
        self.sources: list[list[str]] = manifest["sources"]
        self.detector: list[str] | None = manifest["detector"]
        self.shards = [Shard.from_json(self.path, entry) for entry in manifest["shards"]]

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> Gallery:
        """Open a gallery.

        Raises:
            GalleryError: There is none at `path`, or it is unfinished, damaged or of another schema.
        """
        folder = Path(path)
        if not (folder / MANIFEST).is_file():
            raise GalleryError(_why_none(folder))
        schema = read_json(folder / MANIFEST, {}).get("schema")
        if schema != SCHEMA:
            raise GalleryError(
                f"{folder / MANIFEST} has schema {schema}, this version reads {SCHEMA}: "
                "add the images again, into a new folder"
            )
        gallery = cls(folder, read_json(folder / MANIFEST, _SHAPE))
        if broken := [shard for shard in gallery.shards if not shard.is_whole()]:
            raise GalleryError(_damaged(folder, f"{broken[0].name} is missing or cut short"))
        return gallery

    def __len__(self) -> int:
        return sum(shard.rows for shard in self.shards)

    def verify(self, start: int = 0) -> None:
        """Compare the shards from a row on with their checksums; all of their bytes are read.

        Raises:
            GalleryError: A file has changed since it was written.
        """
        for first, shard in self._numbered():
            if first + shard.rows > start:
                shard.verify()

    def _numbered(self) -> Iterator[tuple[int, Shard]]:
        """The shards, each with the number of its first row."""
        yield from zip(accumulate((shard.rows for shard in self.shards), initial=0), self.shards)

    @property
    def dimensions(self) -> int:
        """C; 0 while there is no image."""
        return int(self.shards[0].features().shape[1]) if self.shards else 0

    def refuse_empty(self) -> None:
        """Raise GalleryError if there is no image."""
        if not len(self):
            raise GalleryError(
                f"{self.path} is empty: add images, `{COMMAND} add {self.path} IMAGES`"
            )

    @cached_property
    def paths(self) -> np.ndarray:
        """(N,) bytes, see `Rows`."""
        return self._column("paths", "S1")

    @cached_property
    def vehicles(self) -> np.ndarray:
        """(N,) str."""
        return self._column("vehicles", "U1")

    @cached_property
    def cameras(self) -> np.ndarray:
        """(N,) str."""
        return self._column("cameras", "U1")

    def times(self, kind: str) -> np.ndarray:
        """(N,) float64, NaN where the image has no time of that kind."""
        columns = [
            s.column("times") if s.time == kind else np.full(s.rows, np.nan) for s in self.shards
        ]
        return np.concatenate([np.empty(0), *columns])

    def _column(self, name: str, dtype: str) -> np.ndarray:
        return np.concatenate([np.empty(0, dtype), *(s.column(name) for s in self.shards)])

    @cached_property
    def _rows_by_path(self) -> dict[bytes, int]:
        return {path: row for row, path in enumerate(self.paths.tolist())}

    def find(self, path: str) -> int | None:
        """Row of an image, by its absolute path; None if it is not there."""
        return self._rows_by_path.get(encode_name(path))

    def blocks(self, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """All features from a row on, some thousands at a time: number of the first row, (n, C) float32."""
        first, begin, gathered = 0, start, []
        for shard in self.shards:
            if first + shard.rows > start:
                gathered.append(shard.features()[max(start - first, 0) :])
            first += shard.rows
            if gathered and (first - begin >= _BLOCK or shard is self.shards[-1]):
                yield begin, gathered[0] if len(gathered) == 1 else np.concatenate(gathered)
                begin, gathered = first, []

    def features(self, rows: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """(n, C) float32 features of some rows, or of all."""
        if rows is None:
            blocks = [block for _, block in self.blocks()]
            return blocks[0] if len(blocks) == 1 else np.concatenate(blocks)
        rows = np.asarray(rows, np.int64)
        found = np.empty((len(rows), self.dimensions), np.float32)
        first = 0
        for shard in self.shards:
            inside = (rows >= first) & (rows < first + shard.rows)
            if inside.any():
                found[inside] = shard.features()[rows[inside] - first]
            first += shard.rows
        return found

    def entries(self, rows: Sequence[int]) -> list[Entry]:
        """What is known of some images, each shard read once."""
        found: dict[int, Entry] = {}
        first = 0
        for shard in self.shards:
            inside = [row for row in dict.fromkeys(rows) if first <= row < first + shard.rows]
            if inside:
                some = shard.read().take(np.array(inside) - first)
                paths = map(decode_name, some.paths.tolist())
                found |= {
                    row: _entry(shard, some, i, p)
                    for i, (row, p) in enumerate(zip(inside, list(paths)))
                }
            first += shard.rows
        return [found[row] for row in rows]


def read_json(path: Path, shape: dict[Any, Any]) -> dict[str, Any]:
    """Read one of a gallery's JSON files, which has to be of a shape, see `detector.common.schema.fits`.

    Raises:
        GalleryError: It is damaged.
    """
    try:
        return read_sealed(path, shape)
    except ValueError as error:
        raise GalleryError(_damaged(path.parent, f"{path.name}: {error}")) from None


def _entry(shard: Shard, rows: Rows, i: int, path: str) -> Entry:
    known = (
        path,
        str(rows.vehicles[i]),
        str(rows.cameras[i]),
        Time(shard.time, float(rows.times[i])) if np.isfinite(rows.times[i]) else Time(),
    )
    if rows.parts is None:
        return Entry(*known)
    record = rows.parts[i]
    count = int(record["count"])
    labels = record["labels"][:count].astype(np.int64)
    parts = Parts(
        record["boxes"][:count],
        record["scores"][:count],
        labels,
        (int(record["size"][0]), int(record["size"][1])),
    )
    weights = rows.weights[i][:count]
    return Entry(*known, parts, weights, [shard.classes[label] for label in labels])


def _damaged(folder: Path, what: str) -> str:
    return f"{folder} is damaged ({what}): add the images again, into a new folder"


def _why_none(folder: Path) -> str:
    if any(folder.glob("shard-*.json")):
        return f"the first addition to {folder} has not finished: run the same command again, it goes on"
    state = "is not a gallery" if folder.exists() else "does not exist"
    return (
        f"{folder} {state}: make one with `{COMMAND} add {folder} IMAGES --model CONFIG CHECKPOINT`"
    )
