"""Parts in text files, ``label score xmin ymin xmax ymax`` a line, into a part cache and out of one.

The PGAN authors' loader reads such files beside mask files, one for each image. Coordinates are pixels
of the stored image, right and bottom exclusive, as everywhere here.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from detector.cache.formats.authors import MOST, check_files, export_files, slots
from detector.cache.layout import CacheError
from detector.cache.parts import Parts
from detector.cache.reader import PartCache
from detector.cache.writer import PartCacheWriter
from detector.common.attributes import ATTRIBUTES, canonical_label
from detector.common.images import ImageError, read_image

SUFFIX = ".txt"


@dataclass
class TextFacts:
    """What was found in text files: boxes in a file -> number of such files; boxes of each label."""

    counts: Counter[int] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)

    def add(self, file: Path, data: bytes) -> None:
        """Take a file into account; raises CacheError as `read_parts`."""
        labels, numbers = read_parts(file, data)
        self.labels.update(labels)
        self.counts[len(numbers)] += 1

    def classes(self) -> tuple[str, ...]:
        """Table I's attributes if all labels are among them, otherwise the labels as they are written."""
        known = [canonical_label(label) for label in self.labels]
        if known and all(name in ATTRIBUTES for name in known):
            return ATTRIBUTES
        # Numbers in their order, whatever their length: int() refuses more than 4300 digits.
        return tuple(
            sorted(self.labels, key=lambda x: (not x.isdecimal(), x.isdecimal() * len(x), x))
        )


def read_parts(file: Path, data: bytes) -> tuple[list[str], np.ndarray]:
    """Read the content of a text file.

    Returns:
        Labels, and (n, 5) float32 ``score xmin ymin xmax ymax``, in the file's order.

    Raises:
        CacheError: A line is something else; names file and line.
    """
    labels, numbers = [], []
    for line, text in enumerate(data.decode("utf-8-sig", "replace").splitlines(), 1):
        if not text.strip():
            continue
        label, *rest = (word.strip() for word in text.rsplit(maxsplit=5))
        values = [_number(word) for word in rest]
        if len(values) != 5 or not np.isfinite(values).all() or not _is_text(label):
            raise CacheError(
                f"{file}:{line}: {text.strip()[:80]!r} is not 'label score xmin ymin xmax ymax', in UTF-8"
            )
        labels.append(label)
        numbers.append(values)
    return labels, np.array(numbers, np.float32).reshape(-1, 5)


def _number(word: str) -> np.float32:
    """A number as the cache will have it, infinite if too large; NaN if it is none, such as ``1_0``."""
    try:
        with np.errstate(over="ignore"):
            return np.float32("nan" if "_" in word else word)
    except ValueError:
        return np.float32("nan")


def _is_text(label: str) -> bool:
    """Whether it can be printed, and was UTF-8: what is not was replaced."""
    return label.isprintable() and "\ufffd" not in label


def _inside(
    labels: list[str], numbers: np.ndarray, classes: tuple[str, ...], size: tuple[int, int]
) -> Parts:
    """What is left of the boxes of `read_parts` inside an image of this height and width."""
    names = [label if label in classes else canonical_label(label) for label in labels]
    clipped = np.clip(numbers[:, 1:], 0, np.array([*size[::-1]] * 2, np.float32))
    real = (clipped[:, :2] < clipped[:, 2:]).all(1)
    return Parts(
        clipped[real],
        numbers[real, 0],
        np.array([classes.index(name) for name in names], np.int64)[real],
        size,
    )


def import_text(
    folder: str | os.PathLike[str],
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    max_parts: int | None = None,
    allow_missing: bool = False,
    progress: bool = True,
) -> tuple[PartCache, list[str]]:
    """Import text files as a part cache; see `authors_masks.import_masks` for arguments and results.

    Every image is read, since the cache keeps its size. Boxes are clipped to it, and dropped where
    nothing is left of them. An image that cannot be read is kept as such, with the reason.

    Raises:
        CacheError: A line is bad, or ``out`` is a cache already.
        DetectorError: There is no image below ``root``.
    """
    facts = TextFacts()
    pairs, digest = check_files(folder, SUFFIX, root, out, max_parts, facts.add, progress)
    classes = facts.classes()
    if len(classes) > MOST:
        raise CacheError(
            f"{folder} has {len(classes)} labels, more than {MOST}: the first word of a line is a part's name"
        )
    identity = {
        "imported": "text",
        "classes": list(classes),
        "max_parts": slots(facts.counts, max_parts),
        "files_sha256": digest,
    }
    boxes = facts.labels.total()
    found = [
        f"{boxes} boxes in {len(pairs.files)} files, at most {max(facts.counts)} in one",
        f"labels: {', '.join(f'{name} {count}' for name, count in facts.labels.most_common())}",
        *pairs.report(allow_missing),
    ]
    writer = PartCacheWriter(out, pairs.images(allow_missing), identity, {"found": found})

    def read(image: str) -> Parts | str:
        try:
            height, width = read_image(Path(root) / image).shape[:2]
        except ImageError as error:
            return error.reason
        file = pairs.files.get(image)
        labels, numbers = read_parts(file, file.read_bytes()) if file else ([], np.zeros((0, 5)))
        return _inside(labels, numbers, classes, (height, width))

    cache = writer.fill(read, progress)
    lost = sum(
        len(read_parts(pairs.files[image], pairs.files[image].read_bytes())[0])
        for image in cache.failed
        if image in pairs.files
    )
    if max_parts is None and (outside := boxes - lost - cache.manifest["num_parts"]):
        found.append(f"boxes with nothing inside their image, dropped: {outside}")
    if cache.failed:
        image, reason = next(iter(cache.failed.items()))
        found.append(f"images that cannot be read: {len(cache.failed)} (first: {image}, {reason})")
    return cache, found


def export_text(
    cache: PartCache,
    out: str | os.PathLike[str],
    num_parts: int | None = None,
    progress: bool = True,
) -> Counter[int]:
    """Write the parts of a cache as text files, all of them or none; imported again, they are the same.

    Args:
        cache: With boxes.
        out: New folder: ``out/<path of the image>.txt``, a part a line, most confident first, with the nine
            digits that tell any float32 from its neighbours.
        num_parts: Parts of an image at most, the most confident; None for all.
        progress: Show a bar.

    Returns:
        Parts in a file -> number of such files. Images that could not be read get no file.

    Raises:
        CacheError: See `authors.export_files`; or the cache holds masks only, or a class whose name cannot be
            a label.
    """
    for name in cache.classes:
        if not (name.strip() == name != "" and _is_text(name)):
            raise CacheError(
                f"{cache.path} has a class {name!r}, which cannot stand in a text file"
            )

    def write(image: str, file: BinaryIO) -> int:
        parts = cache.parts(image, num_parts)
        for label, *numbers in zip(parts.labels, parts.scores, *parts.boxes.T):
            words = (cache.classes[label], *(f"{number:.9g}" for number in numbers))
            file.write(f"{' '.join(words)}\n".encode())
        return len(parts)

    return export_files(cache, out, SUFFIX, write, num_parts, progress)
