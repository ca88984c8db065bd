"""Models inside the wrappers of distributed training."""

from __future__ import annotations

from typing import cast

from mmengine.model import is_model_wrapper
from torch import nn


def bare_model(model: nn.Module) -> nn.Module:
    """Return the model inside a distributed wrapper, or the model itself.

    >>> layer = nn.Linear(1, 1)
    >>> bare_model(layer) is layer
    True
    """
    return cast(nn.Module, model.module) if is_model_wrapper(model) else model
