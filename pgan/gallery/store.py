"""A gallery on disk: features of images with their labels and parts.

NumPy is the only third-party dependency.

    GALLERY/
    ├── gallery.json          schema, the model and its fingerprint, the shards; written last
    ├── model.json            the model's whole config
    ├── shard-1a2b….npy       (n, C) float32 features, memory-mapped
    ├── shard-1a2b….npz       paths, vehicles, cameras, times, part boxes and part weights of the same rows
    ├── threshold.json        the greatest distance of the same vehicle, if calibrated
    └── index/                a faiss index of the first shards, if built

A shard never changes, and its name is the digest of its content. Until ``gallery.json`` lists it, it has a
``.json`` beside it and does not belong to the gallery. `pgan.gallery.transaction` writes galleries.
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
from detector.cache.records import read_parts
from detector.common.schema import COUNT
from pgan.gallery.checksummed_json import read_checksummed_json
from pgan.gallery.errors import GalleryError
from pgan.gallery.times import Time

SCHEMA = 1
MANIFEST, MODEL, THRESHOLD, INDEX = "gallery.json", "model.json", "threshold.json", "index"
COMMAND = "python tools/gallery.py"
_BLOCK = 1 << 15  # rows read together
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
    """Columns of a gallery's images.

    Attributes:
        features: (n, C) float32.
        paths: (n,) bytes, absolute paths encoded by `detector.cache.layout.encode_name`.
        vehicles: (n,) str, empty if unknown.
        cameras: (n,) str, empty if unknown.
        times: (n,) float64, see `pgan.gallery.times`; NaN if unknown.
        parts: (n,) records of `detector.cache.layout.record_dtype`; None for a model without part boxes.
        weights: (n, D) float32 attention weight of each part; None for a model without part boxes.
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
        """Return the attributes that are not None, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def take(self, rows: np.ndarray) -> Rows:
        """Select rows by index or by mask."""
        return Rows(**{name: array[rows] for name, array in self.arrays().items()})


@dataclass(frozen=True, eq=False)
class Entry:
    """An image of a gallery: all that is known of it except its feature.

    Attributes:
        path: Absolute path.
        vehicle: Vehicle id as the data set writes it, empty if unknown.
        camera: Camera id as the data set writes it, empty if unknown.
        time: When the image was taken.
        parts: Parts that the model used; None for a model without part boxes.
        weights: (n,) float32 attention weight of each part; None for a model without part boxes.
        labels: Names of the n parts.
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
    """A pair of files with some rows of a gallery.

    Attributes:
        folder: Folder of the gallery.
        name: File name without suffix.
        rows: Number of rows.
        time: Kind of the times, see `pgan.gallery.times.Time`.
        classes: Names of the parts' labels.
        sizes: Sizes of the ``.npy`` and the ``.npz`` file in bytes.
    """

    folder: Path
    name: str
    rows: int
    time: str
    classes: tuple[str, ...]
    sizes: tuple[int, int]

    @classmethod
    def from_json(cls, folder: Path, entry: dict[str, Any]) -> Shard:
        """Create a shard from an entry of the manifest."""
        listed = {key: tuple(entry[key]) for key in ("classes", "sizes")}
        return cls(folder, **{**entry, **listed})

    def to_json(self) -> dict[str, Any]:
        """Return the shard's entry of the manifest."""
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name != "folder"}

    @property
    def files(self) -> tuple[Path, Path]:
        """The file of the features and the file of the other columns."""
        return self.folder / f"{self.name}.npy", self.folder / f"{self.name}.npz"

    def is_whole(self) -> bool:
        """Return whether both files exist and have the right size."""
        return all(f.is_file() and f.stat().st_size == n for f, n in zip(self.files, self.sizes))

    def verify(self) -> None:
        """Compare both files with the digest in their name.

        Raises:
            GalleryError: A file has changed since it was written.
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
        """Return the features, (rows, C) float32, memory-mapped."""
        with self._refusing_damage():
            return self._checked(np.load(self.files[0], mmap_mode="r", allow_pickle=False))

    def column(self, name: str) -> np.ndarray:
        """Read a column of `Rows` that every shard has."""
        return self._columns([name])[name]

    def read(self) -> Rows:
        """Read all columns."""
        return Rows(np.array(self.features()), **self._columns())

    def _columns(self, names: Sequence[str] | None = None) -> dict[str, np.ndarray]:
        with self._refusing_damage(), np.load(self.files[1], allow_pickle=False) as file:
            return {name: self._checked(file[name]) for name in names or file.files}

    def _checked(self, rows: np.ndarray) -> np.ndarray:
        if len(rows) != self.rows:
            raise ValueError(f"{len(rows)} rows instead of {self.rows}")
        return rows

    @contextmanager
    def _refusing_damage(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise GalleryError(
                f"{self.folder / self.name} no longer exists: images were removed meanwhile: open the "
                "gallery again"
            ) from None
        except Exception as error:  # numpy and zipfile raise many kinds for a damaged file
            raise GalleryError(_damaged(self.folder, f"{self.name}: {error}")) from None


def shard_name(digest: Any) -> str:
    """Return the name of a shard, from the SHA-256 of its ``.npy`` followed by its ``.npz`` file."""
    return f"shard-{digest.hexdigest()[:16]}"


class Gallery:
    """A gallery, open for reading.

    Attributes:
        path (Path): The folder.
        model (dict): ``fingerprint``, ``facts`` (what the fingerprint is computed from), ``type``,
            ``config``, ``checkpoint``.
        sources (list): Folder of images and part cache of each addition with a part cache, newest last.
        detector (list[str] | None): Config and checkpoint of the newest addition's part detector.
        shards (list[Shard]): The shards in the order of the rows.

    Example:
        >>> import tempfile
        >>> from pgan.gallery.transaction import open_transaction
        >>> model = {"type": "PGAN", "config": "pgan.py", "checkpoint": "pgan.pth", "fingerprint": "f",
        ...          "facts": {"its weights": "w"}}
        >>> rows = Rows(np.eye(2, 4, dtype=np.float32), np.array([b"/a.jpg", b"/b.jpg"]),
        ...             np.array(["red van", ""]), np.array(["cam1", "cam2"]), np.full(2, np.nan))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with open_transaction(f"{folder}/gallery", model) as transaction:
        ...         transaction.write(rows)
        ...         gallery = transaction.commit()
        ...     print(len(gallery), gallery.find("/b.jpg"), gallery.features([1]).shape)
        ...     print(gallery.entries([0])[0].vehicle)
        2 1 (1, 4)
        red van
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
            GalleryError: There is no gallery at ``path``, or it is unfinished, damaged or of another schema.
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
        """Verify the checksums of the shards from a row on, which reads all of their bytes.

        Raises:
            GalleryError: A file has changed since it was written.
        """
        for first, shard in self._numbered():
            if first + shard.rows > start:
                shard.verify()

    def _numbered(self) -> Iterator[tuple[int, Shard]]:
        """Yield each shard with the number of its first row."""
        yield from zip(accumulate((shard.rows for shard in self.shards), initial=0), self.shards)

    @property
    def dimensions(self) -> int:
        """C; 0 without images."""
        return int(self.shards[0].features().shape[1]) if self.shards else 0

    def refuse_empty(self) -> None:
        """Raise a GalleryError if the gallery has no image."""
        if not len(self):
            raise GalleryError(
                f"{self.path} is empty: add images, `{COMMAND} add {self.path} IMAGES`"
            )

    @cached_property
    def paths(self) -> np.ndarray:
        """(N,) bytes, encoded paths, see `Rows`."""
        return self._column("paths", "S1")

    @cached_property
    def vehicles(self) -> np.ndarray:
        """(N,) str, vehicle ids."""
        return self._column("vehicles", "U1")

    @cached_property
    def cameras(self) -> np.ndarray:
        """(N,) str, camera ids."""
        return self._column("cameras", "U1")

    def times(self, kind: str) -> np.ndarray:
        """Return the times of a kind, (N,) float64, NaN for images without such a time."""
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
        """Return the row of an image by its absolute path; None if it is not in the gallery."""
        return self._rows_by_path.get(encode_name(path))

    def blocks(self, start: int = 0) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the features from a row on in blocks: number of the first row, (n, C) float32."""
        first, begin, gathered = 0, start, []
        for shard in self.shards:
            if first + shard.rows > start:
                gathered.append(shard.features()[max(start - first, 0) :])
            first += shard.rows
            if gathered and (first - begin >= _BLOCK or shard is self.shards[-1]):
                yield begin, gathered[0] if len(gathered) == 1 else np.concatenate(gathered)
                begin, gathered = first, []

    def features(self, rows: Sequence[int] | np.ndarray | None = None) -> np.ndarray:
        """Return the features of some rows, or of all, as (n, C) float32."""
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
        """Return the entries of some rows; each shard is read once."""
        found: dict[int, Entry] = {}
        first = 0
        for shard in self.shards:
            inside = [row for row in dict.fromkeys(rows) if first <= row < first + shard.rows]
            if inside:
                selected = shard.read().take(np.array(inside) - first)
                found |= dict(zip(inside, _entries(shard, selected)))
            first += shard.rows
        return [found[row] for row in rows]


def read_json(path: Path, shape: dict[Any, Any]) -> dict[str, Any]:
    """Read a JSON file of a gallery and check its shape, see `detector.common.schema`.

    Raises:
        GalleryError: The file is damaged.
    """
    try:
        return read_checksummed_json(path, shape)
    except ValueError as error:
        raise GalleryError(_damaged(path.parent, f"{path.name}: {error}")) from None


def _entries(shard: Shard, rows: Rows) -> Iterator[Entry]:
    """Yield the entries of a shard's rows."""
    paths = [decode_name(path) for path in rows.paths.tolist()]
    parts = [] if rows.parts is None else [read_parts(r, shard.classes) for r in rows.parts]
    labels = [found.names for found in parts]
    for i, path in enumerate(paths):
        time = Time(shard.time, float(rows.times[i])) if np.isfinite(rows.times[i]) else Time()
        known = path, str(rows.vehicles[i]), str(rows.cameras[i]), time
        if rows.weights is None or not parts:
            yield Entry(*known)
        else:
            weights = rows.weights[i][: len(labels[i])]
            yield Entry(*known, parts[i], weights, list(labels[i]))


def _damaged(folder: Path, what: str) -> str:
    return f"{folder} is damaged ({what}): add the images again, into a new folder"


def _why_none(folder: Path) -> str:
    if any(folder.glob("shard-*.json")):
        return f"the first addition to {folder} has not finished: run the same command again to resume it"
    state = "is not a gallery" if folder.exists() else "does not exist"
    return f"{folder} {state}: create one with `{COMMAND} add {folder} IMAGES --model CONFIG CHECKPOINT`"
