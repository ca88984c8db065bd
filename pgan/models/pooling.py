"""From a feature map to one feature: what pools the cells."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from pgan.models.errors import ModelError
from pgan.models.heads import global_average_pool


class AveragePooling(nn.Module):
    """Global average pooling as a module."""

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C) float32."""
        return global_average_pool(features)


class GeM(nn.Module):
    """Generalised-mean pooling, ``(mean over cells of x^p)^(1/p)``, with a learned p (Radenović et al.,
    "Fine-tuning CNN Image Retrieval with No Human Annotation", 2018, Eq. 3, one p for all channels).

    p = 1 averages, p -> infinity takes the maximum. It is made for maps that are not negative, as after a
    ReLU: what is below ``eps`` counts as ``eps``.

    Args:
        p: Exponent to start from; the paper starts from 3.
        eps: Least value of a cell, above 0.
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(p))
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C) float32, whatever the precision of the map."""
        with torch.autocast(features.device.type, enabled=False):
            logs = features.float().clamp(min=self.eps).log().flatten(2)
            # By logarithms, since eps^7 is 0 in float32, where the root has no gradient.
            sums = torch.logsumexp(self.p * logs, 2)
            return ((sums - math.log(logs.shape[2])) / self.p).exp()


POOLINGS: dict[str, type[nn.Module]] = {"average": AveragePooling, "gem": GeM}


def build_pooling(name: str) -> nn.Module:
    """The pooling of a config's ``model.pooling``.

    Raises:
        ModelError: No such pooling.
    """
    if name not in POOLINGS:
        raise ModelError(f"model.pooling={name!r}: it is one of {', '.join(POOLINGS)}.")
    return POOLINGS[name]()
