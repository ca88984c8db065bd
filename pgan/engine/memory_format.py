"""Channels-last memory format for models without an option for it, such as detectors."""

from __future__ import annotations

from typing import Any

import torch
from mmengine.hooks import Hook

from pgan.registry import HOOKS


@HOOKS.register_module()
class ChannelsLastHook(Hook):
    """Convert weights, and with them feature maps, to channels-last format, which is faster on a CPU."""

    def before_run(self, runner: Any) -> None:
        """Convert the runner's model."""
        runner.model.to(memory_format=torch.channels_last)
