"""Batch-hard triplet loss."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def euclidean_distances(features: Tensor) -> Tensor:
    """All pairwise Euclidean distances, with zero gradient between equal features.

    Args:
        features: (B, C) of any float type.

    Returns:
        (B, B) float32, computed from differences: the matrix-product form rounds small distances away.
    """
    features = features.float()
    return torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")


def batch_hard_triplet_loss(features: Tensor, labels: Tensor, margin: float = 0.3) -> Tensor:
    """Triplet loss with the hardest positive and negative of each anchor (Hermans et al., 2017).

    ``mean over anchors of max(0, margin + d(farthest positive) - d(nearest negative))``, with Euclidean
    distances between features that are not normalised. An anchor without another image of its vehicle,
    or without any other vehicle, in the batch is left out.

    Args:
        features: (B, C) of any float type.
        labels: (B,) integer vehicle labels.
        margin: Wanted gap between the two distances.

    Returns:
        Scalar float32; 0, with zero gradient, where no anchor has a triplet.
    """
    distances = euclidean_distances(features)
    same = labels[:, None] == labels[None]
    itself = torch.eye(len(labels), dtype=torch.bool, device=labels.device)
    positives, negatives = same & ~itself, ~same
    # Distances are never negative, so 0 never wins a maximum over positives.
    farthest = distances.masked_fill(~positives, 0).amax(1)
    nearest = distances.masked_fill(~negatives, float("inf")).amin(1)
    anchors = positives.any(1) & negatives.any(1)
    losses = F.relu(margin + farthest[anchors] - nearest[anchors])
    return losses.mean() if anchors.any() else features.float().sum() * 0
