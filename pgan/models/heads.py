"""Layers between a pooled feature and its losses."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn


class BNNeck(nn.BatchNorm1d):
    """Batch normalisation whose bias stays 0 (Luo et al., "Bag of Tricks", 2019).

    Triplet losses use the feature before it, the classifier and the ranking the feature after it.

    Args:
        num_features: C, channels of the feature.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.bias.requires_grad_(False)


class Classifier(nn.Linear):
    """Linear layers without bias over the training vehicles, initialised from N(0, 0.001).

    Args:
        dims: Channels of each branch of the feature. Each branch has its own linear layer; one matrix stores
            the weights of all layers.
        num_vehicles: Number of training vehicles.
    """

    def __init__(self, dims: Sequence[int], num_vehicles: int) -> None:
        super().__init__(sum(dims), num_vehicles, bias=False)
        self.dims = list(dims)
        nn.init.normal_(self.weight, std=0.001)

    def forward(  # type: ignore[override]  # one tensor for each branch
        self, feature: Tensor
    ) -> list[Tensor]:
        """(B, C), all branches concatenated -> (B, num_vehicles) logits of each branch."""
        branches = zip(feature.split(self.dims, 1), self.weight.split(self.dims, 1))
        return [F.linear(branch, weight) for branch, weight in branches]


def global_average_pool(features: Tensor) -> Tensor:
    """Average (B, C, H, W) over the cells -> (B, C) float32, for any precision of the map.

    >>> import torch
    >>> global_average_pool(torch.tensor([[[[1.0, 3.0]]]]))
    tensor([[2.]])
    """
    return features.float().mean((2, 3))
