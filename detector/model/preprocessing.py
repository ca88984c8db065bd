"""From an image to the network's input, as mmdet does it and to the same bits, with fewer copies.

mmdet turns the pixels of each image around and normalises them image by image, and the first convolution
turns them back. Here they stay as they lie in memory, rows of RGB, and are normalised once, as a batch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from mmdet.models.data_preprocessors import DetDataPreprocessor
from mmdet.registry import MODELS, TRANSFORMS
from mmdet.structures import DetDataSample

# mmdet's → ours.
_SAME = {"PackDetInputs": "PackImage", "DetDataPreprocessor": "BatchPreprocessor"}


def with_fewer_copies(part: dict[str, Any]) -> dict[str, Any]:
    """A step of a test pipeline or a model's ``data_preprocessor`` by the class here that does the same."""
    name = part["type"].removeprefix("mmdet.")
    return part | {"type": _SAME.get(name, part["type"])}


@TRANSFORMS.register_module()
class PackImage(BaseTransform):
    """`mmdet.datasets.transforms.PackDetInputs` for an image without annotations.

    Args:
        meta_keys: What the sample's metainfo takes of the results.
    """

    def __init__(
        self, meta_keys: tuple[str, ...] = ("ori_shape", "img_shape", "scale_factor")
    ) -> None:
        self.meta_keys = meta_keys

    def transform(self, results: dict[str, Any]) -> dict[str, Any]:
        """Give ``inputs`` (3, H, W) uint8, a view of the image, and ``data_samples``."""
        image = torch.from_numpy(np.ascontiguousarray(results["img"]))
        meta = {key: results[key] for key in self.meta_keys if key in results}
        return {"inputs": image.permute(2, 0, 1), "data_samples": DetDataSample(metainfo=meta)}


@MODELS.register_module()
class BatchPreprocessor(DetDataPreprocessor):
    """`mmdet.models.DetDataPreprocessor`, in one go where images are of one size and need no padding."""

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Normalise a batch.

        Args:
            data: ``inputs``, for each image (3, H, W) uint8, and ``data_samples``.
            training: mmdet's own way is taken.

        Returns:
            ``inputs`` (B, 3, H, W) float32 in channels_last, and ``data_samples``.
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
            # By whole rows: three numbers at a time take as long as a convolution.
            rows = batch.flatten(2)
            mean, std = (per.flatten().repeat(batch.shape[2]) for per in (self.mean, self.std))
            rows.sub_(mean).div_(std)
        return {"inputs": batch.permute(0, 3, 1, 2), "data_samples": data.get("data_samples")}
