"""Losses on distances between the features of a batch."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgan.models.errors import ModelError
from pgan.registry import MODELS


def euclidean_distances(features: Tensor) -> Tensor:
    """Return all pairwise Euclidean distances, with zero gradient between equal features.

    Args:
        features: (B, C) of any float type.

    Returns:
        (B, B) float32, computed from differences, since the matrix-product form loses small distances.
    """
    features = features.float()
    return torch.cdist(features, features, compute_mode="donot_use_mm_for_euclid_dist")


def batch_hard_triplet_loss(features: Tensor, labels: Tensor, margin: float = 0.3) -> Tensor:
    """Triplet loss with the hardest positive and negative of each anchor (Hermans et al., 2017).

    ``mean over anchors of max(0, margin + d(farthest positive) - d(nearest negative))``, with Euclidean
    distances between features that are not normalised. An anchor without another image of its vehicle in the
    batch, or without any other vehicle, is skipped.

    Args:
        features: (B, C) of any float type.
        labels: (B,) integer vehicle labels.
        margin: Desired gap between the two distances.

    Returns:
        Scalar float32; 0, with zero gradient, if no anchor has a triplet.

    >>> features = torch.tensor([[0.0], [1.0], [3.0]])
    >>> batch_hard_triplet_loss(features, torch.tensor([0, 0, 1]), margin=0.3)
    tensor(0.)
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


@MODELS.register_module()
class BatchHardTripletLoss(nn.Module):
    """The loss of `batch_hard_triplet_loss` as a module.

    Args:
        margin: Desired gap between the two distances.
        weight: Factor of the loss.

    >>> loss = BatchHardTripletLoss(margin=0.5)
    >>> loss(torch.tensor([[0.0], [1.0], [1.5]]), torch.tensor([0, 0, 1]))
    tensor(0.5000)
    """

    def __init__(self, margin: float = 0.3, weight: float = 1.0) -> None:
        super().__init__()
        self.margin, self.weight = margin, weight

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """(B, C) features and (B,) labels -> scalar."""
        return self.weight * batch_hard_triplet_loss(features, labels, self.margin)


@MODELS.register_module()
class MetricLearningLoss(nn.Module):
    """A loss of pytorch-metric-learning over all pairs of a batch, unless its options select others.

    ``InstanceLoss`` uses the k-th image of a batch as the target of the k-th label, so the first image of
    each vehicle is moved to the front, in the order of labels. Other losses do not depend on the order.

    Args:
        name: Class of the loss, such as ``'CircleLoss'``, ``'ContrastiveLoss'`` or ``'LiftedStructureLoss'``.
        weight: Factor of the loss; the circle loss of a batch is about a hundred times a triplet loss.
        options: Options of the loss.

    Raises:
        ModelError: There is no such loss, or it has no such option.
    """

    def __init__(self, name: str, weight: float = 1.0, **options: object) -> None:
        super().__init__()
        from pytorch_metric_learning import losses  # takes a second to import

        if not (name.endswith("Loss") and hasattr(losses, name)):
            known = ", ".join(loss for loss in dir(losses) if loss.endswith("Loss"))
            raise ModelError(
                f"name={name!r} is not a loss of pytorch-metric-learning: use one of {known}."
            )
        try:
            self.loss = getattr(losses, name)(**options)
        except TypeError as error:
            raise ModelError(f"{name} of pytorch-metric-learning: {error}.") from error
        self.weight = weight

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        """(B, C) features and (B,) labels -> scalar."""
        order = _first_of_each_first(labels)
        return self.weight * self.loss(features.float()[order], labels[order])


def _first_of_each_first(labels: Tensor) -> Tensor:
    """Return (B,) indices: the first image of each label, in the order of labels, then all others."""
    order = labels.argsort(stable=True)
    ordered = labels[order]
    first = torch.ones_like(ordered, dtype=torch.bool)
    first[1:] = ordered[1:] != ordered[:-1]
    return torch.cat([order[first], order[~first]])
