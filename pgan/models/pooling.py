"""Pool the cells of a feature map into one feature."""

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

    p = 1 is the average, p -> infinity the maximum. The map should be non-negative, such as after a ReLU:
    values below ``eps`` are set to ``eps``.

    Args:
        p: Initial exponent; 3 in the paper.
        eps: Smallest value of a cell, above 0.

    >>> GeM(p=1.0)(torch.tensor([[[[1.0, 3.0]]]]))
    tensor([[2.]], grad_fn=<ExpBackward0>)
    """

    def __init__(self, p: float = 3.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.p = nn.Parameter(torch.tensor(p))
        self.eps = eps

    def forward(self, features: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C) float32, for any precision of the map."""
        with torch.autocast(features.device.type, enabled=False):
            logs = features.float().clamp(min=self.eps).log().flatten(2)
            # In the log domain, since eps^7 underflows to 0 in float32, where the root has no gradient.
            sums = torch.logsumexp(self.p * logs, 2)
            return ((sums - math.log(logs.shape[2])) / self.p).exp()


POOLINGS: dict[str, type[nn.Module]] = {"average": AveragePooling, "gem": GeM}


def build_pooling(name: str) -> nn.Module:
    """Build the pooling that a config names in ``model.pooling``.

    Raises:
        ModelError: There is no such pooling.

    >>> build_pooling("average")(torch.zeros(2, 8, 4, 4)).shape
    torch.Size([2, 8])
    """
    if name not in POOLINGS:
        raise ModelError(f"model.pooling={name!r}: use one of {', '.join(POOLINGS)}.")
    return POOLINGS[name]()
