"""Channels-last memory format for models that have no option of their own for it."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook

from pgan.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Keep the weights, and with them the feature maps, in channels-last format: faster, same results."""

    def before_run(self, runner: Any) -> None:
        """Convert the model of the runner."""
        runner.model.to(memory_format=torch.channels_last)
