"""Files of the PGAN authors' kind: one beside each image, found again by folder and name.

Their program looks for ``FOLDER/<the image's own folder>/<the image's name>.npy``. A deeper tree, with
the image's whole path, is understood as well.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np
from tqdm import tqdm

from detector.cache.layout import MANIFEST, CacheError, encode_name, is_plain_path
from detector.cache.reader import PartCache
from detector.common.images import list_images
from detector.common.locks import exclusive_lock

# A cache that keeps all parts serves any D up to this, with empty slots where there are fewer.
_SLOTS = 16
MOST = np.iinfo(np.int16).max  # parts of an image, and classes: what a record has room for


@dataclass(frozen=True)
class Pairs:
    """Images and the files that belong to them.

    Attributes:
        files: Path of an image relative to the data root -> its file.
        without_file: Images that have none.
        without_image: Files that belong to no image.
    """

    files: dict[str, Path]
    without_file: tuple[str, ...]
    without_image: tuple[Path, ...]

    def images(self, allow_missing: bool) -> list[str]:
        """The images to import: those with a file, and where allowed the others, as without parts."""
        return [*self.files, *(self.without_file if allow_missing else ())]

    def report(self, allow_missing: bool) -> list[str]:
        """What did not pair up, in words."""
        lines = []
        if self.without_file:
            fate = "imported as without parts" if allow_missing else "not in the cache"
            lines.append(f"images without a file, {fate}: {_counted(self.without_file)}")
        if self.without_image:
            lines.append(f"files without an image, left out: {_counted(self.without_image)}")
        return lines


def pair_files(folder: str | os.PathLike[str], suffix: str, root: str | os.PathLike[str]) -> Pairs:
    """Find the image of every file below a folder.

    Args:
        folder: Where the files are, such as ``masks/VeRi``.
        suffix: How they end, such as ``'.npy'``.
        root: Data root with the images.

    Raises:
        CacheError: No such folder, no file or no pair in it, or a file that two images claim, or two files
            of one image.
        DetectorError: No image below ``root``.
    """
    base = Path(folder).resolve()
    files = sorted(base.rglob(f"*{suffix}"))
    if not files:
        state = f"has no {suffix} files" if base.is_dir() else "is no folder"
        raise CacheError(f"{folder} {state}: give the one with the folders of the data set in it")
    images = list_images(root)
    by_path, by_folder = _index(images, Path(root).resolve())
    pairs: dict[str, Path] = {}
    alone = []
    for file in files:
        path = file.relative_to(base).with_suffix("").as_posix()
        found = by_path.get(path) or by_folder.get((file.parent.name, file.stem), ())
        if len(found) > 1:
            raise CacheError(f"{file} could be of {found[0]} or of {found[1]}: rename one of them")
        if not found:
            alone.append(file)
        elif found[0] in pairs:
            raise CacheError(f"{pairs[found[0]]} and {file} are both of {found[0]}: remove one")
        else:
            pairs[found[0]] = file
    if not pairs:
        raise CacheError(
            f"none of the {len(files)} {suffix} files in {folder} is of an image in {root}: {files[0]} would "
            f"be of {files[0].parent.name}/{files[0].stem}.jpg; check both folders"
        )
    without = tuple(image for image in images if image not in pairs)
    return Pairs(dict(sorted(pairs.items())), without, tuple(alone))


def check_files(
    folder: str | os.PathLike[str],
    suffix: str,
    root: str | os.PathLike[str],
    out: str | os.PathLike[str],
    max_parts: int | None,
    look: Callable[[Path, bytes], None],
    progress: bool,
) -> tuple[Pairs, str]:
    """Find and read all files of an import, before anything is written.

    Args:
        folder: See `pair_files`.
        suffix: See `pair_files`.
        root: See `pair_files`.
        out: Folder of the cache; no finished one may be there.
        max_parts: Parts kept of an image, None for all.
        look: Is given every file and its content, and raises CacheError if it is bad.
        progress: Show a bar.

    Returns:
        The pairs, and a digest of images' paths and files' content.

    Raises:
        CacheError, DetectorError: As `pair_files`; the cache is there already; or ``max_parts`` is below 1.
    """
    if (Path(out) / MANIFEST).is_file():
        raise CacheError(
            f"{out} is a finished part cache, and a cache is never changed: give another folder"
        )
    if max_parts is not None and max_parts < 1:
        raise CacheError(f"max_parts must be at least 1, not {max_parts}")
    pairs = pair_files(folder, suffix, root)
    digest = hashlib.sha256()
    for image, file in tqdm(pairs.files.items(), unit="file", desc="check", disable=not progress):
        data = file.read_bytes()
        digest.update(encode_name(image) + b"\0" + hashlib.sha256(data).digest())
        look(file, data)
    return pairs, digest.hexdigest()


def export_files(
    cache: PartCache,
    out: str | os.PathLike[str],
    suffix: str,
    write: Callable[[str, BinaryIO], int],
    num_parts: int | None,
    progress: bool,
) -> Counter[int]:
    """Write a file for every image of a cache that could be read, all of them or none.

    Args:
        cache: Whose images.
        out: New folder: ``out/<path of the image>`` with the suffix in place of the image's own.
        suffix: Such as ``'.npy'``.
        write: Is given an image and its file, and returns how many parts it wrote.
        num_parts: Parts of an image at most; None for all.
        progress: Show a bar.

    Returns:
        Parts in a file -> number of such files.

    Raises:
        CacheError: ``out`` exists, two images would have one file, an image's path leads out of the folder,
            another process exports to it, or the cache holds fewer parts.
    """
    if num_parts is not None:
        cache.check([], num_parts)
    targets: dict[str, str] = {}
    for image in cache.images():
        if not is_plain_path(image):
            raise CacheError(
                f"{cache.path} is damaged ({image!r} is no plain path): delete it and extract again"
            )
        target = PurePosixPath(image).with_suffix(suffix).as_posix()
        if image in cache.failed:
            continue
        if target in targets:
            raise CacheError(f"{targets[target]} and {image} would both be {target}: rename one")
        targets[target] = image
    counts: Counter[int] = Counter()
    with _new_folder(Path(out)) as folder:
        for target, image in tqdm(
            targets.items(), unit="image", desc="export", disable=not progress
        ):
            (folder / target).parent.mkdir(parents=True, exist_ok=True)
            with (folder / target).open("wb") as file:
                counts[write(image, file)] += 1
    return counts


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Yield a folder to fill that then becomes ``out``; what a killed process left is removed."""
    workshop = out.parent / f".{out.name}.export"
    with exclusive_lock(workshop, CacheError, inherited=False):
        try:
            if out.exists():
                raise CacheError(f"{out} is there already: give a new folder")
            shutil.rmtree(workshop / "files", ignore_errors=True)
            (workshop / "files").mkdir()
            yield workshop / "files"
            os.replace(workshop / "files", out)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)


def slots(counts: Iterable[int], max_parts: int | None) -> int:
    """Parts that a cache has room for in an image, from the numbers of parts in the files.

    Raises:
        CacheError: More than a cache can count.
    """
    wanted = max_parts or max(_SLOTS, *counts)
    if wanted > MOST:
        raise CacheError(
            f"{wanted} parts of one image are more than {MOST}: keep fewer, --max-parts 16"
        )
    return wanted


def _index(images: Iterable[str], root: Path) -> tuple[dict, dict]:
    """Images by their path without suffix, and by their folder and name without suffix."""
    by_path, by_folder = defaultdict(list), defaultdict(list)
    for image in images:
        path = PurePosixPath(image)
        by_path[path.with_suffix("").as_posix()].append(image)
        # An image that lies in the data root itself is in a folder of that name.
        by_folder[path.parent.name or root.name, path.stem].append(image)
    return by_path, by_folder


def _counted(items: tuple) -> str:
    return f"{len(items)} (first: {items[0]})"
