import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from pgan.benchmarks.attention_reference import literal_part_guidance
from pgan.models.part_attention import (
    PartAttention,
    UniformAttention,
    WeightNormLinear,
    combine_masks,
    guide_features,
    masked_average_pool,
    softmax_over_present,
)
from pgan.models.part_masks import grid_masks

B, D, C, H, W = 3, 6, 24, 7, 5


def random_masks() -> torch.Tensor:
    """Random masks: one absent part in image 0, only absent parts in image 1, equal masks in image 2."""
    masks = torch.rand(B, D, H, W) < 0.3
    masks[0, 2] = False
    masks[1] = False
    masks[2] = masks[2, :1]
    masks[2, :, 3, 3] = True
    return masks


def gradients(output: torch.Tensor, features: torch.Tensor, attention: PartAttention) -> list:
    inputs = [features, *attention.parameters()]
    return torch.autograd.grad((output * torch.linspace(-1, 1, W)).sum(), inputs)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_part_attention_equals_equations_as_written(seed, layout):
    torch.manual_seed(seed)
    attention = PartAttention(C, hidden_channels=16)
    for parameter in attention.parameters():
        parameter.data += 0.3 * torch.randn_like(parameter)
    features = torch.randn(B, C, H, W).relu().contiguous(memory_format=layout).requires_grad_()
    masks = random_masks()
    weights = attention(features, masks)
    guided = guide_features(features, masks, weights)
    expected_weights, expected = literal_part_guidance(features, masks, attention)
    torch.testing.assert_close(weights, expected_weights, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(guided, expected, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(
        gradients(guided, features, attention), gradients(expected, features, attention)
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-3, atol=1e-4)


def test_part_attention_gives_absent_parts_zero_weight():
    attention, masks = PartAttention(C, 16), random_masks()
    features = torch.randn(B, C, H, W)
    for weights in (attention(features, masks), UniformAttention()(features, masks)):
        assert weights.dtype == torch.float32
        assert weights[0, 2] == 0
        torch.testing.assert_close(weights.sum(1), torch.tensor([1.0, 0.0, 1.0]))
        assert torch.equal(guide_features(features, masks, weights)[1], features[1])
        # Parts with the same mask get the same weight.
        torch.testing.assert_close(weights[2], torch.full((D,), 1 / D))


def test_part_attention_ignores_absent_part():
    attention, features = PartAttention(C, 16), torch.randn(B, C, H, W)
    masks = random_masks()
    padded = torch.cat([masks, torch.zeros(B, 4, H, W, dtype=torch.bool)], 1)
    expected = attention(features, masks)
    weights = attention(features, padded)
    torch.testing.assert_close(weights[:, :D], expected)
    assert weights[:, D:].eq(0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_part_attention_under_autocast_is_close_to_float32(dtype):
    attention = PartAttention(C, 16)
    features = (100 * torch.randn(B, C, H, W).relu()).to(dtype).requires_grad_()
    masks = random_masks()
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        weights = attention(features, masks)
        guided = guide_features(features, masks, weights)
        assert guided.dtype == dtype
        assert weights.dtype == torch.float32
    expected = attention(features.float(), masks)
    torch.testing.assert_close(weights, expected, rtol=0, atol=0.05)
    for gradient in gradients(guided.float(), features, attention):
        assert gradient.isfinite().all()


def test_masked_average_pool_does_not_overflow_in_float16():
    features = torch.full((1, 4, 56, 56), 1000.0, dtype=torch.float16)
    masks = torch.ones(1, 1, 56, 56, dtype=torch.bool)
    with torch.autocast("cpu", torch.float16):
        pooled = masked_average_pool(features, masks)
    torch.testing.assert_close(pooled, torch.full((1, 1, 4), 1000.0))


def test_part_attention_gradients_without_parts_are_finite_and_zero():
    attention = PartAttention(C, 16)
    features = torch.randn(2, C, H, W, requires_grad=True)
    masks = torch.zeros(2, D, H, W, dtype=torch.bool)
    guided = guide_features(features, masks, attention(features, masks))
    features_gradient, *others = gradients(guided, features, attention)
    assert torch.equal(features_gradient, torch.linspace(-1, 1, W).expand_as(features))
    assert all(gradient.eq(0).all() for gradient in others)


def test_softmax_over_present_handles_huge_logits():
    logits = torch.tensor([[3e38, -3e38, 3e38], [-3e38, 5.0, 0.0]])
    present = torch.tensor([[True, True, False], [True, False, False]])
    expected = torch.tensor([[1.0, 0.0, 0.0], [1.0, 0.0, 0.0]])
    assert torch.equal(softmax_over_present(logits, present), expected)


def test_part_attention_temperature_concentrates_weights():
    features, masks = torch.randn(1, C, H, W), torch.rand(1, D, H, W) < 0.5
    attention = PartAttention(C, 16, temperature=1)
    mild = attention(features, masks)
    attention.temperature = 10
    torch.testing.assert_close(attention(features, masks), (10 * mild.log()).softmax(1))


class Largest(TorchDispatchMode):
    """Record the size and the number of dimensions of the largest tensors."""

    def __init__(self) -> None:
        super().__init__()
        self.numel = self.ndim = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, tuple | list) else [result]:
            if isinstance(tensor, torch.Tensor):
                self.numel = max(self.numel, tensor.numel())
                self.ndim = max(self.ndim, tensor.ndim)
        return result


def test_part_attention_never_materialises_masked_maps():
    attention, masks = PartAttention(C, 16), random_masks()
    features = torch.randn(B, C, H, W, requires_grad=True)
    with Largest() as ours:
        gradients(guide_features(features, masks, attention(features, masks)), features, attention)
    with Largest() as literal:
        gradients(literal_part_guidance(features, masks, attention)[1], features, attention)
    assert (ours.ndim, ours.numel) == (4, B * C * H * W)
    assert (literal.ndim, literal.numel) == (5, B * D * C * H * W)


def test_part_attention_on_grid_attends_to_every_cell():
    features = torch.randn(B, C, H, W)
    masks = grid_masks((H, W)).expand(B, -1, -1, -1)
    torch.testing.assert_close(
        masked_average_pool(features, masks), features.flatten(2).transpose(1, 2)
    )
    weights = PartAttention(C, 16)(features, masks)
    assert torch.equal(combine_masks(masks, weights), weights.view(B, 1, H, W))


def test_weight_norm_linear_equals_torch_weight_norm():
    ours = WeightNormLinear(6, 4)
    theirs = torch.nn.utils.parametrizations.weight_norm(
        torch.nn.Linear(6, 4, bias=False), dim=None
    )
    ours.weight_g.data.fill_(3)
    theirs.parametrizations.weight.original0.data.fill_(3)
    theirs.parametrizations.weight.original1.data.copy_(ours.weight_v.data)
    x = torch.randn(5, 6)
    torch.testing.assert_close(ours(x), theirs(x))
    assert ours.weight.norm().item() == pytest.approx(3)
