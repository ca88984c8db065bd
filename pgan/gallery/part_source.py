"""The part caches that the parts of image files are looked up in."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from detector.cache import PartCache

if TYPE_CHECKING:
    from mmengine.config import Config


@dataclass(frozen=True)
class PartSource:
    """Part caches of image files.

    Attributes:
        caches: Folder of images and part cache of what is below it, the first that has an image is taken.
    """

    caches: Sequence[tuple[str, PartCache]] = ()

    @classmethod
    def open(cls, caches: Iterable[tuple[str, str]]) -> PartSource:
        """Open part caches, each once.

        Args:
            caches: Folder of images, and folder of their part cache.

        Raises:
            CacheError: One of the caches is missing, unfinished or damaged.
        """
        pairs = dict.fromkeys((os.path.abspath(root), os.path.abspath(c)) for root, c in caches)
        return cls([(root, PartCache.open(cache)) for root, cache in pairs])

    def divide(
        self, files: Sequence[str]
    ) -> tuple[list[tuple[str, list[str], PartCache]], list[str]]:
        """Divide files, absolute paths, by the cache that has them.

        Returns:
            For each cache its folder and the paths below that, and the files that are in none.
        """
        left, found = list(files), []
        for root, cache in self.caches:
            names = {file: below(root, file) for file in left}
            if inside := [file for file in left if names[file] in cache]:
                found.append((root, [names[file] for file in inside], cache))
                left = [file for file in left if names[file] not in cache]
        return found, left

    def check(self, files: Sequence[str], num_parts: int) -> None:
        """Compare the caches that have some of the files with their checksums.

        Args:
            files: Absolute paths.
            num_parts: D that will be read.

        Raises:
            CacheError: A cache has changed since it was written, or holds fewer parts.
        """
        for _, names, cache in self.divide(files)[0]:
            cache.check([name for name in names if name not in cache.failed], num_parts)

    def __str__(self) -> str:
        return "; ".join(f"{cache.path}, of what is below {root}" for root, cache in self.caches)


def caches_of_configs(configs: Iterable[Config]) -> list[tuple[str, str]]:
    """Data root and part cache of re-identification configs' test sets, where there is such a cache."""
    named = [
        (dataset.get("data_root"), dataset.get("part_cache"))
        for dataset in (config.test_dataloader.dataset for config in configs)
    ]
    return [(root, cache) for root, cache in named if root and cache and Path(cache).is_dir()]


def below(root: str, file: str) -> str:
    """The path of a file below a folder, as part caches have it."""
    return Path(os.path.relpath(file, root)).as_posix()
