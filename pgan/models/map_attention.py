"""Attention on a feature map: modules that take a (B, C, H, W) map and give another of the same shape.

SSR-Net's is CBAM; its paper compares squeeze-and-excitation, a spatial transformer and bilinear attention.
What that leaves open is taken from their own papers, or chosen here and said in the docstring.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgan.models.refine import SqueezeExcitation


def _squeezed(channels: int, reduction: int) -> int:
    return max(1, channels // reduction)


class ChannelAttention(SqueezeExcitation):
    """Squeeze-and-excitation as a module by itself: ``F`` times its weight of each channel.

    Args:
        channels: C.
        reduction: C over the channels between its two layers; 16 in its paper.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__(channels, min(reduction, channels))

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return features * super().forward(features)


class CBAM(nn.Module):
    """Convolutional block attention module (Woo et al., ECCV 2018), SSR-Net's Eq. 1.

    Channels first, ``F' = sigmoid(MLP(mean F) + MLP(max F)) * F`` with one MLP for both, then cells,
    ``F'' = sigmoid(conv([mean_c F'; max_c F'])) * F'``.

    Args:
        channels: C.
        reduction: C over the channels inside the MLP. SSR-Net's paper is silent; 16 is CBAM's.
        kernel_size: Of the convolution, odd. SSR-Net's paper is silent; 7 is CBAM's.
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
    """Spatial transformer (Jaderberg et al., NeurIPS 2015): the map, sampled on an affine grid.

    The six numbers of the grid come from a 1 x 1 convolution to C / reduction channels, ReLU, the means of
    4 x 4 windows, and a linear layer that starts as the identity. (Chosen here.)

    Args:
        channels: C.
        reduction: C over the channels inside.
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

    ``sigmoid(p . (tanh(U x) * tanh(V mean(F)))) * x`` for each cell x, ``*`` by element. (Which bilinear
    attention SSR-Net's paper compares is not known here; chosen for its one weight a cell, as CBAM's.)

    Args:
        channels: C.
        reduction: C over the rank.
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
