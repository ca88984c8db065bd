"""Read a finished part cache."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detector.cache.layout import (
    COMMAND,
    FILES,
    INDEX_LAYOUT,
    MANIFEST,
    MANIFEST_SHAPE,
    PLAN,
    CacheError,
    damaged,
    decode_name,
    encode_name,
    first_slot,
    read_json,
)
from detector.cache.masks import overlap_masks
from detector.cache.parts import Parts
from detector.cache.records import FAILED, read_parts, record_dtype
from detector.common.files import file_sha256
from detector.common.schema import SchemaError, check


class PartCache:
    """A finished part cache, open for reading; cheap to open, to pickle and to share between processes.

    Attributes:
        path (Path): The folder.
        manifest (dict): How the cache was made.
        classes (tuple[str, ...]): Names of the labels.
        max_parts (int): Parts kept per image at most.
        mask_size (tuple[int, int] | None): Rows and columns of the masks, if the cache holds masks only.
        failed (dict[str, str]): Image -> reason, of the images that could not be read.

    Example:
        >>> import tempfile
        >>> from detector.cache.writer import PartCacheWriter
        >>> wheel = Parts(np.array([[0, 0, 10, 20]], "f4"), np.ones(1, "f4"), np.array([0]), (40, 40))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     writer = PartCacheWriter(
        ...         f"{folder}/parts", ["a.jpg"], {"classes": ["wheel"], "max_parts": 16}
        ...     )
        ...     _ = writer.fill(lambda image: wheel, progress=False)
        ...     cache = PartCache.open(f"{folder}/parts")
        ...     parts = cache.parts("a.jpg", 8)
        ...     masks = cache.masks("a.jpg", 8, (14, 14))
        >>> parts
        Parts(wheel 1.00 [0 0 10 20], image 40x40)
        >>> masks.shape, masks.dtype.name, int(masks[0].sum())
        ((8, 14, 14), 'bool', 28)
    """

    def __init__(self, path: str | os.PathLike[str], manifest: dict[str, Any]) -> None:
        self.path = Path(path)
        self.manifest = manifest
        self.classes: tuple[str, ...] = tuple(manifest["identity"]["classes"])
        self.max_parts = int(manifest["identity"]["max_parts"])
        mask_size = manifest["identity"].get("mask_size")
        self.mask_size: tuple[int, int] | None = tuple(mask_size) if mask_size else None
        self.failed: dict[str, str] = dict(manifest["failed"])
        self._map_files()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> PartCache:
        """Open a finished cache. Its content is checked by `verify`.

        Args:
            path: Folder of the cache.

        Raises:
            CacheError: There is no cache at ``path``, its extraction has not finished, or files are missing,
                cut short or of another schema.
        """
        folder = Path(path)
        # Checked first: a process that finishes the cache now writes the manifest and then removes the plan.
        unfinished = (folder / PLAN).is_file()
        if (folder / MANIFEST).is_file():
            manifest = read_json(folder / MANIFEST)
            try:
                check(manifest, MANIFEST_SHAPE)
            except SchemaError as error:
                raise damaged(folder, f"{MANIFEST}: {error}") from None
            try:
                return cls._open_files(folder, manifest)
            except (KeyError, TypeError, AttributeError, OverflowError) as error:
                reason = f"{MANIFEST}: {type(error).__name__}: {error}"
                raise damaged(folder, reason) from None
        if unfinished:
            raise CacheError(
                f"the extraction into {folder} has not finished: run the same command again "
                "(tools/extract_parts.py, or tools/part_cache.py for an import) to resume it"
            )
        state = "is not a part cache" if folder.exists() else "does not exist"
        raise CacheError(f"{folder} {state}: create one with `{COMMAND} --out {folder}`")

    @classmethod
    def _open_files(cls, folder: Path, manifest: dict[str, Any]) -> PartCache:
        for name in FILES:
            file = folder / name
            if not file.is_file() or file.stat().st_size != manifest["files"][name]["bytes"]:
                state = "cut short or changed" if file.is_file() else "missing"
                raise damaged(folder, f"{name} is {state}")
        return cls(folder, manifest)

    def _map_files(self) -> None:
        try:
            layout = record_dtype(self.max_parts, self.mask_size)
            maps = [np.load(self.path / name, mmap_mode="r", allow_pickle=False) for name in FILES]
        except Exception as error:  # numpy raises many kinds for a broken file or layout
            reason = f"{type(error).__name__}: {error}".partition("\n")[0]
            raise damaged(self.path, reason) from None
        # Plain arrays: indexing a memmap takes several times as long.
        records, names, offsets, table = (array.view(np.ndarray) for array in maps)
        self._records: np.ndarray = records
        agree = len(table) >= len(self) == len(offsets) - 1 == self.manifest["num_images"]
        agree &= [(a.dtype.str, a.ndim) for a in (names, offsets, table)] == INDEX_LAYOUT
        if records.dtype != layout or not agree:
            raise damaged(self.path, "its files disagree")
        # A memoryview is faster than an array for a single number or path, and a field of all records faster
        # than the field of one.
        self._names, self._offsets, self._table = (
            memoryview(names),
            memoryview(offsets),
            memoryview(table),
        )
        self._counts = records["count"]
        self._boxes = None if self.mask_size else records["boxes"]

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "manifest": self.manifest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]  # maps the files in the other process

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, image: object) -> bool:
        return isinstance(image, str) and self._find(image) is not None

    def __repr__(self) -> str:
        return f"PartCache({str(self.path)!r}, images={len(self)}, max_parts={self.max_parts})"

    def images(self) -> Iterable[str]:
        """Iterate over the images' paths in the order of the cache, which is sorted."""
        return (self._name(i) for i in range(len(self)))

    def records(self) -> np.ndarray:
        """Return all records in the order of `images`, of type `record_dtype`; read-only."""
        return self._records

    def _name(self, index: int) -> str:
        return decode_name(bytes(self._names[self._offsets[index] : self._offsets[index + 1]]))

    def _find(self, image: str) -> int | None:
        """Return the index of an image's record, or None if the image was never extracted."""
        name, table = encode_name(image), self._table
        slot = first = first_slot(name, len(table))
        while (index := table[slot]) >= 0:  # the order of `name_slots`, without its generator
            if self._names[self._offsets[index] : self._offsets[index + 1]] == name:
                return index
            slot = (slot + 1) % len(table)
            if slot == first:
                break
        return None

    def parts(self, image: str, num_parts: int | None = None) -> Parts:
        """Return the most confident parts of an image.

        Args:
            image: Path relative to the data root, with forward slashes.
            num_parts: D, at most `max_parts`; None for all cached parts.

        Returns:
            At most ``num_parts`` parts; an image may have none.

        Raises:
            CacheError: The image was never extracted or could not be read, ``num_parts`` is too large, or the
                cache holds masks only.
        """
        num_parts = self.max_parts if num_parts is None else self._checked(num_parts)
        if self.mask_size:
            raise CacheError(f"{self.path} holds masks and no boxes: run `{COMMAND}` for boxes")
        record = self._records[self._index(image)]
        try:
            return read_parts(record, self.classes, num_parts)
        except ValueError as error:
            raise damaged(self.path, f"{image}: {error}") from None

    def slots(self, image: str, num_parts: int) -> np.ndarray:
        """Return the boxes of an image as a training run needs them.

        Args:
            image: Path relative to the data root, with forward slashes.
            num_parts: D, at most `max_parts`.

        Returns:
            (num_parts, 4) float32; empty slots are zero.

        Raises:
            CacheError: See `parts`.
        """
        if self._boxes is None:
            self.parts(image)  # raises: there are no boxes
            raise AssertionError
        return self._boxes[self._index(image)][: self._checked(num_parts)].copy()

    def _index(self, image: str) -> int:
        index = self._find(image)
        if index is None:
            raise CacheError(f"{image} is not in {self.path}: {self._fix()}")
        if self._counts.item(index) == FAILED:
            raise CacheError(
                f"{image} could not be read when it was extracted: {self.failed.get(image)}"
            )
        return index

    def masks(self, image: str, num_parts: int | None, size: tuple[int, int]) -> np.ndarray:
        """Return the parts of an image as masks over a feature map.

        Args:
            image: Path relative to the data root, with forward slashes.
            num_parts: D, at most `max_parts`; None for as many as the image has.
            size: Rows h and columns w of the feature map.

        Returns:
            (num_parts, h, w) bool, most confident first; the mask of an empty slot is False everywhere.

        Raises:
            CacheError: See `parts`; or the cache holds masks only, of another size.
        """
        if self.mask_size:
            return self._stored_masks(image, num_parts, size, self.mask_size)
        parts = self.parts(image, num_parts)
        boxes = parts.slots(num_parts or len(parts))
        rows, cols = (np.arange(n, dtype=np.float32) for n in size)
        return overlap_masks(boxes, parts.image_size, rows, cols)

    def _stored_masks(
        self, image: str, num_parts: int | None, size: tuple[int, int], stored: tuple[int, int]
    ) -> np.ndarray:
        if tuple(size) != stored:
            have, asked = ("x".join(map(str, s)) for s in (stored, size))
            raise CacheError(
                f"{self.path} has masks of {have} cells and no boxes, and {asked} was requested: use "
                f"{have}, or run `{COMMAND}` for boxes, which serve any size"
            )
        record = self._records[self._index(image)]
        slots = int(record["count"]) if num_parts is None else self._checked(num_parts)
        # Slots beyond the image's parts are zero in the record.
        cells = np.unpackbits(record["masks"][:slots], axis=1, count=size[0] * size[1])
        return cells.reshape(slots, *size).astype(bool)

    def verify(self) -> None:
        """Compare every file with its checksum in the manifest.

        Raises:
            CacheError: A file has changed since it was written.
        """
        for name in FILES:
            if file_sha256(self.path / name) != self.manifest["files"][name]["sha256"]:
                raise damaged(self.path, f"{name} has changed since it was written")

    def check(self, images: Iterable[str], num_parts: int) -> None:
        """Check before a training run that the cache has everything the run will read.

        An image without parts passes; one that could not be read, or was never extracted, does not.

        Args:
            images: Paths relative to the data root.
            num_parts: D.

        Raises:
            CacheError: Names what is missing and the command to run.
        """
        self._checked(num_parts)
        self.verify()
        images = list(images)
        if missing := [image for image in images if image not in self]:
            raise CacheError(
                f"{_count(missing)} of {len(images)} not in the part cache {self.path}: {self._fix()}"
            )
        if failed := [image for image in images if image in self.failed]:
            raise CacheError(
                f"{_count(failed)} of {len(images)} could not be read when {self.path} was "
                f"extracted ({self.failed[failed[0]]}): take them off the data set, or fix the files and "
                f"{self._fix()}"
            )

    def _checked(self, num_parts: int) -> int:
        if num_parts < 1:
            raise CacheError(f"num_parts must be at least 1, not {num_parts}")
        if num_parts > self.max_parts:
            raise CacheError(
                f"{self.path} holds up to {self.max_parts} parts per image, and {num_parts} were "
                f"requested: use {self.max_parts} or less, or {self._fix(num_parts)}"
            )
        return num_parts

    def _fix(self, max_parts: int | None = None) -> str:
        if source := self.manifest["identity"].get("imported"):
            return f"import the {source} again with `python tools/part_cache.py import-{source}`"
        return f"run `{COMMAND} --out NEW_FOLDER --max-parts {max_parts or self.max_parts}`"


def _count(images: Sequence[str]) -> str:
    if len(images) == 1:
        return f"1 image ({images[0]})"
    return f"{len(images)} images (first: {images[0]})"
