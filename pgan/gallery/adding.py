"""Add images to a gallery, and remove them."""

from __future__ import annotations

import fnmatch
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from detector.cache.layout import decode_name, encode_name
from detector.cache.records import record_dtype, write_parts
from pgan.gallery.errors import GalleryError
from pgan.gallery.store import Gallery, Rows
from pgan.gallery.times import Time
from pgan.gallery.transaction import SHARD_ROWS, Transaction, open_transaction

if TYPE_CHECKING:  # they import torch, which removing images does not need
    from pgan.datasets.records import Annotation
    from pgan.gallery.embedding import Embedded, Embedder
    from pgan.gallery.part_source import PartSource


@dataclass
class Addition:
    """The outcome of an addition.

    Attributes:
        added: Number of images that are new in the gallery.
        resumed: How many of them a stopped addition had already embedded.
        skipped: Number of images that were in the gallery before.
        failed: Path -> reason of each image that cannot be read.
    """

    added: int = 0
    resumed: int = 0
    skipped: int = 0
    failed: dict[str, str] = field(default_factory=dict)


def add(
    path: str | os.PathLike[str],
    embedder: Embedder,
    images: Sequence[Annotation],
    parts: PartSource,
    detector: Sequence[str] | None = None,
    progress: bool = False,
) -> Addition:
    """Add images to a gallery in one transaction; images that it already has are skipped.

    If the addition is stopped, the gallery stays as it was, and the next addition of the same images resumes.

    Args:
        path: Folder of the gallery; created if it does not exist.
        embedder: The model.
        images: Images with absolute paths; unknown labels are empty.
        parts: The part caches to read.
        detector: Config and checkpoint of the part detector, which the gallery remembers for queries.
        progress: Show a progress bar.

    Raises:
        GalleryError: No image could be read, the gallery was built with another model, or another process is
            writing to it.
        CacheError: A part cache has changed since it was written.
    """
    times = {image.path: _time(image) for image in images}
    by_path = {encode_name(image.path): image for image in images}
    with open_transaction(path, embedder.description, embedder.whole_config) as transaction:
        known = set(
            np.concatenate([[b""], *(s.column("paths") for s in transaction.shards)]).tolist()
        )
        done = transaction.take_over(by_path.keys() - known)
        result = Addition(len(done), len(done), len(by_path.keys() & known))
        todo = [by_path[name].path for name in by_path if name not in known | done]
        pending: dict[tuple, list[tuple[Annotation, Embedded]]] = defaultdict(list)
        if embedder.num_parts:
            parts.check(todo, embedder.num_parts)
        try:
            for file, found in embedder.embed(todo, parts, progress):
                if isinstance(found, str):
                    result.failed[file] = found
                    continue
                slots = embedder.num_parts * (found.parts is not None)
                key = (times[file].kind, found.classes, slots)
                pending[key].append((by_path[encode_name(file)], found))
                result.added += 1
                if len(pending[key]) == SHARD_ROWS:
                    _write_shard(transaction, *key, pending.pop(key), times)
        finally:  # after Ctrl-C or an error, keep the images that are embedded
            for key, rows in pending.items():
                _write_shard(transaction, *key, rows, times)
        if not transaction.shards:
            reason = next(iter(result.failed.items()), ("no image", "was given"))
            raise GalleryError(f"none of {len(images)} images could be read: {': '.join(reason)}")
        sources = [[root, str(cache.path)] for root, cache in parts.caches]
        before = [source for source in transaction.manifest["sources"] if source not in sources]
        transaction.manifest["sources"] = before + sources
        if detector:
            transaction.manifest["detector"] = [os.path.abspath(file) for file in detector]
        transaction.commit()
    return result


def remove(
    path: str | os.PathLike[str], images: Sequence[str] = (), vehicles: Sequence[str] = ()
) -> int:
    """Remove images from a gallery in one transaction; the image files are kept.

    Args:
        path: Folder of the gallery.
        images: Files, folders, or patterns such as ``'data/*/cam2_*'``; the files need not exist any more.
        vehicles: Ids of vehicles whose images are all removed.

    Returns:
        The number of removed images.

    Raises:
        GalleryError: One of the arguments matches no image of the gallery.
    """
    with open_transaction(path) as transaction:
        gallery = Gallery.open(path)
        names = [decode_name(name) for name in gallery.paths.tolist()]
        removed = np.zeros(len(names), bool)
        for image in images:
            pattern = os.path.abspath(image)
            matching = [
                name == pattern
                or name.startswith(f"{pattern}/")
                or fnmatch.fnmatchcase(name, pattern)
                for name in names
            ]
            if not any(matching):
                raise GalleryError(f"{image} matches no image of {path}: nothing was removed")
            removed |= np.array(matching)
        for vehicle in vehicles:
            own = gallery.vehicles == vehicle
            if not own.any():
                raise GalleryError(f"{path} has no vehicle {vehicle!r}: nothing was removed")
            removed |= own
        transaction.remove(removed)
        transaction.commit()
    return int(removed.sum())


def _time(image: Annotation) -> Time:
    try:
        return Time.parse(image.time)
    except GalleryError as error:
        raise GalleryError(f"{image.path}: {error}") from None


def _write_shard(
    transaction: Transaction,
    kind: str,
    classes: tuple[str, ...],
    slots: int,
    rows: list[tuple[Annotation, Embedded]],
    times: dict[str, Time],
) -> None:
    """Write images of one kind of time and of one detector as a shard."""
    images, found = zip(*rows)
    parts = weights = None
    if slots:
        parts, weights = (
            np.zeros(len(rows), record_dtype(slots)),
            np.zeros((len(rows), slots), "f4"),
        )
        for record, row, seen in zip(parts, weights, found):
            write_parts(record, seen.parts)
            row[: len(seen.parts)] = seen.weights
    columns = Rows(
        np.stack([seen.feature for seen in found]).astype(np.float32),
        np.array([encode_name(image.path) for image in images]),
        np.array([image.vehicle for image in images], np.str_),
        np.array([image.camera for image in images], np.str_),
        np.array([times[image.path].value for image in images], np.float64),
        parts,
        weights,
    )
    transaction.write(columns, kind, classes)
