"""Reading the images of a data set, with their cached parts, for panels."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.cache import PartCache
from detector.common.images import read_image
from pgan.visualization.panels import AnnotatedImage


@dataclass(frozen=True)
class ImageReader:
    """Reads images of a data set, with their cached parts.

    Args:
        root: The data root.
        cache: The part cache, or None for images without parts.
        num_parts: D, how many parts of an image to show; None for all.
    """

    root: str | os.PathLike[str]
    cache: PartCache | None = None
    num_parts: int | None = None

    def read(
        self, path: str, weights: np.ndarray | None = None, with_parts: bool = True
    ) -> AnnotatedImage:
        """Read an image with its named parts.

        Args:
            path: Relative to the root, as in the cache.
            weights: (D,) attention weights in the cache's order, padded; None if there are none.
            with_parts: False for the image alone.

        Raises:
            ImageError: The file cannot be read.
            CacheError: The cache does not have the image.
        """
        image = read_image(Path(self.root) / path)
        if self.cache is None or not with_parts:
            return AnnotatedImage(image)
        parts = self.cache.parts(path, self.num_parts)
        names = [self.cache.classes[label] for label in parts.labels]
        own = None if weights is None else weights[: len(parts)]
        return AnnotatedImage(image, parts.boxes, names, own)
