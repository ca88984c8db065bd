"""Parts of images that are in no part cache, looked for when they are needed."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING

from mmengine.config import Config
from mmengine.registry import DefaultScope

from detector.cache import PartCache

if TYPE_CHECKING:
    from detector.extractor import PartDetector

_SCOPE = (
    "mmdet"  # mmengine builds by the scope that was set last, and the caller may have set another
)
_FOR_WORKERS = 32  # images that are worth starting processes to read them


class PartFinder:
    """Looks for parts in images, and gives them as a part cache that lasts as long as the finder.

    The detector is loaded, and mmdet imported, when it is called for the first time.

    Args:
        config: Detector config.
        checkpoint: Its weights.
        max_parts: Most confident boxes kept of an image.
        device: 'cpu', 'cuda', 'cuda:1'; None for a GPU where there is one.
    """

    def __init__(
        self, config: Config, checkpoint: str, max_parts: int, device: str | None = None
    ) -> None:
        self.config, self.checkpoint = config, checkpoint
        self.max_parts, self.device = max_parts, device

    def __call__(self, root: str, images: Sequence[str]) -> PartCache:
        """Find the parts of images, named by their paths below a folder.

        An image that cannot be read is among the cache's ``failed``.

        Raises:
            DetectorError: The checkpoint cannot be read or is of another model.
        """
        from detector.extractor import extract

        workers = 2 * (len(images) >= _FOR_WORKERS)
        out = tempfile.mkdtemp(dir=self._scratch)
        with DefaultScope.overwrite_default_scope(_SCOPE):
            found = extract(self._detector, root, images, out, workers=workers, progress=False)
        return found.cache

    @cached_property
    def _detector(self) -> PartDetector:
        from detector.extractor import load_detector

        return load_detector(self.config, self.checkpoint, self.max_parts, device=self.device)

    @cached_property
    def _scratch(self) -> str:
        folder = tempfile.mkdtemp(prefix="parts_")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return os.path.abspath(folder)
