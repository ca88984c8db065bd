"""IBN-Net-a: instance and batch normalisation side by side."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torchvision.models import ResNet

SUFFIX = "_ibn_a"


class IBN(nn.Module):
    """Instance normalisation of the first half of the channels, batch normalisation of the others.

    Pan et al., "Two at Once: Enhancing Learning and Generalization Capacities via IBN-Net", 2018, Figure 3a.

    The parameters have the names of the authors' release, so its files load.

    Args:
        channels: Channels of the feature map.

    >>> IBN(8)(torch.zeros(2, 8, 4, 4)).shape
    torch.Size([2, 8, 4, 4])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        # Not `half`, which would hide `nn.Module.half`.
        self.split = channels // 2
        self.IN = nn.InstanceNorm2d(self.split, affine=True)
        self.BN = nn.BatchNorm2d(channels - self.split)

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return torch.cat([self.IN(x[:, : self.split]), self.BN(x[:, self.split :])], 1)


def insert_ibn(resnet: ResNet) -> None:
    """Turn a ResNet into IBN-Net-a: replace the first norm of each block, except in ``layer4``."""
    for stage in (resnet.layer1, resnet.layer2, resnet.layer3):
        for block in stage:
            block.bn1 = IBN(block.bn1.num_features)
