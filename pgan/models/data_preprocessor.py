"""Move a batch to the model's device."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.model import BaseDataPreprocessor

from pgan.models.errors import ModelError
from pgan.registry import MODELS


@MODELS.register_module()
class ReIDDataPreprocessor(BaseDataPreprocessor):
    """Moves images and samples (part boxes included) to the device and stacks the images.

    Normalisation is a transform of the data set, because random erasing follows it.

    Args:
        non_blocking: Copy to a GPU without waiting; needs pinned memory in the loader.
    """

    def forward(self, data: dict[str, Any], training: bool = False) -> dict[str, Any]:
        """Prepare a batch.

        Args:
            data: ``inputs``, a list of B float32 (3, H, W) images or a (B, 3, H, W) tensor, and
                optionally ``data_samples``, a list of B `ReIDSample`.
            training: Ignored; the mode of the model decides.

        Returns:
            ``inputs`` as (B, 3, H, W) and ``data_samples``, both on the device.

        Raises:
            ModelError: The images differ in size.

        >>> ReIDDataPreprocessor()({"inputs": [torch.zeros(3, 4, 6), torch.ones(3, 4, 6)]})["inputs"].shape
        torch.Size([2, 3, 4, 6])
        """
        inputs = data["inputs"]
        if not isinstance(inputs, torch.Tensor):
            sizes = sorted({tuple(image.shape) for image in inputs})
            if len(sizes) > 1:
                raise ModelError(
                    f"The images of a batch differ in shape, {sizes[0]} and {sizes[1]}: "
                    "end the data set's pipeline with a resize to one size."
                )
            inputs = torch.stack(list(inputs))
        return self.cast_data({"inputs": inputs, "data_samples": data.get("data_samples")})
