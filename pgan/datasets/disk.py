"""Which of the images that a data set lists are there, and can be read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.pool import ThreadPool

from tqdm import tqdm

from detector.common.images import ImageError, read_image


def missing_images(root: str | os.PathLike[str], paths: Iterable[str]) -> list[str]:
    """Return those of the paths, relative to ``root``, at which there is no file, in order.

    Folders are listed, each once, instead of asking for every file: quicker by far, most of all on a
    network drive.
    """
    present: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in present:
            present[folder] = _files(os.path.join(root, folder))
        # A file system that ignores case, or spells accents its own way, has it nevertheless.
        if name not in present[folder] and not os.path.isfile(os.path.join(root, path)):
            missing.append(path)
    return missing


def _files(folder: str) -> set[str]:
    try:
        with os.scandir(folder) as entries:
            return {entry.name for entry in entries if entry.is_file()}
    except OSError:
        return set()


def unreadable_images(
    root: str | os.PathLike[str], paths: Sequence[str], workers: int = 2, progress: bool = False
) -> Iterator[tuple[str, str]]:
    """Decode every image; yield path and reason, in words, for each that cannot be read.

    Args:
        root: Folder of the data set.
        paths: Relative to it.
        workers: Threads; the decoder runs outside Python's lock.
        progress: Show a bar.
    """

    def reason(path: str) -> str | None:
        try:
            read_image(os.path.join(root, path))
        except ImageError as error:
            return error.reason
        return None

    bar = tqdm(paths, unit="image", desc="decoding", disable=not progress)
    with ThreadPool(max(1, workers)) as pool:
        for path, why in zip(bar, pool.imap(reason, paths, chunksize=16)):
            if why is not None:
                yield path, why
