"""Masks as the PGAN authors keep them, into a part cache and out of one.

One ``.npy`` for each image, (n, h, w), the most confident mask last; their program takes the last D. They
are read as data, never unpickled. A cache of masks alone has no boxes: it serves the size of its masks.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from detector.cache.formats.authors import check_files, export_files, slots
from detector.cache.layout import CacheError
from detector.cache.reader import PartCache
from detector.cache.writer import PartCacheWriter

SUFFIX = ".npy"
MASK_SIZE = (14, 14)
_VALUES_SHOWN = 8


@dataclass
class MaskFacts:
    """What was found in mask files.

    Attributes:
        counts: Masks in a file -> number of such files.
        dtypes: Type of the numbers -> number of files.
        values: Some of the values, in ascending order; more are not kept.
        empty: Masks without a single cell.
        soft: Files with values other than 0 and 1.
        size: Rows and columns of every mask.
    """

    counts: Counter[int] = field(default_factory=Counter)
    dtypes: Counter[str] = field(default_factory=Counter)
    values: list[float] = field(default_factory=list)
    empty: int = 0
    soft: list[Path] = field(default_factory=list)
    size: tuple[int, ...] = ()

    def add(self, file: Path, data: bytes) -> None:
        """Take a file into account.

        Raises:
            CacheError: It is no file of masks, or its masks are of another size than those before.
        """
        masks = read_masks(file, data)
        self.size = self.size or masks.shape[1:]
        if masks.shape[1:] != self.size:
            raise CacheError(
                f"{file} has masks of {_by(masks.shape[1:])} cells, those before have {_by(self.size)}: all "
                "masks of a cache have one size"
            )
        values = set(np.unique(masks).tolist())
        if not values <= {0, 1}:
            self.soft.append(file)
        self.values = sorted(values.union(self.values))[:_VALUES_SHOWN]
        self.counts[len(masks)] += 1
        self.dtypes[masks.dtype.name] += 1
        self.empty += int((~(masks > 0).any((1, 2))).sum())

    def report(self) -> list[str]:
        """The same, in words."""
        counts = ", ".join(f"{n} in {files} files" for n, files in sorted(self.counts.items()))
        dtypes = ", ".join(f"{name} in {files} files" for name, files in self.dtypes.items())
        dots = " ..." if len(self.values) == _VALUES_SHOWN else ""
        lines = [
            f"masks of {_by(self.size)} cells: {counts}",
            f"numbers: {dtypes}; values {', '.join(f'{v:g}' for v in self.values)}{dots}",
            f"masks without a cell: {self.empty} (absent parts here; in the authors' program they make NaN)",
        ]
        if self.soft:
            lines.append(
                f"values other than 0 and 1 in {len(self.soft)} files (first: {self.soft[0]}): a cell is "
                "taken as covered where its value is above 0; the authors' program multiplies by the value "
                "itself, so its features differ from those of this cache"
            )
        return lines


def read_masks(file: Path, data: bytes) -> np.ndarray:
    """Read the content of a mask file.

    Returns:
        (n, h, w) of any real type, as stored: ascending confidence.

    Raises:
        CacheError: It is something else; names the file.
    """
    stream = io.BytesIO(data)
    try:
        masks = np.load(stream, allow_pickle=False)
    except Exception as error:  # numpy raises many kinds for a broken file
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise CacheError(
            f"{file}: not an array of plain numbers ({reason}); pickled objects are not opened, since that "
            "would run their code"
        ) from None
    if not isinstance(masks, np.ndarray) or masks.dtype.kind not in "biuf":
        raise CacheError(f"{file}: not one array of real numbers")
    if masks.ndim != 3 or 0 in masks.shape[1:]:
        raise CacheError(f"{file}: has shape {masks.shape}, where masks have (n, rows, columns)")
    if extra := len(stream.read()):
        raise CacheError(f"{file}: is damaged: {extra} bytes follow the masks that it says it has")
    if masks.dtype.kind in "if" and not (np.isfinite(masks).all() and (masks >= 0).all()):
        raise CacheError(f"{file}: has negative or infinite values or NaN: a mask has 0 and 1")
    return masks


def import_masks(
    folder: str | os.PathLike[str],
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    max_parts: int | None = None,
    allow_missing: bool = False,
    progress: bool = True,
) -> tuple[PartCache, list[str]]:
    """Import mask files as a part cache.

    All files are read and checked before anything is written. An interrupted call resumes when it is
    repeated.

    Args:
        folder: The data set's masks, such as ``masks/VeRi``; see `detector.cache.formats.authors`.
        root: Data root with the images, whose paths become the cache's.
        out: Folder of the cache.
        max_parts: Masks kept of an image, the most confident; None for all.
        allow_missing: Import images without a mask file as images without parts; otherwise they are not in
            the cache, and a run that needs them is refused.
        progress: Show bars.

    Returns:
        The cache, and what was found, in lines.

    Raises:
        CacheError: A file is bad, or ``out`` is a cache already.
        DetectorError: There is no image below ``root``.
    """
    facts = MaskFacts()
    pairs, digest = check_files(folder, SUFFIX, root, out, max_parts, facts.add, progress)
    identity = {
        "imported": "masks",
        "classes": [],
        "max_parts": slots(facts.counts, max_parts),
        "mask_size": list(facts.size),
        "files_sha256": digest,
    }
    found = [*facts.report(), *pairs.report(allow_missing)]
    writer = PartCacheWriter(out, pairs.images(allow_missing), identity, {"found": found})

    def read(image: str) -> np.ndarray:
        file = pairs.files.get(image)
        if file is None:
            return np.zeros((0, *facts.size), bool)
        return read_masks(file, file.read_bytes())[::-1] > 0

    return writer.fill(read, progress), found


def export_masks(
    cache: PartCache,
    out: str | os.PathLike[str],
    num_parts: int | None = None,
    size: tuple[int, int] = MASK_SIZE,
    progress: bool = True,
) -> Counter[int]:
    """Write the parts of a cache as mask files for the authors' program, all of them or none.

    Args:
        cache: With boxes, or with masks of this size.
        out: New folder: ``out/<path of the image>.npy``, (n, h, w) uint8 of 0 and 1, ascending confidence.
        num_parts: Masks of an image at most, the most confident; None for all.
        size: Rows and columns of a mask.
        progress: Show a bar.

    Returns:
        Masks in a file -> number of such files. Images that could not be read get no file.

    Raises:
        CacheError: ``out`` exists, two images would have one file, or the cache cannot serve the masks.
    """
    if min(size) < 1:
        raise CacheError(f"masks of {_by(size)} cells: give a size of at least 1 row and 1 column")

    def write(image: str, file: BinaryIO) -> int:
        masks = cache.masks(image, None, size)[:num_parts]
        np.save(file, masks[::-1].astype(np.uint8), allow_pickle=False)
        return len(masks)

    return export_files(cache, out, SUFFIX, write, num_parts, progress)


def _by(size: tuple[int, ...]) -> str:
    return "x".join(map(str, size))
