"""Putting images into a gallery, and taking them out."""

from __future__ import annotations

import fnmatch
import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from detector.cache.layout import decode_name, encode_name, record_dtype
from pgan.gallery.errors import GalleryError
from pgan.gallery.store import Gallery, Rows
from pgan.gallery.times import Time
from pgan.gallery.transaction import SHARD_ROWS, Draft, changing

if TYPE_CHECKING:  # they take torch along, which removing does not need
    from pgan.datasets.records import Annotation
    from pgan.gallery.embedding import Embedded, Embedder
    from pgan.gallery.part_source import PartSource


@dataclass
class Addition:
    """What became of the images that were to be added.

    Attributes:
        added: Now in the gallery that were not before.
        resumed: Of those, images that a stopped addition had finished.
        skipped: In the gallery before.
        failed: Path of each image that cannot be read -> why.
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
    """Add images to a gallery, all or none; those that are there already are skipped.

    Stopped in between, the gallery is as it was, and the next addition of the same images goes on.

    Args:
        path: Folder of the gallery; made if it does not exist.
        embedder: The model.
        images: With absolute paths; labels that are not known are empty.
        parts: Where part boxes come from.
        detector: Config and checkpoint of the part detector, remembered for queries.
        progress: Show a bar.

    Raises:
        GalleryError: No image could be read, or the gallery is of another model or being written to.
    """
    times = {image.path: _time(image) for image in images}
    by_path = {encode_name(image.path): image for image in images}
    with changing(path, embedder.description, embedder.whole_config) as draft:
        known = set(np.concatenate([[b""], *(s.column("paths") for s in draft.shards)]).tolist())
        done = draft.take_over(by_path.keys() - known)
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
                    _write(draft, *key, pending.pop(key), times)
        finally:  # stopped by Ctrl-C or an error, nothing that was looked at is lost
            for key, rows in pending.items():
                _write(draft, *key, rows, times)
        if not draft.shards:
            reason = next(iter(result.failed.items()), ("no image", "was given"))
            raise GalleryError(f"none of {len(images)} images could be read: {': '.join(reason)}")
        sources = [[root, str(cache.path)] for root, cache in parts.caches]
        before = [source for source in draft.manifest["sources"] if source not in sources]
        draft.manifest["sources"] = before + sources
        if detector:
            draft.manifest["detector"] = [os.path.abspath(file) for file in detector]
        draft.commit()
    return result


def remove(
    path: str | os.PathLike[str], images: Sequence[str] = (), vehicles: Sequence[str] = ()
) -> int:
    """Take images out of a gallery, in one step; the image files are not touched.

    Args:
        path: Folder of the gallery.
        images: Files, folders, or patterns such as ``'data/*/cam2_*'``; the files need not exist any more.
        vehicles: Ids of vehicles, all of whose images go.

    Returns:
        How many images went.

    Raises:
        GalleryError: One of them fits no image of the gallery.
    """
    with changing(path) as draft:
        gallery = Gallery.open(path)
        names = [decode_name(name) for name in gallery.paths.tolist()]
        condemned = np.zeros(len(names), bool)
        for image in images:
            pattern = os.path.abspath(image)
            fits = [
                name == pattern
                or name.startswith(f"{pattern}/")
                or fnmatch.fnmatchcase(name, pattern)
                for name in names
            ]
            if not any(fits):
                raise GalleryError(f"{image} fits no image of {path}: nothing was removed")
            condemned |= fits
        for vehicle in vehicles:
            fits = gallery.vehicles == vehicle
            if not fits.any():
                raise GalleryError(f"{path} has no vehicle {vehicle!r}: nothing was removed")
            condemned |= fits
        draft.remove(condemned)
        draft.commit()
    return int(condemned.sum())


def _time(image: Annotation) -> Time:
    try:
        return Time.parse(image.time)
    except GalleryError as error:
        raise GalleryError(f"{image.path}: {error}") from None


def _write(
    draft: Draft,
    kind: str,
    classes: tuple[str, ...],
    slots: int,
    rows: list[tuple[Annotation, Embedded]],
    times: dict[str, Time],
) -> None:
    """Write images as a shard."""
    images, found = zip(*rows)
    parts = weights = None
    if slots:
        parts, weights = (
            np.zeros(len(rows), record_dtype(slots)),
            np.zeros((len(rows), slots), "f4"),
        )
        for record, row, seen in zip(parts, weights, found):
            count = len(seen.parts)
            record["boxes"][:count] = seen.parts.boxes
            record["scores"][:count] = seen.parts.scores
            record["labels"][:count] = seen.parts.labels
            record["count"], record["size"] = count, seen.parts.image_size
            row[:count] = seen.weights
    columns = Rows(
        np.stack([seen.feature for seen in found]).astype(np.float32),
        np.array([encode_name(image.path) for image in images]),
        np.array([image.vehicle for image in images], np.str_),
        np.array([image.camera for image in images], np.str_),
        np.array([times[image.path].value for image in images], np.float64),
        parts,
        weights,
    )
    draft.write(columns, kind, classes)
