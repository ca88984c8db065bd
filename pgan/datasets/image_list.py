"""Images by name, whoever is on them: to be looked at, not ranked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pgan.datasets.reid_dataset import Parser, ReIDDataset


class ImageList(ReIDDataset):
    """The images named, in their order; vehicle and camera are unknown.

    Args:
        images: Paths relative to ``data_root``, with ``/``.
        settings: Arguments of :class:`ReIDDataset` but the split.

    Raises:
        DatasetError, CacheError: See :class:`ReIDDataset`.
    """

    TEST_ROLES = ("pool",)

    def __init__(self, images: Sequence[str], **settings: Any) -> None:
        self.images = images
        super().__init__(split="test", **settings)

    def list_file(self, role: str) -> Path:
        """There is no list: the folder."""
        return Path(self.data_root)

    def entries(self, role: str) -> Iterator[tuple[int, tuple[str, int, int]]]:
        """Every image."""
        return ((0, (image, 0, -1)) for image in dict.fromkeys(self.images))

    def parser(self, role: str) -> Parser:
        """Nothing is left to do."""
        return lambda entry: entry
