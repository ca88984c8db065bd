import copy

import pytest
import torch
import torch.nn.functional as F
from mmengine.runner.checkpoint import load_state_dict

from pgan.benchmarks.attention_reference import literal_part_guidance
from pgan.models import ModelError
from pgan.models.losses import batch_hard_triplet_loss
from pgan.models.part_masks import part_masks
from pgan.structures import ReIDSample

LOSSES = {
    "Baseline": ("loss_id", "loss_global"),
    "PGAN": ("loss_id", "loss_fusion", "loss_global", "loss_part"),
}
MODELS_AND_ATTENTIONS = [
    ("Baseline", {}),
    ("PGAN", {"attention": "learned"}),
    ("PGAN", {"attention": "uniform"}),
    ("PGAN", {"attention": "grid"}),
]


def test_losses_equal_equations(build, batch):
    inputs, samples = batch()
    weights = {"loss_id": 3.0, "loss_part": 0.5}
    model = build(
        "PGAN",
        loss_weights=weights,
        metric_losses=[{"type": "BatchHardTripletLoss", "margin": 0.7}],
    )
    losses = copy.deepcopy(model)(inputs, samples, mode="loss")

    labels = torch.tensor([s.vehicle_label for s in samples])
    f_g = model.backbone(inputs)[-1]
    masks = part_masks(torch.stack([s.part_boxes for s in samples]), (64, 64), (8, 8))
    f_p = literal_part_guidance(f_g, masks, model.attention)[1]
    fusion = model.refine_fusion(torch.cat([f_g, f_p], 1))
    part, whole = model.refine_part(f_p), model.refine_global(f_g)
    assert (fusion.shape, part.shape, whole.shape) == ((8, 32), (8, 16), (8, 16))
    (logits,) = model.classifier(model.neck(fusion))
    expected = {
        "loss_id": 3 * F.cross_entropy(logits, labels),
        "loss_fusion": batch_hard_triplet_loss(fusion, labels, 0.7),
        "loss_global": batch_hard_triplet_loss(whole, labels, 0.7),
        "loss_part": 0.5 * batch_hard_triplet_loss(part, labels, 0.7),
        "acc": 100 * (logits.argmax(1) == labels).float().mean(),
    }
    torch.testing.assert_close(losses, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("name", "off"), [(n, loss) for n, ls in LOSSES.items() for loss in ls])
def test_zero_weight_disables_loss_and_its_layers(build, batch, name, off):
    model = build(name, loss_weights={off: 0})
    losses = model(*batch(), mode="loss")
    assert {key for key in losses if key.startswith("loss")} == set(LOSSES[name]) - {off}
    sum(value for key, value in losses.items() if key.startswith("loss")).backward()
    trained = {n: p for n, p in model.named_parameters() if p.requires_grad}
    assert [n for n, p in trained.items() if p.grad is None] == []
    assert model.neck.num_batches_tracked == 1


RESNET = {"type": "TorchvisionBackbone", "name": "resnet18", "out": "layer3"}


@pytest.mark.parametrize(
    ("name", "changes"), [*MODELS_AND_ATTENTIONS, ("PGAN", {"backbone": RESNET})]
)
def test_short_training_fits_eight_images(build, batch, fit, name, changes):
    model, (inputs, samples) = build(name, **changes), batch()
    totals, losses = fit(model, inputs, samples)
    assert totals[-1] < 0.6 * totals[0]
    assert losses["acc"] == 100


@pytest.mark.parametrize(("name", "changes"), MODELS_AND_ATTENTIONS)
def test_predict_gives_unit_features_independent_of_batch(build, batch, name, changes):
    model, (inputs, samples) = build(name, **changes), batch()
    model(inputs, samples, mode="loss")
    model.eval()
    with torch.no_grad():
        together = model(inputs, samples, mode="predict")
        alone = [model(inputs[i : i + 1], samples[i : i + 1], mode="tensor") for i in range(8)]
    features = torch.stack([sample.feature for sample in together])
    assert (features.shape, features.dtype, features.device.type) == ((8, 32), torch.float32, "cpu")
    torch.testing.assert_close(features.norm(dim=1), torch.ones(8))
    torch.testing.assert_close(features, torch.cat(alone), rtol=1e-4, atol=1e-5)
    assert together[0].feature.untyped_storage().nbytes() == 32 * 4


def test_predict_adds_part_weights(build, batch):
    inputs, samples = batch()
    samples[1].part_boxes = torch.zeros(5, 4)
    learned = build("PGAN").eval()(inputs, samples, mode="predict")
    assert [s.part_weights.shape for s in learned] == [(5,)] * 8
    assert learned[0].part_weights[2] == 0
    assert learned[0].part_weights.sum().item() == pytest.approx(1)
    assert learned[1].part_weights.eq(0).all()
    assert learned[1].feature.isfinite().all()
    uniform = build("PGAN", attention="uniform").eval()(inputs, samples, mode="predict")
    assert torch.equal(uniform[0].part_weights, torch.tensor([0.25, 0.25, 0, 0.25, 0.25]))
    grid = build("PGAN", attention="grid").eval()(inputs, None, mode="predict")
    assert grid[0].part_weights.shape == (64,)


def test_boxes_change_feature_of_pgan_only(build, batch):
    inputs, samples = batch()
    moved = [ReIDSample(part_boxes=s.part_boxes + 8) for s in samples]
    for name, same in (("PGAN", False), ("Baseline", True)):
        model = build(name).eval()
        assert torch.equal(model(inputs, samples), model(inputs, moved)) is same


def test_predict_skips_branches_of_losses(build, batch):
    model = build("PGAN").eval()
    calls = []
    for name in ("refine_part", "refine_global", "classifier"):
        getattr(model, name).register_forward_hook(lambda *_, name=name: calls.append(name))
    model(*batch(), mode="predict")
    assert calls == []
    model.train()(*batch(), mode="loss")
    assert sorted(calls) == ["classifier", "refine_global", "refine_part"]


def test_pgan_concat_weights_three_branches_equally(build, batch):
    """Section IV-D: the same weights, tested on the concatenation of fusion, global and part feature."""
    inputs, samples = batch()
    plain, wide = build("PGAN").eval(), build("PGAN", test_feature="concat").eval()
    wide.load_state_dict(plain.state_dict(), strict=True)
    f_g = plain.backbone(inputs)[-1]
    masks = part_masks(torch.stack([s.part_boxes for s in samples]), (64, 64), (8, 8))
    f_p = literal_part_guidance(f_g, masks, plain.attention)[1]
    three = (
        plain.neck(plain.refine_fusion(torch.cat([f_g, f_p], 1))),
        plain.refine_global(f_g),
        plain.refine_part(f_p),
    )
    concat = wide(inputs, samples)
    expected = torch.cat([feature / feature.norm(dim=1, keepdim=True) for feature in three], 1)
    torch.testing.assert_close(concat, expected / 3**0.5, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(concat.norm(dim=1), torch.ones(8))
    assert wide(inputs, samples, mode="predict")[0].feature.shape == (64,)
    torch.testing.assert_close(
        wide.train()(inputs, samples, mode="loss"), plain.train()(inputs, samples, mode="loss")
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_loss_under_autocast_is_finite(build, batch, dtype):
    model, (inputs, samples) = build("PGAN"), batch()
    samples[3].part_boxes = torch.zeros(5, 4)
    with torch.autocast("cpu", dtype):
        losses = model(inputs, samples, mode="loss")
    sum(value for key, value in losses.items() if key.startswith("loss")).backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)
    with torch.autocast("cpu", dtype), torch.no_grad():
        assert model.eval()(inputs, samples).dtype == torch.float32


def test_channels_last_keeps_features(build, batch):
    inputs, samples = batch()
    plain, fast = build("PGAN").eval(), build("PGAN", channels_last=True).eval()
    fast.load_state_dict(plain.state_dict())
    weight = fast.refine_fusion.bottleneck.conv2.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(fast(inputs, samples), plain(inputs, samples), rtol=1e-4, atol=1e-5)


def test_config_selects_stride_and_backbone(build, batch):
    for backbone in (
        {"type": "TorchvisionBackbone", "name": "resnet18", "last_stride": 2},
        {"type": "TinyBackbone"},
        {"type": "TorchvisionBackbone", "name": "mobilenet_v2", "out": "13"},
    ):
        assert build("PGAN", backbone=backbone, feature_dim=64)(*batch()).shape == (8, 64)


def test_load_state_dict_accepts_another_number_of_vehicles(build):
    trained = build("PGAN", num_vehicles=9).state_dict()
    other, none = build("PGAN", num_vehicles=4), build("PGAN", num_vehicles=None)
    own = other.classifier.weight.clone()
    with pytest.warns(UserWarning, match="9 vehicles, the model 4: the model keeps its own"):
        other.load_state_dict(trained)
    assert torch.equal(other.classifier.weight, own)
    load_state_dict(none, trained, strict=True)
    none.load_state_dict(trained)
    for model in (other, none):
        assert torch.equal(model.backbone[0].weight, trained["backbone.0.weight"])
    assert trained["classifier.weight"].shape == (9, 32)
    same = build("PGAN", num_vehicles=9)
    same.load_state_dict(trained)
    assert torch.equal(same.classifier.weight, trained["classifier.weight"])


@pytest.mark.parametrize(
    ("name", "changes", "message"),
    [
        ("PGAN", {"attention": "soft"}, "attention='soft': use one of learned, uniform, grid"),
        ("PGAN", {"test_feature": "sum"}, "test_feature='sum': use one of fusion, concat"),
        (
            "PGAN",
            {"test_feature": "concat", "loss_weights": {"loss_part": 0}},
            "'concat' needs model.loss_weights.loss_part above 0",
        ),
        ("PGAN", {"loss_weights": {"loss_x": 1}}, "no 'loss_x' in PGAN: use loss_id, loss_fusion"),
        ("Baseline", {"loss_weights": {"loss_part": 1}}, "no 'loss_part' in Baseline"),
        ("PGAN", {"loss_weights": {"loss_id": -1}}, "loss_weights.loss_id=-1"),
        ("PGAN", {"feature_dim": 20}, "multiple of 4 channels, not 10"),
    ],
)
def test_build_refuses_invalid_config(build, name, changes, message):
    with pytest.raises(ValueError, match=message):
        build(name, **changes)


def test_forward_refuses_incomplete_samples(build, batch):
    inputs, samples = batch()
    model = build("PGAN")
    with pytest.raises(ModelError, match=r"needs model.num_vehicles"):
        build("PGAN", num_vehicles=None)(inputs, samples, mode="loss")
    with pytest.raises(ModelError, match=r"vehicle_label 3 does not fit model.num_vehicles=2"):
        build("PGAN", num_vehicles=2)(inputs, samples, mode="loss")
    with pytest.raises(ModelError, match="mode='extract'"):
        model(inputs, samples, mode="extract")
    with pytest.raises(ModelError, match="PGAN needs part_boxes in every sample"):
        model(inputs)
    del samples[0].vehicle_label
    with pytest.raises(ModelError, match="vehicle_label in every sample"):
        model(inputs, samples, mode="loss")
    samples[0].part_boxes = torch.zeros(2, 4)
    with pytest.raises(ModelError, match="2 and 5 part slots"):
        model(inputs, samples)


def test_deepcopy_is_independent(build, batch):
    inputs, samples = batch()
    model = build("PGAN").eval()
    twin = copy.deepcopy(model)
    assert torch.equal(twin(inputs, samples), model(inputs, samples))
    twin.neck.weight.data.mul_(torch.rand(32))
    assert not torch.equal(twin(inputs, samples), model(inputs, samples))
