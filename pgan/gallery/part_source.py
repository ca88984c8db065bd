"""Where the parts of images come from: part caches, and for images that are in none a detector."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from mmengine.config import Config

from detector.cache import PartCache
from pgan.gallery.errors import GalleryError

# From a folder and the paths of images below it to a part cache of them.
Detect = Callable[[str, Sequence[str]], PartCache]

_TOGETHER = 256  # images that a detector is given at a time
_MEND = (
    "say --part-cache CACHE, one that tools/extract_parts.py made of these images (and --data-root, the "
    "folder that its paths are below), or --detector CONFIG CHECKPOINT to look for parts now"
)


@dataclass(frozen=True)
class PartSource:
    """Where the part boxes of image files come from.

    Attributes:
        caches: Folder of images and part cache of what is below it, the first that has an image is taken.
        detect: Looks for parts in images that no cache has; None if they are refused.
    """

    caches: Sequence[tuple[str, PartCache]] = ()
    detect: Detect | None = None

    @classmethod
    def open(cls, caches: Iterable[tuple[str, str]], detect: Detect | None = None) -> PartSource:
        """Open part caches, each once.

        Args:
            caches: Folder of images, and folder of their part cache.
            detect: See the attribute.

        Raises:
            CacheError: One of the caches is missing, unfinished or damaged.
        """
        pairs = dict.fromkeys((os.path.abspath(root), os.path.abspath(c)) for root, c in caches)
        return cls([(root, PartCache.open(cache)) for root, cache in pairs], detect)

    def divide(
        self, files: Sequence[str], num_parts: int
    ) -> Iterator[tuple[str, list[str], PartCache | None]]:
        """Divide files by where their parts are found: folder, paths below it, part cache.

        Args:
            files: Absolute paths.
            num_parts: D; for 0, no parts are needed.

        Raises:
            GalleryError: Parts of an image are nowhere; raised before anything is given.
        """
        left, found = list(files), []
        for root, cache in self.caches if num_parts else ():
            names = {file: _below(root, file) for file in left}
            if inside := [file for file in left if names[file] in cache]:
                found.append((root, [names[file] for file in inside], cache))
                left = [file for file in left if names[file] not in cache]
        if num_parts and left and self.detect is None:
            where = "; ".join(
                f"{cache.path}, of what is below {root}" for root, cache in self.caches
            )
            raise GalleryError(
                f"{left[0]}: this model needs its parts, and they are in no part cache ({len(left)} of "
                f"{len(files)} images{', looked up in ' * bool(where)}{where}): {_MEND}"
            )
        yield from found
        step = _TOGETHER if num_parts else max(len(left), 1)
        for start in range(0, len(left), step):
            some = left[start : start + step]
            root = os.path.commonpath([os.path.dirname(file) for file in some])
            below = [_below(root, file) for file in some]
            yield root, below, self.detect(root, below) if num_parts else None


def caches_of_configs(configs: Iterable[Config]) -> list[tuple[str, str]]:
    """Data root and part cache of re-identification configs' test sets, where there is such a cache."""
    datasets = [config.test_dataloader.dataset for config in configs]
    return [
        (dataset.data_root, dataset.part_cache)
        for dataset in datasets
        if dataset.get("data_root")
        and Path(dataset.get("part_cache") or "").is_dir()
        and dataset.get("part_cache")
    ]


def _below(root: str, file: str) -> str:
    return Path(os.path.relpath(file, root)).as_posix()
