"""Attention on a feature map: modules that map (B, C, H, W) to the same shape.

SSR-Net uses CBAM; its paper compares it with squeeze-and-excitation, a spatial transformer and bilinear
attention. Details that the paper omits follow the original paper of each module; if they cannot, the
docstring states our choice.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgan.models.refine import SqueezeExcitation


def _squeezed(channels: int, reduction: int) -> int:
    return max(1, channels // reduction)


class ChannelAttention(SqueezeExcitation):
    """Squeeze-and-excitation as a separate module: ``F`` multiplied by its channel weights.

    Args:
        channels: C.
        reduction: Ratio of C to the hidden channels; 16 in the paper of squeeze-and-excitation.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__(channels, min(reduction, channels))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return features * super().forward(features)


class CBAM(nn.Module):
    """Convolutional block attention module (Woo et al., ECCV 2018), SSR-Net's Eq. 1.

    Channel attention, ``F' = sigmoid(MLP(mean F) + MLP(max F)) * F`` with a shared MLP, is followed by
    spatial attention, ``F'' = sigmoid(conv([mean_c F'; max_c F'])) * F'``.

    Args:
        channels: C.
        reduction: Ratio of C to the hidden channels of the MLP. SSR-Net's paper does not state it; CBAM's
            uses 16.
        kernel_size: Kernel size of the convolution, odd. SSR-Net's paper does not state it; CBAM's uses 7.

    >>> CBAM(32)(torch.zeros(2, 32, 4, 4)).shape
    torch.Size([2, 32, 4, 4])
    """

    def __init__(self, channels: int, reduction: int = 16, kernel_size: int = 7) -> None:
        super().__init__()
        inside = _squeezed(channels, reduction)
        self.mlp = nn.Sequential(
            nn.Conv2d(channels, inside, 1, bias=False),
            nn.ReLU(inplace=True),
            nn.Conv2d(inside, channels, 1, bias=False),
        )
        self.conv = nn.Conv2d(2, 1, kernel_size, padding=kernel_size // 2, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        mean, greatest = features.mean((2, 3), keepdim=True), features.amax((2, 3), keepdim=True)
        features = features * (self.mlp(mean) + self.mlp(greatest)).sigmoid()
        cells = torch.cat([features.mean(1, keepdim=True), features.amax(1, keepdim=True)], 1)
        return features * self.conv(cells).sigmoid()


class SpatialTransformer(nn.Module):
    """Spatial transformer (Jaderberg et al., NeurIPS 2015): samples the map on an affine grid.

    A 1 x 1 convolution to C / reduction channels, ReLU, average pooling to 4 x 4 and a linear layer predict
    the six parameters of the grid, which is initially the identity. This localisation network is our choice.

    Args:
        channels: C.
        reduction: Ratio of C to the hidden channels.
    """

    _WINDOWS = 4

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        inside = _squeezed(channels, reduction)
        theta = nn.Linear(inside * self._WINDOWS**2, 6)
        self.locate = nn.Sequential(
            nn.Conv2d(channels, inside, 1),
            nn.ReLU(inplace=True),
            nn.AdaptiveAvgPool2d(self._WINDOWS),
            nn.Flatten(),
            theta,
        )
        nn.init.zeros_(theta.weight)
        theta.bias.data = torch.tensor([1.0, 0, 0, 0, 1, 0])

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        theta = self.locate(features).view(-1, 2, 3).to(features.dtype)
        grid = F.affine_grid(theta, list(features.shape), align_corners=False)
        return F.grid_sample(features, grid, align_corners=False)


class BilinearAttention(nn.Module):
    """Low-rank bilinear attention between each cell and the mean of all (Kim et al., ICLR 2017).

    ``sigmoid(p . (tanh(U x) * tanh(V mean(F)))) * x`` for each cell x, where ``*`` is element-wise. SSR-Net's
    paper does not specify its bilinear attention; we chose this one because it has one weight per cell, like
    the spatial attention of CBAM.

    Args:
        channels: C.
        reduction: Ratio of C to the rank.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        rank = _squeezed(channels, reduction)
        self.cell = nn.Conv2d(channels, rank, 1, bias=False)
        self.whole = nn.Conv2d(channels, rank, 1, bias=False)
        self.weigh = nn.Conv2d(rank, 1, 1)

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        whole = self.whole(features.mean((2, 3), keepdim=True)).tanh()
        return features * self.weigh(self.cell(features).tanh() * whole).sigmoid()


ATTENTIONS: dict[str, type[nn.Module]] = {
    "se": ChannelAttention,
    "cbam": CBAM,
    "stn": SpatialTransformer,
    "bilinear": BilinearAttention,
}
