"""Changing a gallery: one writer at a time, and all of a change or nothing of it."""

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

from detector.common.files import alone_in, write_atomically, write_json
from pgan.gallery.checksummed_json import write_sealed
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

SHARD_ROWS = 1024  # images lost at most when an addition is killed


@dataclass
class Draft:
    """A gallery as it will be.

    Until `commit` the gallery is as it was. Shards that an addition had finished when it was stopped are
    taken over by the next one of the same images.

    Attributes:
        path: The gallery's folder.
        manifest: What `commit` will write, but for the shards.
        shards: Those of the gallery, and then those of this change.
        config: The model's, where images are added.
    """

    path: Path
    manifest: dict[str, Any]
    shards: list[Shard] = field(default_factory=list)
    config: dict[str, Any] | None = None

    def take_over(self, wanted: set[bytes]) -> set[bytes]:
        """Take over the finished shards of a stopped addition that hold wanted images only.

        Args:
            wanted: Paths of the images to be added now.

        Returns:
            Paths that are done with that.
        """
        done: set[bytes] = set()
        for file in sorted(self.path.glob("shard-*.json")):
            try:
                shard = self._finished(file)
            except GalleryError:  # damaged: its images are added anew
                continue
            if shard and (paths := set(shard.column("paths").tolist())) <= wanted - done:
                self.shards.append(shard)
                done |= paths
        return done

    def _finished(self, file: Path) -> Shard | None:
        """The shard of a ``.json``, every byte of it as it was written; None if it is of another model."""
        entry = read_json(file, {**SHARD_SHAPE, "fingerprint": str})
        ours = entry.pop("fingerprint") == self.manifest["model"]["fingerprint"]
        shard = Shard.from_json(self.path, entry)
        shard.verify()
        return shard if ours else None

    def write(self, rows: Rows, time: str = "", classes: Sequence[str] = ()) -> None:
        """Write a shard, to be part of the gallery once it is committed.

        Args:
            rows: At least one.
            time: Kind of their times.
            classes: Names of their parts' labels.
        """
        arrays = rows.arrays()
        features = _bytes(lambda file: np.save(file, arrays.pop("features"), allow_pickle=False))
        columns = _bytes(lambda file: np.savez(file, **arrays))
        name = shard_name(hashlib.sha256(features + columns))
        sizes = len(features), len(columns)
        shard = Shard(self.path, name, len(rows), time, tuple(classes), sizes)
        for path, data in zip(shard.files, (features, columns)):
            write_atomically(path, lambda file, data=data: file.write(data))
        fingerprint = self.manifest["model"]["fingerprint"]
        write_sealed(self.path / f"{name}.json", {**shard.to_json(), "fingerprint": fingerprint})
        self.shards.append(shard)

    def remove(self, condemned: np.ndarray) -> None:
        """Take rows out.

        Args:
            condemned: (N,) bool over the gallery's rows.
        """
        first, before = 0, self.shards
        self.shards = []
        for shard in before:
            kept = ~condemned[first : first + shard.rows]
            first += shard.rows
            if kept.all():
                self.shards.append(shard)
            elif kept.any():
                self.write(shard.read().take(kept), shard.time, shard.classes)

    def commit(self) -> Gallery:
        """Make it the gallery, in one step; then tidy up."""
        manifest = {
            "schema": SCHEMA,
            **self.manifest,
            "shards": [shard.to_json() for shard in self.shards],
        }
        if self.config is not None:
            write_json(self.path / MODEL, self.config)
        write_sealed(self.path / MANIFEST, manifest)
        named = {file for shard in self.shards for file in shard.files}
        for file in self.path.iterdir():
            # A leading dot has what was being written when a process was killed.
            if file.name.lstrip(".").startswith("shard-") and file not in named:
                file.unlink()
        return Gallery.open(self.path)


@contextmanager
def changing(
    path: str | os.PathLike[str],
    model: dict[str, Any] | None = None,
    config: dict[str, Any] | None = None,
) -> Iterator[Draft]:
    """Open a gallery to change it, alone.

    Args:
        path: Its folder; with a model, made if it does not exist.
        model: Description of the model that images are added by, see `Gallery.model`.
        config: Its whole config, as JSON values.

    Raises:
        GalleryError: Another process writes there; it is something else, damaged, or of another model.
    """
    folder = Path(path)
    if model is None:
        Gallery.open(folder)  # before a lock is left in what is no gallery
    else:
        _refuse_foreign(folder)
    with alone_in(folder, GalleryError):
        gallery = Gallery.open(folder) if (folder / MANIFEST).is_file() else None
        if gallery is not None and model is not None:
            refuse_other_model(gallery, model)
        manifest = {
            "model": model or gallery.model,
            "sources": gallery.sources if gallery else [],
            "detector": gallery.detector if gallery else None,
        }
        yield Draft(folder, manifest, list(gallery.shards) if gallery else [], config)


def refuse_other_model(gallery: Gallery, model: dict[str, Any]) -> None:
    """Refuse a model that the gallery was not built with.

    Raises:
        GalleryError: Says in what they differ.
    """
    if model["fingerprint"] == gallery.model["fingerprint"]:
        return
    then, now = gallery.model["facts"], model["facts"]
    other = [name for name in now if now[name] != then.get(name)]
    built = f"{gallery.model['type']} of {gallery.model['checkpoint']}"
    raise GalleryError(
        f"{gallery.path} was built with another model, {built}: {' and '.join(other)} differ from those of "
        f"{model['checkpoint']}; use that model, or make a new gallery"
    )


def _refuse_foreign(folder: Path) -> None:
    """A new gallery wants a new folder, or one that a stopped addition has left."""
    if not folder.exists() or (folder / MANIFEST).is_file():
        return
    ours = (".", "shard-", MODEL)
    if not folder.is_dir() or any(not file.name.startswith(ours) for file in folder.iterdir()):
        raise GalleryError(f"{folder} exists and is not a gallery: give another folder")


def _bytes(write: Callable[[io.BytesIO], object]) -> bytes:
    buffer = io.BytesIO()
    write(buffer)
    return buffer.getvalue()
