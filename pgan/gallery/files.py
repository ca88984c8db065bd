"""Image files that are given to a gallery."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from detector.common.images import list_images
from pgan.gallery.errors import GalleryError


def image_files(paths: Sequence[str]) -> list[str]:
    """Return the absolute paths of image files and of all images in folders, each once.

    Args:
        paths: Image files and folders.

    Raises:
        GalleryError: A path does not exist.
        DetectorError: A folder has no image.
    """
    files: list[str] = []
    for path in paths:
        if Path(path).is_dir():
            files += [os.path.join(path, name) for name in list_images(path)]
        elif Path(path).is_file():
            files.append(path)
        else:
            raise GalleryError(f"{path}: no such image or folder")
    return list(dict.fromkeys(map(os.path.abspath, files)))
