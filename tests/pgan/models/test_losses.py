import itertools
import math

import pytest
import torch
import torch.nn.functional as F

from pgan.models.errors import ModelError
from pgan.models.losses import MetricLearningLoss, batch_hard_triplet_loss, euclidean_distances
from pgan.registry import MODELS


def brute_force(features: list[list[float]], labels: list[int], margin: float) -> float:
    """For every anchor, the largest loss over all its triplets, by enumeration."""
    worst = []
    for a in range(len(labels)):
        triplets = [
            margin + math.dist(features[a], features[p]) - math.dist(features[a], features[n])
            for p, n in itertools.permutations(range(len(labels)), 2)
            if p != a and labels[p] == labels[a] != labels[n]
        ]
        if triplets:
            worst.append(max(0.0, max(triplets)))
    return sum(worst) / len(worst) if worst else 0.0


@pytest.mark.parametrize("seed", range(20))
def test_batch_hard_triplet_loss_equals_enumeration_of_triplets(seed):
    torch.manual_seed(seed)
    features = torch.randn(10, 3, requires_grad=True)
    labels = torch.randint(0, 4 + seed % 3, (10,))
    loss = batch_hard_triplet_loss(features, labels, 0.3)
    assert loss.item() == pytest.approx(
        brute_force(features.tolist(), labels.tolist(), 0.3), abs=1e-5
    )
    loss.backward()
    assert features.grad.isfinite().all()


def test_batch_hard_triplet_loss_skips_anchor_without_positive():
    features = torch.tensor([[0.0], [3.0], [1.0], [9.0]])
    # Anchors 0 and 1 only: 1 + 3 - 1 and 1 + 3 - 2.
    assert batch_hard_triplet_loss(features, torch.tensor([5, 5, 6, 7]), 1.0).item() == 2.5


@pytest.mark.parametrize("labels", [[0, 1, 2], [4, 4, 4]])
def test_batch_hard_triplet_loss_without_triplets_is_zero(labels):
    features = torch.randn(3, 2, requires_grad=True)
    loss = batch_hard_triplet_loss(features, torch.tensor(labels))
    loss.backward()
    assert loss.item() == 0
    assert features.grad.eq(0).all()


def test_batch_hard_triplet_loss_of_equal_features_has_finite_gradient():
    features = torch.ones(4, 8, requires_grad=True)
    loss = batch_hard_triplet_loss(features, torch.tensor([0, 0, 1, 1]), 0.3)
    loss.backward()
    assert loss.item() == pytest.approx(0.3)
    assert features.grad.isfinite().all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_euclidean_distances_are_float32_under_autocast(dtype):
    # 300 squared overflows float16.
    features = torch.tensor([[300.0, 0], [0, 400.0]], dtype=dtype)
    with torch.autocast("cpu", dtype):
        distances = euclidean_distances(features)
    assert torch.equal(distances, torch.tensor([[0.0, 500.0], [500.0, 0.0]]))


def test_euclidean_distances_keep_small_distances_of_long_features():
    features = torch.full((2, 512), 100.0)
    features[1, 0] += 1e-3
    assert euclidean_distances(features)[0, 1].item() == pytest.approx(1e-3, rel=0.02)


def test_metric_learning_loss_selects_loss_by_name_and_weight():
    features = F.normalize(torch.randn(6, 4))
    labels = torch.tensor([0, 0, 1, 1, 2, 2])
    config = {"name": "ContrastiveLoss", "pos_margin": 0.1, "neg_margin": 0.9, "weight": 3.0}
    loss = MODELS.build({"type": "MetricLearningLoss", **config})(features, labels)
    # Hadsell et al., 2006; positive and negative pairs are each averaged over the pairs with a loss.
    pairs = list(itertools.combinations(range(6), 2))
    distances = {(a, b): (features[a] - features[b]).norm().item() for a, b in pairs}
    near = [max(0, d - 0.1) for (a, b), d in distances.items() if labels[a] == labels[b]]
    far = [max(0, 0.9 - d) for (a, b), d in distances.items() if labels[a] != labels[b]]
    means = [sum(side) / max(1, sum(loss > 0 for loss in side)) for side in (near, far)]
    assert loss.item() == pytest.approx(3 * sum(means), abs=1e-5)


@pytest.mark.parametrize(
    "name", ["CircleLoss", "ContrastiveLoss", "LiftedStructureLoss", "InstanceLoss"]
)
def test_metric_learning_loss_moves_images_of_vehicle_together(name):
    """Batches may have any order, although InstanceLoss expects image k to be of the k-th label."""
    features = torch.randn(12, 16, requires_grad=True)
    labels = torch.tensor([5, 5, 5, 9, 9, 9, 0, 0, 0, 3, 3, 3])
    loss, optimizer = MetricLearningLoss(name), torch.optim.Adam([features], lr=0.05)
    for _ in range(60):
        batch = torch.randperm(12)
        optimizer.zero_grad()
        loss(features[batch], labels[batch]).backward()
        optimizer.step()
    similarities = F.cosine_similarity(features[:, None], features[None], dim=-1)
    same = labels[:, None] == labels[None]
    assert similarities[same].mean() > similarities[~same].mean() + 0.5


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"name": "CircelLoss"}, "'CircelLoss' is not a loss.*CircleLoss"),
        ({"name": "CircleLoss", "gama": 1}, "CircleLoss of pytorch-metric-learning.*gama"),
    ],
)
def test_metric_learning_loss_names_unknown_loss_or_option(config, message):
    with pytest.raises(ModelError, match=message):
        MetricLearningLoss(**config)
