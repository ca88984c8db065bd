import pytest
import torch

from pgan.models.heads import BNNeck, Classifier, global_average_pool
from pgan.models.refine import Refine


def trained(**kwargs):
    block = Refine(16, 8, **kwargs)
    for module in block.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_()
            module.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(module.weight, 0.5, 2)
            torch.nn.init.normal_(module.bias)
    return block


@pytest.mark.parametrize("training", [True, False])
def test_refine_equals_the_composition_of_its_layers(training):
    block = trained().train(training)
    x = torch.randn(2, 16, 5, 4)
    first, second = block.se.fc[0].weight, block.se.fc[2].weight
    gate = torch.sigmoid(torch.relu(x.mean((2, 3)) @ first.T) @ second.T)
    b = block.bottleneck
    start = torch.relu(b.bn1(x * gate[:, :, None, None]))
    inner = b.conv3(torch.relu(b.bn3(b.conv2(torch.relu(b.bn2(b.conv1(start)))))))
    torch.testing.assert_close(block(x), (inner + b.conv4(start)).mean((2, 3)))
    assert first.shape == (2, 16)
    assert [c.bias for c in (b.conv1, b.conv2, b.conv3, b.conv4)] == [None] * 4


def test_gem_replaces_the_average_and_adds_its_exponent():
    block, average = trained(pooling="gem").eval(), trained().eval()
    assert set(block.state_dict()) - set(average.state_dict()) == {"bottleneck.pooling.p"}
    average.load_state_dict(block.state_dict(), strict=False)
    x = torch.randn(2, 16, 5, 4)
    with torch.no_grad():
        block.bottleneck.pooling.p.fill_(1)
        torch.testing.assert_close(block(x), average(x), atol=1e-5, rtol=1e-4)
        block.bottleneck.pooling.p.fill_(3)
    b = block.bottleneck
    start = torch.relu(b.bn1(x * block.se(x)))
    inner = torch.relu(b.bn3(b.conv2(torch.relu(b.bn2(b.conv1(start))))))
    # A 1x1 convolution of a map of one cell.
    root = [(m.clamp(min=1e-6) ** 3).mean((2, 3), keepdim=True) ** (1 / 3) for m in (inner, start)]
    expected = b.conv3(root[0]) + b.conv4(root[1])
    torch.testing.assert_close(block(x), expected.flatten(1), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("training", [True, False])
def test_refine_with_overwrite_gives_same_feature_and_gradient(training):
    block = trained(overwrite=True).train(training)
    kept = Refine(16, 8).train(training)
    kept.load_state_dict(block.state_dict())
    x = torch.randn(2, 16, 5, 4)
    gradients = []
    for module in (block, kept):
        leaf = x.clone().requires_grad_()
        module(leaf).sum().backward()
        gradients.append(leaf.grad)
    torch.testing.assert_close(*gradients)
    with torch.no_grad():
        torch.testing.assert_close(block(x.clone()), kept(x))


def test_refine_in_eval_mode_keeps_map_unless_overwrite():
    x = torch.randn(2, 16, 5, 4)
    before = x.clone()
    with torch.no_grad():
        trained().eval()(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize("channels", [0, 2, 30])
def test_refine_refuses_channels_not_divisible_by_four(channels):
    with pytest.raises(ValueError, match=f"multiple of 4 channels, not {channels}"):
        Refine(16, channels)


def test_bnneck_keeps_zero_bias():
    neck = BNNeck(6)
    optimizer = torch.optim.SGD([p for p in neck.parameters() if p.requires_grad], lr=1.0)
    neck(torch.randn(5, 6)).square().mul(torch.arange(6)).sum().backward()
    optimizer.step()
    assert neck.bias.eq(0).all()
    assert not neck.weight.eq(1).all()


def test_classifier_starts_small_without_bias():
    classifier = Classifier([512], 400)
    assert classifier.bias is None
    assert classifier.weight.std().item() == pytest.approx(0.001, rel=0.02)


def test_neck_and_classifier_treat_branches_separately():
    dims, feature = (5, 3), torch.randn(6, 8)
    classifier, neck = Classifier(dims, 4), BNNeck(8)
    logits = classifier(neck(feature))
    weights = classifier.weight.split(dims, 1)
    for own, weight, branch in zip(logits, weights, feature.split(dims, 1)):
        torch.testing.assert_close(own, BNNeck(branch.shape[1])(branch) @ weight.T)


def test_global_average_pool_of_half_precision_map_is_exact():
    features = torch.full((1, 2, 100, 100), 3.0, dtype=torch.float16)
    assert torch.equal(global_average_pool(features), torch.full((1, 2), 3.0))
