"""Change a gallery: one writer at a time, and either all of a change or nothing of it."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from detector.common.files import write_bytes, write_json
from detector.common.locks import exclusive_lock
from pgan.gallery.checksummed_json import write_checksummed_json
from pgan.gallery.errors import GalleryError
from pgan.gallery.store import (
    MANIFEST,
    MODEL,
    SCHEMA,
    SHARD_SHAPE,
    Gallery,
    Rows,
    Shard,
    read_json,
    shard_name,
)

SHARD_ROWS = 1024  # images that are embedded again, at most, if an addition is killed


@dataclass
class Transaction:
    """A change of a gallery, which takes effect when it is committed.

    If an addition is stopped, the next addition of the same images takes over the shards it had finished.

    Attributes:
        path: Folder of the gallery.
        manifest: Content of the manifest except the shards.
        shards: Shards of the gallery, followed by those of this transaction.
        config: Config of the model if images are added.
    """

    path: Path
    manifest: dict[str, Any]
    shards: list[Shard] = field(default_factory=list)
    config: dict[str, Any] | None = None

    def take_over(self, wanted: set[bytes]) -> set[bytes]:
        """Take over the finished shards of a stopped addition that hold wanted images only.

        Args:
            wanted: Encoded paths of the images to add.

        Returns:
            Encoded paths of the images in these shards.
        """
        done: set[bytes] = set()
        for file in sorted(self.path.glob("shard-*.json")):
            try:
                shard = self._finished(file)
            except GalleryError:  # damaged: its images are embedded again
                continue
            if shard and (paths := set(shard.column("paths").tolist())) <= wanted - done:
                self.shards.append(shard)
                done |= paths
        return done

    def _finished(self, file: Path) -> Shard | None:
        """Return the verified shard of a ``.json`` file; None if it was written with another model."""
        entry = read_json(file, {**SHARD_SHAPE, "fingerprint": str})
        ours = entry.pop("fingerprint") == self.manifest["model"]["fingerprint"]
        shard = Shard.from_json(self.path, entry)
        shard.verify()
        return shard if ours else None

    def write(self, rows: Rows, time: str = "", classes: Sequence[str] = ()) -> None:
        """Write a shard, which belongs to the gallery once the transaction is committed.

        Args:
            rows: At least one row.
            time: Kind of the times, see `pgan.gallery.times.Time`.
            classes: Names of the parts' labels.
        """
        arrays: dict[str, Any] = rows.arrays()
        features = _bytes(lambda file: np.save(file, arrays.pop("features"), allow_pickle=False))
        columns = _bytes(lambda file: np.savez(file, **arrays))
        name = shard_name(hashlib.sha256(features + columns))
        sizes = len(features), len(columns)
        shard = Shard(self.path, name, len(rows), time, tuple(classes), sizes)
        for path, data in zip(shard.files, (features, columns)):
            write_bytes(path, data)
        fingerprint = self.manifest["model"]["fingerprint"]
        write_checksummed_json(
            self.path / f"{name}.json", {**shard.to_json(), "fingerprint": fingerprint}
        )
        self.shards.append(shard)

    def remove(self, removed: np.ndarray) -> None:
        """Remove rows; shards without such rows stay as they are.

        Args:
            removed: (N,) bool, a mask over the gallery's rows.
        """
        first, before = 0, self.shards
        self.shards = []
        for shard in before:
            kept = ~removed[first : first + shard.rows]
            first += shard.rows
            if kept.all():
                self.shards.append(shard)
            elif kept.any():
                self.write(shard.read().take(kept), shard.time, shard.classes)

    def commit(self) -> Gallery:
        """Replace the gallery atomically, then delete files that it no longer uses."""
        manifest = {
            "schema": SCHEMA,
            **self.manifest,
            "shards": [shard.to_json() for shard in self.shards],
        }
        if self.config is not None:
            write_json(self.path / MODEL, self.config)
        write_checksummed_json(self.path / MANIFEST, manifest)
        named = {file for shard in self.shards for file in shard.files}
        for file in self.path.iterdir():
            # The name of a temporary file that a killed process left has a leading dot.
            if file.name.lstrip(".").startswith("shard-") and file not in named:
                file.unlink()
        return Gallery.open(self.path)


@contextmanager
def open_transaction(
    path: str | os.PathLike[str],
    model: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> Iterator[Transaction]:
    """Lock a gallery and open a transaction.

    Args:
        path: Folder of the gallery; with a model, it is created if it does not exist.
        model: Description of the model that embeds the added images, see `Gallery.model`.
        config: Full config of the model, as JSON values.

    Raises:
        GalleryError: Another process is writing, or the folder is not a gallery, is damaged, or was built
            with another model.
    """
    folder = Path(path)
    if model is None:
        Gallery.open(
            folder
        )  # raises before a lock file is created in a folder that is not a gallery
    else:
        _refuse_foreign(folder)
    with exclusive_lock(folder, GalleryError):
        gallery = Gallery.open(folder) if (folder / MANIFEST).is_file() else None
        if gallery is None:
            manifest: dict[str, Any] = {"model": model, "sources": [], "detector": None}
        else:
            if model is not None:
                refuse_other_model(gallery, model)
            manifest = {
                "model": model or gallery.model,
                "sources": gallery.sources,
                "detector": gallery.detector,
            }
        yield Transaction(folder, manifest, list(gallery.shards) if gallery else [], config)


def refuse_other_model(gallery: Gallery, model: dict[str, Any]) -> None:
    """Check that a model is the one that the gallery was built with.

    Raises:
        GalleryError: It is another model; the message names the differences.
    """
    if model["fingerprint"] == gallery.model["fingerprint"]:
        return
    then, now = gallery.model["facts"], model["facts"]
    other = [name for name in now if now[name] != then.get(name)]
    built = f"{gallery.model['type']} of {gallery.model['checkpoint']}"
    raise GalleryError(
        f"{gallery.path} was built with another model, {built}: {' and '.join(other)} differ from those of "
        f"{model['checkpoint']}; use that model, or create a new gallery"
    )


def _refuse_foreign(folder: Path) -> None:
    """Raise unless the folder is new, a gallery, or left by a stopped first addition."""
    if not folder.exists() or (folder / MANIFEST).is_file():
        return
    ours = (".", "shard-", MODEL)
    if not folder.is_dir() or any(not file.name.startswith(ours) for file in folder.iterdir()):
        raise GalleryError(f"{folder} exists and is not a gallery: give another folder")


def _bytes(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()
