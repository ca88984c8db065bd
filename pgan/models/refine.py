"""Refine block: squeeze-and-excitation, then a pre-activation bottleneck (authors' release), pooled."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgan.models.errors import ModelError
from pgan.models.pooling import build_pooling


class SqueezeExcitation(nn.Module):
    """Channel attention (Hu et al., 2018): average pool -> Linear -> ReLU -> Linear -> sigmoid.

    Args:
        channels: Channels of the map.
        reduction: The hidden layer has ``channels // reduction`` units.
    """

    def __init__(self, channels: int, reduction: int = 8) -> None:
        super().__init__()
        self.fc = nn.Sequential(
            nn.Linear(channels, channels // reduction, bias=False),
            nn.ReLU(inplace=True),
            nn.Linear(channels // reduction, channels, bias=False),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, 1, 1), the weight of each channel, in (0, 1)."""
        return self.fc(x.mean((2, 3)))[:, :, None, None]


class PooledBottleneck(nn.Module):
    """Pre-activation bottleneck (He et al., 2016), pooled over the map; its shortcut is a 1x1 convolution.

    Averaging commutes with 1x1 convolutions, so the last one and the shortcut run on the pooled feature, one
    cell instead of H x W. Another pooling takes the place of the average; both maps are outputs of a ReLU, as
    GeM requires.

    Args:
        in_channels: Channels in.
        out_channels: Channels out; the inner width is a quarter of them.
        overwrite: See `Refine`.
        pooling: See `Refine`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        overwrite: bool = False,
        pooling: str = "average",
    ) -> None:
        super().__init__()
        self.overwrite = overwrite
        self.pooling = build_pooling(pooling)
        width = out_channels // 4
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1, bias=False)
        self.bn3 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.conv4 = nn.Conv2d(in_channels, out_channels, 1, bias=False)

    def forward(self, x: Tensor, channel_weights: Tensor) -> Tensor:
        """(B, in, H, W) map and (B, in, 1, 1) weights that scale its channels -> (B, out) float32."""
        x = self._activate(x, channel_weights)
        residual = F.relu(self.bn2(self.conv1(x)), inplace=True)
        residual = F.relu(self.bn3(self.conv2(residual)), inplace=True)
        # Autocast would round the feature itself.
        with torch.autocast(x.device.type, enabled=False):
            return self._on_one_cell(self.conv3, residual) + self._on_one_cell(self.conv4, x)

    def _on_one_cell(self, conv: nn.Conv2d, x: Tensor) -> Tensor:
        return F.linear(self.pooling(x), conv.weight.float().flatten(1))

    def _activate(self, x: Tensor, channel_weights: Tensor) -> Tensor:
        bn = self.bn1
        if bn.training:
            return F.relu(bn(x * channel_weights), inplace=True)
        # In eval mode, weights and norm are one multiply-add; allocating a new map would cost more.
        mean, variance = bn.get_buffer("running_mean"), bn.get_buffer("running_var")
        scale = bn.weight * (variance + bn.eps).rsqrt()
        shift = (bn.bias - mean * scale)[:, None, None].to(x.dtype)
        scale = (channel_weights * scale[:, None, None]).to(x.dtype)
        out = x if self.overwrite and not torch.is_grad_enabled() else None
        return torch.addcmul(shift, x, scale, out=out).relu_()


class Refine(nn.Module):
    """Squeeze-and-excitation, a pre-activation bottleneck, and global pooling.

    Args:
        in_channels: Channels in.
        out_channels: Channels out, a multiple of 4.
        overwrite: Allow the map to be overwritten in eval mode, if nothing else uses it.
        pooling: ``'average'``, as in the release, or ``'gem'``, see `pgan.models.pooling`.

    Raises:
        ModelError: ``out_channels`` is not a positive multiple of 4, or there is no such pooling.

    >>> Refine(16, 8).eval()(torch.zeros(2, 16, 4, 4)).shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        overwrite: bool = False,
        pooling: str = "average",
    ) -> None:
        super().__init__()
        if out_channels < 4 or out_channels % 4:
            raise ModelError(
                f"A refined feature needs a multiple of 4 channels, not {out_channels}."
            )
        self.se = SqueezeExcitation(in_channels)
        self.bottleneck = PooledBottleneck(in_channels, out_channels, overwrite, pooling)
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(module.weight)

    def forward(self, x: Tensor) -> Tensor:
        """(B, in, H, W) -> (B, out) float32."""
        return self.bottleneck(x, self.se(x))
