"""The base of all vehicle re-identification data sets."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from detector.cache import PartCache
from pgan.registry import TRANSFORMS

SPLITS = {"train": ("train",), "test": ("query", "gallery")}


class DatasetError(ValueError):
    """A data set that cannot be used; the message names the file, the line and the mend."""


@dataclass(frozen=True)
class ReIDImage:
    """One line of a data set.

    Attributes:
        path: Relative to the data root, with ``/``; the key of the part cache.
        vehicle_id: Identity; only equality matters.
        camera_id: Camera, or -1 where it is not known.
    """

    path: str
    vehicle_id: int
    camera_id: int = -1


class ReIDDataset(BaseDataset):
    """Images of vehicles with their identity, camera and part boxes.

    A subclass reads its own files in :meth:`read_split`. ``split='train'`` gives the training images,
    with identities numbered 0..N-1 in ascending order of vehicle id; ``split='test'`` gives the queries
    and then the gallery, in one data set, for :class:`pgan.evaluation.ReIDMetric` to tell apart by role.

    Args:
        data_root: Folder of the data set.
        split: ``'train'`` or ``'test'``.
        part_cache: Folder written by ``tools/extract_parts.py``, or None for a model without parts.
        num_parts: D, how many of the cached boxes each sample carries, most confident first.
        pipeline: Transforms; the first gets ``image_file``, the fields of :class:`ReIDSample`, and
            ``part_boxes`` (D, 4) in pixels of the stored image with zeros in empty slots.

    Raises:
        DatasetError: A file is missing or malformed, or a split is empty.
        CacheError: The cache lacks an image, or holds fewer than ``num_parts`` parts per image.
    """

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        part_cache: str | None = None,
        num_parts: int = 0,
        pipeline: Sequence[dict] = (),
        **kwargs: Any,
    ) -> None:
        if split not in SPLITS:
            raise DatasetError(f"split={split!r} is unknown: use 'train' or 'test'")
        if not data_root or not Path(data_root).is_dir():
            raise DatasetError(f"data_root={data_root!r} is not a folder: set it to the data set's")
        if num_parts < 0:
            raise DatasetError(f"num_parts={num_parts} is negative: use 0 or more")
        if num_parts and not part_cache:
            raise DatasetError(
                f"num_parts={num_parts} needs part_cache: set it to the folder that "
                "tools/extract_parts.py wrote"
            )
        self.split = split
        self.with_parts = bool(part_cache)
        self.num_parts = num_parts
        self.part_cache = PartCache.open(part_cache) if num_parts else None
        # Built here, from our own registry, so that no default scope is needed.
        transforms = [
            TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline
        ]
        super().__init__(data_root=data_root, pipeline=transforms, **kwargs)

    @abstractmethod
    def read_split(self, role: str) -> list[ReIDImage]:
        """Read the images of one role: ``'train'``, ``'query'`` or ``'gallery'``."""

    def load_data_list(self) -> list[dict]:
        """Read the split, check it against the disk and the part cache, and report what was found."""
        records: list[dict] = []
        for role in SPLITS[self.split]:
            images = self.read_split(role)
            if not images:
                raise DatasetError(f"{self.data_root}: the {role} split lists no image")
            self._report(role, images)
            records += [_record(image, role) for image in images]
        paths = list(dict.fromkeys(record["img_path"] for record in records))
        self._check_files(paths)
        if self.part_cache is not None:
            self.part_cache.check(paths, self.num_parts)
        if self.split == "train":
            labels = {v: i for i, v in enumerate(sorted({r["vehicle_id"] for r in records}))}
            for record in records:
                record["vehicle_label"] = labels[record["vehicle_id"]]
            self._metainfo["num_vehicles"] = len(labels)
        return records

    def _report(self, role: str, images: list[ReIDImage]) -> None:
        vehicles = len({image.vehicle_id for image in images})
        cameras = len({image.camera_id for image in images} - {-1})
        print_log(
            f"{type(self).__name__} {role}: {len(images)} images of {vehicles} vehicles, "
            f"{cameras or 'unknown'} cameras",
            logger="current",
        )

    def _check_files(self, paths: list[str]) -> None:
        root = Path(self.data_root)
        missing = [path for path in paths if not (root / path).is_file()]
        if missing:
            raise DatasetError(
                f"{root / missing[0]}: listed but not there ({len(missing)} of {len(paths)} images "
                "are missing): check data_root and the image folders"
            )

    def image_paths(self) -> list[str]:
        """Return every image once, relative to ``data_root``: what the detector has to look at."""
        self.full_init()
        return list(dict.fromkeys(self.get_data_info(i)["img_path"] for i in range(len(self))))

    @property
    def vehicle_labels(self) -> np.ndarray:
        """(N,) int64 class index of each training image, for the PK sampler."""
        self.full_init()
        return np.array([self.get_data_info(i)["vehicle_label"] for i in range(len(self))])

    @property
    def num_vehicles(self) -> int:
        """Number of identities in the training split."""
        self.full_init()
        return self.metainfo["num_vehicles"]

    def get_data_info(self, idx: int) -> dict:
        """Return one record, with the file's full path and its part boxes added."""
        info = super().get_data_info(idx)
        info["image_file"] = str(Path(self.data_root) / info["img_path"])
        if self.with_parts:
            info.update(self._part_slots(info["img_path"]))
        return info

    def _part_slots(self, path: str) -> dict[str, np.ndarray]:
        """The D slots of an image: boxes in pixels of the stored image; empty slots hold zeros."""
        boxes = np.zeros((self.num_parts, 4), np.float32)
        scores = np.zeros(self.num_parts, np.float32)
        labels = np.full(self.num_parts, -1, np.int64)
        if self.part_cache is not None:
            parts = self.part_cache.parts(path, self.num_parts)
            n = len(parts.boxes)
            boxes[:n], scores[:n], labels[:n] = parts.boxes, parts.scores, parts.labels
        return {"part_boxes": boxes, "part_scores": scores, "part_labels": labels}


def _record(image: ReIDImage, role: str) -> dict:
    return {
        "img_path": image.path,
        "vehicle_id": image.vehicle_id,
        "camera_id": image.camera_id,
        "role": role,
    }


def relative_path(name: str, where: str) -> str:
    """Normalise an image's name as a data set's file states it.

    Raises:
        DatasetError: The name is empty, absolute, or leaves the data set's folder.
    """
    path = PurePosixPath(name.strip().replace("\\", "/"))
    if not name.strip() or path.is_absolute() or ".." in path.parts or ":" in path.parts[0]:
        raise DatasetError(f"{where}: {name!r} must be a path inside the data set's folder")
    return str(path)


def refuse_duplicates(images: Iterable[tuple[str, ReIDImage]]) -> list[ReIDImage]:
    """Return the images of (where, image) pairs, refusing a path that is listed twice."""
    first: dict[str, str] = {}
    kept = []
    for where, image in images:
        if image.path in first:
            raise DatasetError(f"{where}: {image.path} was listed before, at {first[image.path]}")
        first[image.path] = where
        kept.append(image)
    return kept
