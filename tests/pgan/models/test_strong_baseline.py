import pytest
import torch
import torch.nn.functional as F

from pgan.models import ModelError
from pgan.models.losses import batch_hard_triplet_loss

VARIANTS = [
    {"feature_dim": None},
    {"feature_dim": None, "pooling": "gem"},
    {"feature_dim": 10},
    {"feature_dim": 10, "pooling": "gem"},
]


@pytest.mark.parametrize("changes", VARIANTS)
def test_losses_and_feature_follow_figure_3b(build, batch, changes):
    inputs, samples = batch()
    model = build("StrongBaseline", label_smoothing=0.1, **changes)
    losses = model(inputs, samples, mode="loss")

    maps = model.backbone(inputs)[-1]
    feature = model.pooling(maps)
    if changes["feature_dim"]:
        feature = feature @ model.reduction.weight.T
    assert feature.shape == (8, changes["feature_dim"] or 24)
    labels = torch.tensor([s.vehicle_label for s in samples])
    logits = model.neck(feature) @ model.classifier.weight.T
    smooth = 0.9 * F.one_hot(labels, 4) + 0.1 / 4
    expected = {
        "loss_id": -(smooth * logits.log_softmax(1)).sum(1).mean(),
        "loss_global": batch_hard_triplet_loss(feature, labels, 0.3),
    }
    for name, value in expected.items():
        torch.testing.assert_close(losses[name], value, rtol=1e-3, atol=1e-3)

    model.eval()
    tested = model(inputs, mode="tensor")
    feature = model.reduction(model.pooling(model.backbone(inputs)[-1]))
    torch.testing.assert_close(tested, F.normalize(model.neck(feature)))


@pytest.mark.parametrize("changes", VARIANTS)
def test_loss_trains_every_weight(build, batch, changes):
    model = build("StrongBaseline", **changes)
    losses = model(*batch(), mode="loss")
    (losses["loss_id"] + losses["loss_global"]).backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert [n for n, p in trained.items() if p.grad is None] == []
    assert ("pooling.p" in trained) == (changes.get("pooling") == "gem")
    assert ("reduction.weight" in trained) == (changes["feature_dim"] is not None)


def test_feature_under_autocast_is_float32(build, batch):
    model = build("StrongBaseline", feature_dim=10)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert model.attend(*batch()).feature.dtype == torch.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"feature_dim": 0}, "model.feature_dim=0: use 1 or more, or None"),
        ({"pooling": "max"}, "model.pooling='max': use one of average, gem"),
    ],
)
def test_build_refuses_invalid_config(build, changes, message):
    with pytest.raises(ModelError, match=message):
        build("StrongBaseline", **changes)
