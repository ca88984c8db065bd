"""SSR-Net: loss and feature against the equations, and its variants."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F

from pgan.models import ModelError
from pgan.models.losses import batch_hard_triplet_loss

C, TOKEN = 24, 12  # channels of the tiny backbone and of the tiny graph
MARGIN = [{"type": "BatchHardTripletLoss", "margin": 0.5}]
VARIANTS = [
    {},
    {"branches": ["global"]},
    {"branches": ["global", "attention"]},
    {"branches": ["relation"]},
    {"branches": ["global", "relation"], "attention": "none"},
    {"attention": "se"},
    {"attention": "stn"},
    {"attention": "bilinear"},
    {"parts": "pcb", "stripes": 4, "stripe_channels": 8},
    {"graph": {"with_global": False, "depth": 1}},
    {"graph": {"with_token": False, "depth": 3}},
]


def test_loss_equals_equation_7(build, batch):
    inputs, samples = batch()
    beta = {f"loss_{branch}": 0.7 for branch in ("global", "relation", "attention")}
    model = build("SSRNet", loss_weights=beta, metric_losses=MARGIN)
    losses = copy.deepcopy(model)(inputs, samples, mode="loss")

    labels = torch.tensor([s.vehicle_label for s in samples])
    f_map = model.backbone(inputs)[-1]
    attended = model.attention(f_map)
    f_g, f_attn = f_map.mean((2, 3)), attended.mean((2, 3))
    features = {"global": f_g, "relation": model.relation(attended, f_g), "attention": f_attn}
    columns = {
        "global": (0, C),
        "relation": (C, C + TOKEN),
        "attention": (C + TOKEN, 2 * C + TOKEN),
    }
    expected = {"loss_id": 0}
    for branch, feature in features.items():
        normalised = F.batch_norm(feature, None, None, training=True)  # initial scale 1 and bias 0
        start, end = columns[branch]
        logits = normalised @ model.classifier.weight[:, start:end].T
        expected["loss_id"] = expected["loss_id"] + F.cross_entropy(logits, labels)
        expected[f"loss_{branch}"] = 0.7 * batch_hard_triplet_loss(feature, labels, 0.5)
    del losses["acc"]
    torch.testing.assert_close(losses, expected, rtol=1e-3, atol=1e-3)


def test_feature_is_concatenation_of_three_branches(build, batch):
    inputs, samples = batch()
    model = build("SSRNet").eval()
    attended = model.attention(model.backbone(inputs)[-1])
    f_g = model.backbone(inputs)[-1].mean((2, 3))
    branches = [f_g, model.relation(attended, f_g), attended.mean((2, 3))]
    expected = F.normalize(model.neck(torch.cat(branches, 1)))
    torch.testing.assert_close(model(inputs), expected)
    torch.testing.assert_close(model.attend(inputs, samples).guided, attended)


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
def test_variant_trains_all_weights_and_embeds_images_independently(build, batch, fit, changes):
    graph = {"out_channels": TOKEN, "hidden_channels": 8, **changes.get("graph", {})}
    model, (inputs, samples) = build("SSRNet", **{**changes, "graph": graph}), batch()
    totals, _ = fit(model, inputs, samples)
    assert [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None] == []
    assert totals[-1] < 0.75 * totals[0]
    model.eval()
    with torch.no_grad():
        together = model(inputs, mode="tensor")
        alone = torch.cat([model(image[None], mode="tensor") for image in inputs])
    torch.testing.assert_close(together, alone, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(together.norm(dim=1), torch.ones(8))


def test_branch_order_does_not_depend_on_config(build, batch):
    one = build("SSRNet", branches=["attention", "global", "relation"])
    other = build("SSRNet")
    other.load_state_dict(one.state_dict())
    inputs, _ = batch()
    assert torch.equal(one.eval()(inputs), other.eval()(inputs))


def test_pcb_stripes_have_separate_classifiers(build):
    model = build("SSRNet", parts="pcb", stripes=4, stripe_channels=8)
    assert model.classifier.dims == [C, 8, 8, 8, 8, C]


def test_loss_without_metric_losses_is_cross_entropy_only(build, batch):
    off = [{**MARGIN[0], "weight": 0.0}]
    for metric_losses in ([], off):
        losses = build("SSRNet", metric_losses=metric_losses)(*batch(), mode="loss")
        assert set(losses) == {"loss_id", "acc"}


@pytest.mark.parametrize(
    "name", ["CircleLoss", "ContrastiveLoss", "LiftedStructureLoss", "InstanceLoss"]
)
def test_loss_sums_metric_losses_on_each_branch(build, batch, name):
    model, (inputs, samples) = build("SSRNet", metric_losses=MARGIN), batch()
    both = [*MARGIN, {"type": "MetricLearningLoss", "name": name, "weight": 0.5}]
    wider = build("SSRNet", metric_losses=both)
    wider.load_state_dict(model.state_dict())
    only = build("SSRNet", metric_losses=both[1:], loss_weights={"loss_id": 0})
    missing = {k: v for k, v in model.state_dict().items() if not k.startswith("classifier")}
    only.load_state_dict(missing)
    losses = [m(inputs, samples, mode="loss") for m in (model, wider, only)]
    for branch in ("global", "relation", "attention"):
        one, two, three = (loss[f"loss_{branch}"] for loss in losses)
        torch.testing.assert_close(two, one + three, rtol=1e-4, atol=1e-4)
    assert "loss_id" not in losses[2]


def test_checkpoint_restores_features(build, batch):
    inputs, samples = batch()
    model = build("SSRNet")
    model(inputs, samples, mode="loss")
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)
    other = build("SSRNet", num_vehicles=None)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other.eval()(inputs), model.eval()(inputs))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_loss_under_autocast_is_finite(build, batch, dtype):
    model, (inputs, samples) = build("SSRNet"), batch()
    with torch.autocast("cpu", dtype):
        losses = model(inputs, samples, mode="loss")
    sum(value for key, value in losses.items() if key.startswith("loss")).backward()
    assert all(value.isfinite() for value in losses.values())
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"branches": ["local"]}, "model.branches has 'local': use some of global, relation"),
        ({"branches": []}, "model.branches has 'nothing'"),
        ({"attention": "cbm"}, "model.attention='cbm': use one of none, se, cbam, stn, bilinear"),
        ({"attention": "none"}, "leave 'attention' out of model.branches"),
        ({"parts": "stripes"}, "model.parts='stripes': use graph or pcb"),
        ({"graph": {"depth": 0}}, "model.graph.depth=0: use 1 or more"),
        ({"graph": {"scale": 1.2}}, "model.graph.scale=1.2: use a number above 0 and at most 1"),
        ({"graph": {"deep": 2}}, "model.graph has no 'deep'"),
        (
            {"loss_weights": {"loss_token": 1}},
            "no 'loss_token' in SSRNet: use loss_id, loss_global",
        ),
    ],
)
def test_build_refuses_invalid_config(build, changes, message):
    with pytest.raises(ModelError, match=message):
        build("SSRNet", **changes)
