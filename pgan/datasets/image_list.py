"""A list of unlabelled images, for extracting embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pgan.datasets.reid_dataset import Parser, ReIDDataset


class ImageList(ReIDDataset):
    """Unlabelled images in the given order; vehicles and cameras are unknown.

    Args:
        images: Paths relative to ``data_root``, separated by ``/``.
        settings: Arguments of `ReIDDataset`, except ``split``.

    Raises:
        DatasetError, CacheError: See `ReIDDataset`.
    """

    TEST_ROLES = ("pool",)

    def __init__(self, images: Sequence[str], **settings: Any) -> None:
        self.images = images
        super().__init__(split="test", **settings)

    def list_file(self, role: str) -> Path:
        """Return the folder, since there is no list."""
        return Path(self.data_root)

    def entries(self, role: str) -> Iterator[tuple[int, tuple[str, int, int]]]:
        """Every distinct image."""
        return ((0, (image, 0, -1)) for image in dict.fromkeys(self.images))

    def parser(self, role: str) -> Parser:
        """Return the identity: entries are parsed already."""
        return lambda entry: entry
