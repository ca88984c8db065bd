import pytest
import torch

from pgan.models.map_attention import ATTENTIONS, CBAM, BilinearAttention, SpatialTransformer


@pytest.fixture
def features() -> torch.Tensor:
    return torch.rand(2, 32, 6, 8)


@pytest.mark.parametrize("attention", ATTENTIONS.values())
def test_attention_keeps_shape_and_trains_every_weight(attention, features):
    module = attention(32, reduction=2)
    # A spatial transformer starts as the identity, so its first layer has no gradient at first.
    module.apply(lambda m: [torch.nn.init.normal_(p, std=0.1) for p in m.parameters(recurse=False)])
    out = module(features)
    assert out.shape == features.shape
    out.square().sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in module.parameters())


def test_cbam_equals_equation_1(features):
    module = CBAM(32, reduction=4, kernel_size=3)
    first, second = module.mlp[0].weight[..., 0, 0], module.mlp[2].weight[..., 0, 0]
    kernel = module.conv.weight[0]

    def mlp(vector):
        return second @ (first @ vector).clamp(min=0)

    for image, out in zip(features, module(features)):
        cells = image.reshape(32, -1)
        by_channel = (mlp(cells.mean(1)) + mlp(cells.max(1).values)).sigmoid()
        refined = image * by_channel[:, None, None]
        planes = torch.stack([refined.mean(0), refined.max(0).values])
        for y in range(6):
            for x in range(8):
                total = 0.0
                for dy in (-1, 0, 1):
                    for dx in (-1, 0, 1):
                        if 0 <= y + dy < 6 and 0 <= x + dx < 8:
                            total += planes[:, y + dy, x + dx] @ kernel[:, 1 + dy, 1 + dx]
                expected = refined[:, y, x] * torch.as_tensor(total).sigmoid()
                torch.testing.assert_close(out[:, y, x], expected)


def test_channel_attention_weights_are_equal_in_all_cells(features):
    ratio = ATTENTIONS["se"](32)(features) / features
    torch.testing.assert_close(ratio, ratio[:, :, :1, :1].expand_as(ratio))
    assert 0 < ratio.min() < ratio.max() < 1


def test_spatial_transformer_starts_as_identity_and_can_shift(features):
    module = SpatialTransformer(32)
    torch.testing.assert_close(module(features), features, rtol=1e-4, atol=1e-5)
    module.locate[-1].bias.data[2] = 2 / 8  # shifts by one cell to the right
    torch.testing.assert_close(module(features)[..., :-1], features[..., 1:], rtol=1e-4, atol=1e-5)


def test_bilinear_attention_has_one_weight_per_cell(features):
    module = BilinearAttention(32, reduction=4)
    ratio = module(features) / features
    torch.testing.assert_close(ratio, ratio[:, :1].expand_as(ratio))
    u, v, p = (m.weight[..., 0, 0] for m in (module.cell, module.whole, module.weigh))
    x, whole = features[1, :, 2, 5], features[1].mean((1, 2))
    score = p[0] @ ((u @ x).tanh() * (v @ whole).tanh()) + module.weigh.bias[0]
    torch.testing.assert_close(ratio[1, 0, 2, 5], score.sigmoid())


@pytest.mark.parametrize("attention", ATTENTIONS.values())
def test_attention_accepts_few_channels(attention):
    assert attention(3)(torch.rand(1, 3, 4, 4)).shape == (1, 3, 4, 4)
