"""Look up the parts of image files in part caches."""

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
        caches: Pairs of a folder of images and its part cache; the first cache that has an image is used.
    """

    caches: Sequence[tuple[str, PartCache]] = ()

    @classmethod
    def open(cls, caches: Iterable[tuple[str, str]]) -> PartSource:
        """Open part caches, each once.

        Args:
            caches: Pairs of a folder of images and the folder of its part cache.

        Raises:
            CacheError: One of the caches is missing, unfinished or damaged.
        """
        pairs = dict.fromkeys((os.path.abspath(root), os.path.abspath(c)) for root, c in caches)
        return cls([(root, PartCache.open(cache)) for root, cache in pairs])

    def divide(
        self, files: Sequence[str]
    ) -> tuple[list[tuple[str, list[str], PartCache]], list[str]]:
        """Group files by the part cache that has them.

        Args:
            files: Absolute paths.

        Returns:
            For each cache that has files: its folder, their paths relative to it, and the cache. Then the
            files that are in no cache.
        """
        left, found = list(files), []
        for root, cache in self.caches:
            names = {file: below(root, file) for file in left}
            if inside := [file for file in left if names[file] in cache]:
                found.append((root, [names[file] for file in inside], cache))
                left = [file for file in left if names[file] not in cache]
        return found, left

    def check(self, files: Sequence[str], num_parts: int) -> None:
        """Verify the checksums of the caches that have some of the files.

        Args:
            files: Absolute paths.
            num_parts: D, parts read of each image.

        Raises:
            CacheError: A cache has changed since it was written, or holds fewer parts.
        """
        for _, names, cache in self.divide(files)[0]:
            cache.check([name for name in names if name not in cache.failed], num_parts)

    def __str__(self) -> str:
        return "; ".join(f"{cache.path}, for images below {root}" for root, cache in self.caches)


def caches_of_configs(configs: Iterable[Config]) -> list[tuple[str, str]]:
    """Return data root and part cache of each config's test set, if the cache exists."""
    named = [
        (dataset.get("data_root"), dataset.get("part_cache"))
        for dataset in (config.test_dataloader.dataset for config in configs)
    ]
    return [(root, cache) for root, cache in named if root and cache and Path(cache).is_dir()]


def below(root: str, file: str) -> str:
    """Return the path of a file relative to a folder, as part caches store it."""
    return Path(os.path.relpath(file, root)).as_posix()
