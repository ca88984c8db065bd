"""VGG-M, one of the backbones of PGAN's Figure 7; torchvision has none."""

from __future__ import annotations

from collections import OrderedDict

from mmengine.model import Sequential
from torch import nn

from pgan.registry import MODELS


@MODELS.register_module()
class VGGM(Sequential):
    """The convolutions of CNN-M (Chatfield et al., "Return of the Devil in the Details", BMVC 2014, Table 1).

    Five convolutions; the first two are followed by local response normalisation and pooling. 224x224 pixels
    give 13x13 cells. The last pooling is omitted, since parts need a finer map. The weights were released
    for Caffe; here they are random, or loaded with
    ``init_cfg=dict(type='Pretrained', checkpoint=FILE)`` under the names ``conv1`` ... ``conv5``.

    Args:
        init_cfg: mmengine's config of the initial weights.

    Attributes:
        out_channels (int): 512.

    >>> import torch
    >>> VGGM()(torch.zeros(1, 3, 64, 64)).shape
    torch.Size([1, 512, 3, 3])
    """

    out_channels = 512

    def __init__(self, init_cfg: dict | None = None) -> None:
        layers = OrderedDict[str, nn.Module]()
        convolutions = (
            (96, 7, 2, 0),
            (256, 5, 2, 1),
            (512, 3, 1, 1),
            (512, 3, 1, 1),
            (512, 3, 1, 1),
        )
        channels = 3
        for number, (out, size, stride, padding) in enumerate(convolutions, 1):
            conv = nn.Conv2d(channels, out, size, stride, padding)
            nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
            nn.init.zeros_(conv.get_parameter("bias"))
            layers[f"conv{number}"] = conv
            layers[f"relu{number}"] = nn.ReLU(inplace=True)
            if number <= 2:
                # Krizhevsky's n=5, k=2, alpha=1e-4, beta=0.75; torch divides alpha by n.
                layers[f"norm{number}"] = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)
                # Caffe, for which it was released, also pools the last, incomplete window.
                layers[f"pool{number}"] = nn.MaxPool2d(3, stride=2, ceil_mode=True)
            channels = out
        super().__init__(layers, init_cfg=init_cfg)
