"""The part detector on pixels in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from detector.cache import Parts
from pgan.apis import load_detector_config
from pgan.errors import ConfigError

_CACHED_PARTS = 16  # parts that tools/extract_parts.py keeps of an image


class PartFinder:
    """Find the parts of images as ``tools/extract_parts.py`` does.

    Args:
        files: Config and checkpoint of the detector.
        num_parts: D; at least 16 parts are kept of an image.
        device: ``'cpu'``, ``'cuda'``, …; None for a GPU if there is one.

    Attributes:
        classes: Names of the parts' labels.

    Raises:
        ConfigError: ``files`` are not two files, or not those of a detector.
        DetectorError: The checkpoint or the device cannot be used.
    """

    def __init__(self, files: Sequence[str], num_parts: int, device: str | None = None) -> None:
        if isinstance(files, str) or not isinstance(files, Sequence) or len(files) != 2:
            raise ConfigError(f"detector={files!r}: give two files, detector=(CONFIG, CHECKPOINT)")
        path, checkpoint = files
        config = load_detector_config(path)
        # mmdet takes seconds to import, and models without parts need none of it.
        from detector.extraction.loading import load_detector

        # mmengine builds objects in the scope that was set last.
        with DefaultScope.overwrite_default_scope("mmdet"):
            self._detector = load_detector(
                config, checkpoint, max(_CACHED_PARTS, num_parts), device=device
            )
            self._prepare = Compose(self._detector.pipeline)
        self.classes = self._detector.classes

    def __call__(self, images: Sequence[np.ndarray]) -> list[Parts]:
        """Find the parts of (H, W, 3) uint8 RGB images, most confident first."""
        items = [self._prepare({"img_path": pixels, "img_id": 0}) for pixels in images]
        return self._detector.detect(items)
