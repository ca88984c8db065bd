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

_ROUNDING = 1e-8  # of the largest value of a map, in float64


def fold_norms(model: nn.Module, pipeline: Sequence[dict[str, Any]]) -> nn.Module:
    """Fold a detector's batch normalisations, if that leaves what it computes.

    `mmcv.cnn.fuse_conv_bn` takes children for called in the order in which they are named, and one after the
    other, so what it makes is compared on a picture of noise: in float64, where rounding hides no mistake.

    Args:
        model: mmdet's detector in evaluation mode; stays as it is.
        pipeline: Its test pipeline without annotations.

    Returns:
        A folded copy; the model itself where there is nothing to fold, where the copy computes something
        else or cannot be made, or where the pipeline does not begin with
        `detector.model.dataset.LoadVehicleImage`.
    """
    if not any(isinstance(module, _BatchNorm) for module in model.modules()):
        return model
    if pipeline[0]["type"] != "LoadVehicleImage":  # which takes pixels
        return model
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    with torch.no_grad():
        try:
            item = Compose(pipeline)({"img_path": noise, "img_id": 0})
            data = {key: [value] for key, value in item.items()}
            same = _folds(model, model.data_preprocessor(data)["inputs"].double())
        except (
            Exception
        ):  # of many kinds: a norm without statistics, a model that needs more than images
            return model
        return fuse_conv_bn(deepcopy(model)) if same else model


def _folds(model: nn.Module, images: Tensor) -> bool:
    """Whether a folded copy gives the same maps."""
    exact = deepcopy(model).double()
    before = list(_maps(exact(images)))
    after = list(_maps(fuse_conv_bn(exact)(images)))
    pairs = zip(before, after, strict=True)
    return all((a - b).abs().max() <= _ROUNDING * a.abs().max() for a, b in pairs)


def _maps(answer: Any) -> Iterator[Tensor]:
    """The tensors in nested lists, in order."""
    if isinstance(answer, Tensor):
        yield answer
    else:
        for part in answer:
            yield from _maps(part)
