"""Collate samples into a batch, in the worker process of the loader."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from pgan.registry import FUNCTIONS


@FUNCTIONS.register_module()
def collate_reid(packed: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Collate the outputs of `PackReID` and stack the images.

    Sending one tensor from the worker to the main process is much faster than sending one per image.

    Args:
        packed: B dicts with ``inputs`` (3, H, W) and ``data_samples``.

    Returns:
        A dict with ``inputs`` (B, 3, H, W) and ``data_samples``, a list of B. If the images differ in size,
        ``inputs`` is a list, which the model refuses.

    >>> samples = [{"inputs": torch.zeros(3, 4, 6), "data_samples": name} for name in ("a", "b")]
    >>> batch = collate_reid(samples)
    >>> batch["inputs"].shape, batch["data_samples"]
    (torch.Size([2, 3, 4, 6]), ['a', 'b'])
    """
    images = [sample["inputs"] for sample in packed]
    one_size = len({image.shape for image in images}) == 1
    return {
        "inputs": torch.stack(images) if one_size else images,
        "data_samples": [sample["data_samples"] for sample in packed],
    }
