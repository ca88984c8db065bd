"""Reading a finished part cache."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from detector.cache.layout import (
    COMMAND,
    FAILED,
    FILES,
    INDEX_LAYOUT,
    MANIFEST,
    MANIFEST_SHAPE,
    MASK_SIZE,
    PLAN,
    CacheError,
    damaged,
    decode_name,
    encode_name,
    first_slot,
    read_json,
    record_dtype,
)
from detector.cache.masks import overlap_masks
from detector.cache.parts import Parts
from detector.common.files import file_sha256
from detector.common.schema import fits


class PartCache:
    """A finished part cache, open for reading. Cheap to open, to pickle and to share by processes.

    Attributes:
        path (Path): The folder.
        manifest (dict): All that is known of how it was made.
        classes (tuple[str, ...]): Names of the labels.
        max_parts (int): Parts kept of one image at most.
        mask_size (tuple[int, int] | None): Rows and columns of the masks, for a cache of masks alone.
        failed (dict[str, str]): Images that could not be read, and why.

    >>> cache = PartCache.open("caches/veri776")                                  # doctest: +SKIP
    >>> cache.masks("image_train/0001_c001_00016450_0.jpg", 8, (14, 14)).shape    # doctest: +SKIP
    (8, 14, 14)
    """

    def __init__(self, path: str | os.PathLike[str], manifest: dict[str, Any]) -> None:
        self.path = Path(path)
        self.manifest = manifest
        self.classes = tuple(manifest["identity"]["classes"])
        self.max_parts = int(manifest["identity"]["max_parts"])
        mask_size = manifest["identity"].get("mask_size")
        self.mask_size = tuple(mask_size) if mask_size else None
        self.failed: dict[str, str] = dict(manifest["failed"])
        self._map_files()

    @classmethod
    def open(cls, path: str | os.PathLike[str]) -> PartCache:
        """Open a finished cache.

        Raises:
            CacheError: There is none at `path`, its extraction has not finished, or files are
                missing, cut short or of another schema. Content is checked by `verify`.
        """
        folder = Path(path)
        # Asked first: whoever finishes the cache now writes the manifest, and then removes the plan.
        unfinished = (folder / PLAN).is_file()
        if (folder / MANIFEST).is_file():
            manifest = read_json(folder / MANIFEST)
            if not fits(manifest, MANIFEST_SHAPE):
                raise damaged(folder, f"{MANIFEST} lacks something, or it makes no sense")
            try:
                return cls._of(folder, manifest)
            except (KeyError, TypeError, AttributeError, OverflowError) as error:
                reason = f"{MANIFEST}: {type(error).__name__}: {error}"
                raise damaged(folder, reason) from None
        if unfinished:
            raise CacheError(
                f"the extraction into {folder} has not finished: run the same command again "
                "(tools/extract_parts.py, or tools/part_cache.py for an import), it goes on where it stopped"
            )
        state = "is not a part cache" if folder.exists() else "does not exist"
        raise CacheError(f"{folder} {state}: make one with `{COMMAND} --out {folder}`")

    @classmethod
    def _of(cls, folder: Path, manifest: dict[str, Any]) -> PartCache:
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
        # As plain arrays: memmap's own indexing takes several times as long.
        self._records, *index = (array.view(np.ndarray) for array in maps)
        agree = len(index[2]) >= len(self) == len(index[1]) - 1 == self.manifest["num_images"]
        agree &= [(array.dtype.str, array.ndim) for array in index] == INDEX_LAYOUT
        agree &= fits(self.manifest["identity"].get("mask_size"), MASK_SIZE)
        if self._records.dtype != layout or not agree:
            raise damaged(self.path, "its files disagree")
        # For one number or one path a memoryview is quicker still, and a field of all records than of one.
        self._names, self._offsets, self._table = map(memoryview, index)
        self._counts = self._records["count"]
        self._boxes = None if self.mask_size else self._records["boxes"]

    def __getstate__(self) -> dict[str, Any]:
        return {"path": self.path, "manifest": self.manifest}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(**state)  # type: ignore[misc]

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, image: object) -> bool:
        return isinstance(image, str) and self._find(image) is not None

    def __repr__(self) -> str:
        return f"PartCache({str(self.path)!r}, images={len(self)}, max_parts={self.max_parts})"

    def images(self) -> Iterable[str]:
        """The images' paths, in the cache's order (sorted)."""
        return (self._name(i) for i in range(len(self)))

    def records(self) -> np.ndarray:
        """All records in the order of `images`, as `record_dtype` lays them out; not to be written to."""
        return self._records

    def _name(self, index: int) -> str:
        return decode_name(bytes(self._names[self._offsets[index] : self._offsets[index + 1]]))

    def _find(self, image: str) -> int | None:
        """Index of an image's record, None if it was never extracted."""
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
        """The most confident parts of an image.

        Args:
            image: Path relative to the data root, with forward slashes.
            num_parts: D, at most `max_parts`; None for all that are cached.

        Returns:
            At most `num_parts` parts; none at all is a valid answer.

        Raises:
            CacheError: The image was never extracted, could not be read then, too many parts are
                asked for, or the cache has masks alone.
        """
        num_parts = self.max_parts if num_parts is None else self._checked(num_parts)
        if self.mask_size:
            raise CacheError(f"{self.path} has masks alone, no boxes: run `{COMMAND}` for boxes")
        record = self._records[self._index(image)]
        count = min(int(record["count"]), num_parts)
        return Parts(
            np.array(record["boxes"][:count]),
            np.array(record["scores"][:count]),
            record["labels"][:count].astype(np.int64),
            (int(record["size"][0]), int(record["size"][1])),
        )

    def slots(self, image: str, num_parts: int) -> np.ndarray:
        """The boxes of `parts` alone, as a training asks for them: (num_parts, 4) float32, empty slots zero.

        Raises:
            CacheError: As `parts`.
        """
        if self._boxes is None:
            self.parts(image)  # says that there are none
        return self._boxes[self._index(image)][: self._checked(num_parts)].copy()

    def _index(self, image: str) -> int:
        index = self._find(image)
        if index is None:
            raise CacheError(f"{image} is not in {self.path}: {self._mend()}")
        if self._counts.item(index) == FAILED:
            raise CacheError(f"{image} could not be read when extracted: {self.failed.get(image)}")
        return index

    def masks(self, image: str, num_parts: int | None, size: tuple[int, int]) -> np.ndarray:
        """The parts of an image as masks over a feature map.

        Args:
            image: Path relative to the data root, with forward slashes.
            num_parts: D, at most `max_parts`; None for as many as the image has.
            size: Rows h and columns w of the feature map.

        Returns:
            (num_parts, h, w) bool, most confident first; slots without a part are all False.

        Raises:
            CacheError: As `parts`; or the cache has masks alone, of another size.
        """
        if self.mask_size:
            return self._stored_masks(image, num_parts, size)
        parts = self.parts(image, num_parts)
        boxes = parts.slots(num_parts or len(parts))
        rows, cols = (np.arange(n, dtype=np.float32) for n in size)
        return overlap_masks(boxes, parts.image_size, rows, cols)

    def _stored_masks(self, image: str, num_parts: int | None, size: tuple[int, int]) -> np.ndarray:
        if tuple(size) != self.mask_size:
            have, asked = ("x".join(map(str, s)) for s in (self.mask_size, size))
            raise CacheError(
                f"{self.path} has masks of {have} cells and no boxes, {asked} are asked for: ask for "
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
        """Make sure, before training, that the cache holds all that a run will ask of it.

        'No part found' passes; 'could not be read' and 'never extracted' do not.

        Args:
            images: Paths relative to the data root.
            num_parts: D.

        Raises:
            CacheError: Says what is missing and what to run.
        """
        self._checked(num_parts)
        self.verify()
        images = list(images)
        if missing := [image for image in images if image not in self]:
            raise CacheError(
                f"{_some(missing)} of {len(images)} not in the part cache {self.path}: {self._mend()}"
            )
        if failed := [image for image in images if image in self.failed]:
            raise CacheError(
                f"{_some(failed)} of {len(images)} could not be read when {self.path} was "
                f"extracted ({self.failed[failed[0]]}): leave them out of the data set, or mend "
                f"the files and {self._mend()}"
            )

    def _checked(self, num_parts: int) -> int:
        if num_parts < 1:
            raise CacheError(f"num_parts must be at least 1, not {num_parts}")
        if num_parts > self.max_parts:
            raise CacheError(
                f"{self.path} holds up to {self.max_parts} parts an image, {num_parts} are asked "
                f"for: ask for at most {self.max_parts}, or {self._mend(num_parts)}"
            )
        return num_parts

    def _mend(self, max_parts: int | None = None) -> str:
        if source := self.manifest["identity"].get("imported"):
            return f"import the {source} again with `python tools/part_cache.py import-{source}`"
        return f"run `{COMMAND} --out NEW_FOLDER --max-parts {max_parts or self.max_parts}`"


def _some(images: Sequence[str]) -> str:
    if len(images) == 1:
        return f"1 image ({images[0]})"
    return f"{len(images)} images (first: {images[0]})"
