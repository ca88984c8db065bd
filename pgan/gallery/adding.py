"""Putting images into a gallery, taking them out, and making queries of them."""

from __future__ import annotations

import fnmatch
import os
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope

from detector.cache import decode_name, encode_name, record_dtype
from detector.images import list_images
from pgan.apis import load_reid_config
from pgan.datasets import ReIDDataset
from pgan.datasets.records import Annotation
from pgan.gallery.draft import SHARD_ROWS, Draft, changing, refuse_other_model
from pgan.gallery.embedding import Embedded, Embedder, PartSource
from pgan.gallery.errors import GalleryError
from pgan.gallery.search import Query
from pgan.gallery.store import MODEL, Entry, Gallery, Rows
from pgan.gallery.times import Time
from pgan.registry import DATASETS

ROLES = ("gallery", "query", "train")


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


def image_files(paths: Sequence[str]) -> list[str]:
    """Absolute paths of image files and of all images in folders, each once.

    Raises:
        GalleryError: One of them is not there.
        DetectorError: A folder has no image.
    """
    files: list[str] = []
    for path in paths:
        if Path(path).is_dir():
            files += [os.path.join(path, name) for name in list_images(path)]
        elif Path(path).is_file():
            files.append(path)
        else:
            raise GalleryError(f"{path}: no such image or folder")
    return list(dict.fromkeys(map(os.path.abspath, files)))


def dataset_images(
    config: str,
    options: dict[str, Any] | None = None,
    roles: Sequence[str] = ("gallery",),
    prefix: str = "",
) -> tuple[ReIDDataset, list[Annotation]]:
    """The images of a re-identification config with their labels, paths absolute.

    Args:
        config: File of the config.
        options: Keys of it to override.
        roles: Of :data:`ROLES`; images that the protocol itself divides count as gallery.
        prefix: Put before vehicle and camera ids, so that those of several data sets are kept apart.

    Raises:
        ConfigError, DatasetError: See there; also for the training images of a union.
    """
    cfg = load_reid_config(config, options)
    init_default_scope(cfg.get("default_scope", "pgan"))
    images: list[Annotation] = []
    for loader, chosen in (
        ("test_dataloader", [role for role in roles if role != "train"]),
        ("train_dataloader", [role for role in roles if role == "train"]),
    ):
        if not chosen:
            continue
        settings = ConfigDict(cfg[loader].dataset, part_cache=None, num_parts=0, pipeline=[])
        dataset = DATASETS.build(settings)
        if not isinstance(dataset, ReIDDataset):
            raise GalleryError(
                f"{config}: its training images are a union: add its members one by one"
            )
        found = dataset.roles()
        wanted = [r for r in found if r in chosen or (r == "pool" and "gallery" in chosen)]
        for role in wanted:
            for image in dataset.annotations(role):
                images.append(
                    image._replace(
                        path=os.path.abspath(os.path.join(dataset.data_root, image.path)),
                        vehicle=prefix + image.vehicle,
                        camera=image.camera and prefix + image.camera,
                    )
                )
    if not images:
        raise GalleryError(f"{config}: its data set has no images of the roles {', '.join(roles)}")
    return dataset, images


def add(
    path: str | os.PathLike[str],
    embedder: Embedder,
    images: Sequence[Annotation],
    parts: PartSource,
    detector: dict[str, Any] | None = None,
    progress: bool = False,
) -> Addition:
    """Add images to a gallery, all or none; those that are there already are skipped.

    Stopped in between, the gallery is as it was, and the next addition of the same images goes on.

    Args:
        path: Folder of the gallery; made if it does not exist.
        embedder: The model.
        images: With absolute paths; labels that are not known are empty.
        parts: Where part boxes come from.
        detector: Remembered for queries, as JSON values.
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
        for file, found in embedder.embed(todo, parts, progress):
            if isinstance(found, str):
                result.failed[file] = found
                continue
            key = (times[file].kind, found.classes, embedder.num_parts * (found.parts is not None))
            pending[key].append((by_path[encode_name(file)], found))
            result.added += 1
            if len(pending[key]) == SHARD_ROWS:
                _write(draft, *key, pending.pop(key), times)
        for key, rows in pending.items():
            _write(draft, *key, rows, times)
        if not draft.shards:
            reason = next(iter(result.failed.items()), ("no image", "was given"))
            raise GalleryError(f"none of {len(images)} images could be read: {': '.join(reason)}")
        sources = [[os.path.abspath(root), os.path.abspath(c.path)] for root, c in parts.caches]
        before = [source for source in draft.manifest["sources"] if source not in sources]
        draft.manifest["sources"] = before + sources
        draft.manifest["detector"] = detector or draft.manifest["detector"]
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


def remembered_embedder(gallery: Gallery) -> Embedder:
    """The model that a gallery was built with.

    Raises:
        GalleryError: Its weights are not where they were, or are others now.
    """
    checkpoint = gallery.model["checkpoint"]
    if not Path(checkpoint).is_file():
        raise GalleryError(
            f"{gallery.path}: the weights of its model, {checkpoint}, are not there any more: say where they "
            "are with --model CONFIG CHECKPOINT"
        )
    return Embedder(str(gallery.path / MODEL), checkpoint)


def make_queries(
    gallery: Gallery,
    files: Sequence[str],
    embedder: Callable[[], Embedder],
    parts: Callable[[], PartSource],
    progress: bool = False,
) -> tuple[list[Query], dict[str, str]]:
    """Turn images into queries; what is in the gallery is taken from there, and needs no model.

    Args:
        gallery: To be searched.
        files: Absolute paths.
        embedder: Gives the model, if it is needed.
        parts: Gives where part boxes come from, if it is needed.
        progress: Show a bar.

    Returns:
        The queries in the files' order, and path of each image that cannot be read -> why.

    Raises:
        GalleryError: The model is not the gallery's; see `Embedder.embed` too.
    """
    rows = {file: gallery.find(file) for file in files}
    present = [row for row in rows.values() if row is not None]
    features = gallery.features(np.array(present, np.int64))
    entries = gallery.entries(present)
    queries = {
        entry.path: Query(feature, entry, row)
        for row, feature, entry in zip(present, features, entries)
    }
    failed: dict[str, str] = {}
    if new := [file for file in files if rows[file] is None]:
        model = embedder()
        refuse_other_model(gallery, model.description)
        for file, found in model.embed(new, parts(), progress):
            if isinstance(found, str):
                failed[file] = found
                continue
            labels = [] if found.parts is None else [found.classes[i] for i in found.parts.labels]
            known = Entry(file, "", "", Time(), found.parts, found.weights, labels)
            queries[file] = Query(found.feature, known)
    return [queries[file] for file in files if file in queries], failed


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
