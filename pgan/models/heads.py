"""What stands between a pooled feature and its losses."""

from __future__ import annotations

from torch import Tensor, nn


class BNNeck(nn.BatchNorm1d):
    """Batch normalisation whose bias stays 0 (Luo et al., "Bag of Tricks", 2019).

    Triplet losses see the feature before it, the classifier and the ranking the feature after it.

    Args:
        num_features: C, channels of the feature.
    """

    def __init__(self, num_features: int) -> None:
        super().__init__(num_features)
        self.bias.requires_grad_(False)


class Classifier(nn.Linear):
    """Linear layer without bias over the training vehicles, initialised from N(0, 0.001).

    Args:
        num_features: C, channels of the feature.
        num_vehicles: Number of training vehicles.
    """

    def __init__(self, num_features: int, num_vehicles: int) -> None:
        super().__init__(num_features, num_vehicles, bias=False)
        nn.init.normal_(self.weight, std=0.001)


def global_average_pool(features: Tensor) -> Tensor:
    """(B, C, H, W) -> (B, C) float32, whatever the precision of the map."""
    return features.float().mean((2, 3))
