"""From samples to a batch, in the loader's worker."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pgan.registry import FUNCTIONS


@FUNCTIONS.register_module()
def collate_reid(packed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Gather what ``PackReID`` returns, the images stacked.

    One tensor crosses from the worker to the model in a fraction of the time of a tensor per image.

    Args:
        packed: B dicts of ``inputs`` (3, H, W) and ``data_samples``.

    Returns:
        ``inputs``, (B, 3, H, W), or a list where images differ in size, for the model to refuse; and
        ``data_samples``, a list.
    """
    images = [sample["inputs"] for sample in packed]
    one_size = len({image.shape for image in images}) == 1
    return {
        "inputs": torch.stack(images) if one_size else images,
        "data_samples": [sample["data_samples"] for sample in packed],
    }
