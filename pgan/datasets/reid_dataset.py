"""The base class of all vehicle re-identification data sets."""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from detector.cache import PartCache
from detector.common.images import ImageError
from pgan.datasets.disk import missing_images
from pgan.datasets.errors import DatasetError, refuse
from pgan.datasets.records import Annotation, Records, ReIDImage
from pgan.datasets.text import read_lines
from pgan.registry import TRANSFORMS

# Parses the content of a line into path, vehicle id and camera id, or raises DatasetError.
Parser = Callable[[Any], tuple[str, int, int]]


class ReIDDataset(BaseDataset):
    """Images of vehicles with their vehicle id, camera id and part boxes.

    A subclass defines the file that lists the images of a role (`list_file`) and how to parse a line of it
    (`parser`). ``split='train'`` holds the training images, with vehicles labelled 0..N-1 in ascending order
    of vehicle id. ``split='test'`` holds all test images in one data set; `pgan.engine.ReIDMetric` separates
    them by role: ``'query'`` and ``'gallery'`` if the data set lists both, ``'pool'`` if the protocol divides
    the images.

    ``metainfo`` holds ``dataset``, a title, and ``protocol``, the name of the evaluation protocol; see
    `pgan.evaluation.protocols`.

    Args:
        data_root: Folder of the data set.
        split: ``'train'`` or ``'test'``.
        part_cache: Folder written by ``tools/extract_parts.py``, or None for a model without parts.
        num_parts: D, the number of part slots per sample, filled with the most confident cached boxes.
        pipeline: Transforms. The first receives ``image_file``, the fields of `ReIDSample`, and
            ``part_boxes`` (D, 4) float32 in pixels of the stored image, with zeros in empty slots; or
            ``part_masks`` (D, h, w) bool if the cache holds only masks.
        test_size: Number of vehicles in the test list, if there are several lists; None for the smallest.
        metainfo: Overrides ``dataset`` or ``protocol``, for another data set in the same layout.
        max_bad: Number of unreadable image files that training tolerates, counting those that part extraction
            could not read. Each is replaced by the next image of its vehicle. Each worker counts its own.
            Testing replaces none.

    Raises:
        DatasetError: A file is missing or malformed, a split is empty, or part extraction could not read more
            than ``max_bad`` training images.
        CacheError: The cache lacks an image, or stores fewer than ``num_parts`` parts per image.
    """

    METAINFO = {"dataset": "", "protocol": "cross-camera"}
    TEST_ROLES: ClassVar[tuple[str, ...]] = ("query", "gallery")
    # Number of test vehicles -> protocol, smallest first, if there are several test lists.
    TEST_SIZES: ClassVar[dict[int, str]] = {}
    # Name of a list file -> published numbers of images (None if not published) and vehicles.
    PUBLISHED: ClassVar[dict[str, tuple[int | None, int]]] = {}

    def __init__(
        self,
        data_root: str,
        split: str = "train",
        part_cache: str | None = None,
        num_parts: int = 0,
        pipeline: Sequence[dict] = (),
        test_size: int | None = None,
        metainfo: dict[str, str] | None = None,
        max_bad: int = 0,
        **kwargs: Any,
    ) -> None:
        if split not in ("train", "test"):
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
        if max_bad < 0 or (max_bad and split == "test"):
            raise DatasetError(f"max_bad={max_bad}: use 0 or more, and 0 for a test")
        self.max_bad = max_bad
        self._bad: set[str] = set()
        self.split = split
        self.test_size = self._checked_test_size(test_size)
        self.with_parts = bool(part_cache)
        self.num_parts = num_parts
        self.part_cache = PartCache.open(part_cache) if num_parts and part_cache else None
        self.on_fault: Callable[[DatasetError], None] = refuse
        self._stated = dict(metainfo or {})
        # Built here from our registry, so that no default scope is needed.
        transforms = [
            TRANSFORMS.build(step) if isinstance(step, dict) else step for step in pipeline
        ]
        super().__init__(data_root=data_root, pipeline=transforms, serialize_data=False, **kwargs)
        # Not passed to mmengine, which takes a string for a file name.
        self._metainfo |= {"protocol": self.protocol(), **self._stated}

    def _checked_test_size(self, test_size: int | None) -> int | None:
        sizes = self.TEST_SIZES
        if test_size is None:
            return next(iter(sizes), None)
        if test_size not in sizes:
            fix = f"use {', '.join(map(str, sizes))}" if sizes else "omit it"
            raise DatasetError(
                f"test_size={test_size!r}: {type(self).__name__} has no such list: {fix}"
            )
        return test_size

    @abstractmethod
    def list_file(self, role: str) -> Path:
        """The file that lists the images of a role: train, query, gallery or pool."""

    @abstractmethod
    def parser(self, role: str) -> Parser:
        """Return the function that parses a line of that file into path, vehicle id and camera id."""

    def entries(self, role: str) -> Iterable[tuple[int, Any]]:
        """Line number and content of each line of the role's list."""
        return read_lines(self.list_file(role))

    def protocol(self) -> str:
        """Name of the evaluation protocol of the test images."""
        if self.test_size is None:
            return self.METAINFO["protocol"]
        return self.TEST_SIZES[self.test_size]

    def roles(self) -> tuple[str, ...]:
        """The roles of this split's images."""
        return ("train",) if self.split == "train" else self.TEST_ROLES

    def read_split(self, role: str) -> list[ReIDImage]:
        """Read the images of one role, in the order of its list.

        A malformed line, a duplicate line or an empty list is passed to ``on_fault``, which raises it by
        default. If ``on_fault`` returns instead, the line is skipped.
        """
        file, parse = self.list_file(role), self.parser(role)
        images: dict[str, ReIDImage] = {}
        for line, entry in self.entries(role):
            try:
                path, vehicle, camera = parse(entry)
            except DatasetError as error:
                self.on_fault(DatasetError(f"{file}:{line}: {error}", error.kind))
                continue
            if path in images:
                before = f"{path} was listed before, at {file}:{images[path].line}"
                self.on_fault(DatasetError(f"{file}:{line}: {before}", "duplicate line"))
                continue
            images[path] = ReIDImage(path, vehicle, camera, line)
        if not images:
            self.on_fault(DatasetError(f"{file}: the {role} split lists no image", "empty list"))
        return list(images.values())

    def annotations(self, role: str) -> Iterator[Annotation]:
        """The images of one role, in the order of its list, with their labels as the list spells them."""
        for image in self.read_split(role):
            camera = str(image.camera_id) if image.camera_id >= 0 else ""
            yield Annotation(image.path, str(image.vehicle_id), camera)

    def load_data_list(self) -> Records:
        """Read the split, check it against the disk and the part cache, and log its counts."""
        found = {role: self.read_split(role) for role in self.roles()}
        for role, images in found.items():
            print_log(self.describe(role, images), logger="current")
        paths = self._check_files(found)
        if self.part_cache is not None:
            replaced = self._replaced(paths, self.part_cache) if self.split == "train" else set()
            self.part_cache.check([path for path in paths if path not in replaced], self.num_parts)
        if self.split == "train":
            vehicles = {image.vehicle_id for image in found["train"]}
            self._metainfo["num_vehicles"] = len(vehicles)
        return Records(found, labelled=self.split == "train")

    def _replaced(self, paths: list[str], cache: PartCache) -> set[str]:
        """Return the training images that part extraction could not read, which have no parts."""
        failed = [path for path in paths if path in cache.failed]
        if len(failed) > self.max_bad:
            first = failed[0]
            raise DatasetError(
                f"{len(failed)} of {len(paths)} images could not be read when {cache.path} was extracted, "
                f"the first is {first} ({cache.failed[first]}): fix the files and extract again, or set "
                f"train_dataloader.dataset.max_bad={len(failed)} or more for other images of their vehicles "
                "in their place"
            )
        return set(failed)

    def describe(self, role: str, images: list[ReIDImage]) -> str:
        """One line with the counts of a role, and the published counts if they differ."""
        vehicles = len({image.vehicle_id for image in images})
        cameras = len({image.camera_id for image in images} - {-1})
        found = (
            f"{type(self).__name__} {role}: {len(images)} images of {vehicles} vehicles, "
            f"{cameras or 'unknown'} cameras"
        )
        published = self.PUBLISHED.get(self.list_file(role).name)
        if published is None or "dataset" in self._stated:  # another set has other counts
            return found
        if published[1] == vehicles and published[0] in (len(images), None):
            return f"{found}, as published"
        return f"{found}; published: {published[0] or '?'} images of {published[1]} vehicles"

    def where(self, role: str, image: ReIDImage) -> str:
        """File and line that list an image, or the path of the image if there is no list."""
        if image.line:
            return f"{self.list_file(role)}:{image.line}"
        return str(Path(self.data_root) / image.path)

    def further_faults(self, found: dict[str, list[ReIDImage]]) -> Iterable[DatasetError]:
        """Faults in files that neither training nor testing needs."""
        return ()

    def _check_files(self, found: dict[str, list[ReIDImage]]) -> list[str]:
        """Return every distinct image, after checking that all of them exist."""
        paths = list(dict.fromkeys(image.path for role in found for image in found[role]))
        if missing := missing_images(self.data_root, paths):
            where = next(
                self.where(role, image)
                for role in found
                for image in found[role]
                if image.path == missing[0]
            )
            raise DatasetError(
                f"{where}: {missing[0]}: listed but not there ({len(missing)} of {len(paths)} images are "
                "missing): check data_root and the image folders",
                "missing image",
            )
        return paths

    def column(self, key: str) -> list[Any]:
        """One field of every record, in order, without reading parts."""
        self.full_init()
        return [record[key] for record in self.data_list]

    def image_paths(self) -> list[str]:
        """Return every distinct image, relative to ``data_root``: the input of part extraction."""
        return list(dict.fromkeys(self.column("img_path")))

    @property
    def vehicle_labels(self) -> np.ndarray:
        """(N,) int64 class index of each training image, for the PK sampler."""
        return np.array(self.column("vehicle_label"))

    @property
    def num_vehicles(self) -> int:
        """Number of identities in the training split."""
        self.full_init()
        return self.metainfo["num_vehicles"]

    def prepare_data(self, idx: int) -> Any:
        """Return a sample through the pipeline; see `first_readable`."""
        return self.first_readable(idx, super().prepare_data)

    def first_readable(self, index: int, load: Callable[[int], Any]) -> Any:
        """Load an image; in training, load the next readable image of its vehicle if it cannot be read.

        Raises:
            DatasetError: More than ``max_bad`` images are unreadable, or all images of the vehicle are.
            ImageError: A test image cannot be read.
        """
        try:
            return load(index)
        except ImageError as error:
            if self.split == "test":
                raise
            self._count_bad(error)
            before = error
        same = np.flatnonzero(self._labels == self._labels[index])
        at = int(np.searchsorted(same, index))
        for other in (*same[at + 1 :], *same[:at]):
            try:
                return load(int(other))
            except ImageError as error:
                self._count_bad(error)
        raise DatasetError(
            f"{before}: and no other image of its vehicle can be read: fix the files"
        )

    def _count_bad(self, error: ImageError) -> None:
        if error.path in self._bad:
            return
        if len(self._bad) == self.max_bad:
            raise DatasetError(
                f"{error}: fix the file or take it off its list, or set train_dataloader.dataset.max_bad="
                f"{self.max_bad + 1} or more for another image of its vehicle in its place"
            ) from error
        self._bad.add(error.path)
        print_log(f"{error}: another image of its vehicle replaces it", "current", logging.WARNING)

    @cached_property
    def _labels(self) -> np.ndarray:
        return self.vehicle_labels

    def get_data_info(self, idx: int) -> dict:
        """Return one record, with the file's full path and its parts added."""
        info = super().get_data_info(idx)
        info["image_file"] = str(Path(self.data_root) / info["img_path"])
        if self.with_parts:
            info.update(self._part_slots(info["img_path"]))
        return info

    def _part_slots(self, path: str) -> dict[str, np.ndarray]:
        """The D part slots of an image: boxes in pixels of the stored image, or masks; zeros if empty."""
        if self.part_cache is not None and path in self.part_cache.failed:
            raise ImageError(path, self.part_cache.failed[path])
        if self.part_cache is not None and self.part_cache.mask_size:
            size = self.part_cache.mask_size
            return {"part_masks": self.part_cache.masks(path, self.num_parts, size)}
        if self.part_cache is None:
            return {"part_boxes": np.zeros((self.num_parts, 4), np.float32)}
        return {"part_boxes": self.part_cache.slots(path, self.num_parts)}
