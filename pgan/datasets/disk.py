"""Which of the images that a data set lists are there."""

from __future__ import annotations

import os
from collections.abc import Iterable


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
