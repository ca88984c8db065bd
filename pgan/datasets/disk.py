"""Find the images of a data set that are missing or unreadable."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from multiprocessing.pool import ThreadPool

from tqdm import tqdm

from detector.common.images import ImageError, read_image


def missing_images(root: str | os.PathLike[str], paths: Iterable[str]) -> list[str]:
    """Return the paths, relative to ``root``, at which there is no file, in order.

    Each folder is listed once instead of querying every file, which is much faster, above all on a network
    drive.
    """
    present: dict[str, set[str]] = {}
    missing = []
    for path in paths:
        folder, _, name = path.rpartition("/")
        if folder not in present:
            present[folder] = _files(os.path.join(root, folder))
        # The file system may ignore case or normalise accents differently, so ask it before giving up.
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
    """Decode every image and yield the path of each unreadable one, with the reason.

    Args:
        root: Folder of the data set.
        paths: Paths relative to ``root``.
        workers: Number of threads; the decoder releases the GIL.
        progress: Show a progress bar.
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
