"""Prepare images for the network with fewer copies than mmdet, bit for bit with the same result.

mmdet transposes each image to channels first and normalises it by itself, and the first convolution
transposes it back. Here the pixels keep their channels-last layout and are normalised once per batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures import DetDataSample

# Classes of mmdet and the equivalent ones below.
_EQUIVALENTS = {"PackDetInputs": "PackImage", "DetDataPreprocessor": "BatchPreprocessor"}


def with_fewer_copies(settings: dict[str, Any]) -> dict[str, Any]:
    """Replace mmdet's class by the equivalent one of this module.

    Args:
        settings: Config of a transform or of a model's ``data_preprocessor``.

    Returns:
        The config with the new ``type``; an equal copy if there is no equivalent class.

    >>> with_fewer_copies({"type": "mmdet.PackDetInputs", "meta_keys": ("ori_shape",)})
    {'type': 'PackImage', 'meta_keys': ('ori_shape',)}
    """
    name = settings["type"].removeprefix("mmdet.")
    return settings | {"type": _EQUIVALENTS.get(name, settings["type"])}


@TRANSFORMS.register_module()
class PackImage(BaseTransform):
    """The equivalent of mmdet's ``PackDetInputs`` for images without annotations.

    Args:
        meta_keys: Keys of the results that are copied to the sample's metainfo, if present.
    """

    def __init__(
        self, meta_keys: tuple[str, ...] = ("ori_shape", "img_shape", "scale_factor")
    ) -> None:
        self.meta_keys = meta_keys

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Return ``inputs`` (3, H, W) uint8, a view of the image, and ``data_samples``."""
        image = torch.from_numpy(np.ascontiguousarray(results["img"]))
        meta = {key: results[key] for key in self.meta_keys if key in results}
        return {"inputs": image.permute(2, 0, 1), "data_samples": DetDataSample(metainfo=meta)}


@MODELS.register_module()
class BatchPreprocessor(DetDataPreprocessor):
    """mmdet's ``DetDataPreprocessor`` that normalises a batch at once if its images have one size."""

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalise a batch.

        Args:
            data: ``inputs``, a list of (3, H, W) uint8 images, and ``data_samples``.
            training: Whether to use mmdet's implementation, as for images of different sizes or with padding.

        Returns:
            ``inputs`` (B, 3, H, W) float32 in channels-last layout, and ``data_samples``.
        """
        images = data["inputs"]
        one_size = isinstance(images, list) and len({image.shape for image in images}) == 1
        if training or not one_size or self.pad_size_divisor != 1:
            return super().forward(data, training)
        batch = torch.stack([image.permute(1, 2, 0) for image in images]).to(self.device)
        if self._channel_conversion:
            batch = batch[..., [2, 1, 0]]
        batch = batch.float()
        if self._enable_normalize:
            # Whole rows at once: three numbers at a time take as long as a convolution.
            rows = batch.flatten(2)
            mean, std = (per.flatten().repeat(batch.shape[2]) for per in (self.mean, self.std))
            rows.sub_(mean).div_(std)
        return {"inputs": batch.permute(0, 3, 1, 2), "data_samples": data.get("data_samples")}
