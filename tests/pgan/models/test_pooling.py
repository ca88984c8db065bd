import pytest
import torch

from pgan.models.errors import ModelError
from pgan.models.pooling import GeM, build_pooling


@pytest.fixture
def maps():
    return torch.rand(3, 5, 4, 6, generator=torch.Generator().manual_seed(0)) * 4


@pytest.mark.parametrize("p", [1.0, 2.5, 3.0, 6.0])
def test_gem_equals_equation(maps, p):
    literal = (maps.double() ** p).sum((2, 3)).div(24) ** (1 / p)
    torch.testing.assert_close(GeM(p)(maps).double(), literal, rtol=1e-5, atol=1e-6)


def test_gem_ranges_from_mean_to_maximum(maps):
    torch.testing.assert_close(GeM(1.0)(maps), build_pooling("average")(maps))
    torch.testing.assert_close(GeM(1e4)(maps), maps.amax((2, 3)), rtol=1e-3, atol=0)


def test_gem_clamps_values_to_eps(maps):
    torch.testing.assert_close(GeM(eps=0.5)(maps - 2), GeM()((maps - 2).clamp(min=0.5)))


@pytest.mark.parametrize("p", [3.0, 40.0])
@pytest.mark.parametrize("value", [0.0, 100.0])
def test_gem_of_zero_and_large_maps_is_finite(p, value):
    pool, maps = GeM(p), torch.full((1, 2, 3, 3), value, requires_grad=True)
    pooled = pool(maps)
    pooled.sum().backward()
    torch.testing.assert_close(pooled, torch.full((1, 2), max(value, pool.eps)))
    assert torch.isfinite(maps.grad).all()
    assert torch.isfinite(pool.p.grad)


@pytest.mark.parametrize("name", ["average", "gem"])
def test_gem_pools_half_precision_in_float32(maps, name):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        pooled = build_pooling(name)(maps.bfloat16())
    assert pooled.dtype == torch.float32
    torch.testing.assert_close(pooled, build_pooling(name)(maps.bfloat16().float()))


def test_gem_learns_exponent(maps):
    pool = GeM()
    pool(maps).sum().backward()
    p = torch.tensor(3.0, dtype=torch.float64, requires_grad=True)
    ((maps.double() ** p).mean((2, 3)) ** (1 / p)).sum().backward()
    torch.testing.assert_close(pool.p.grad.double(), p.grad, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["Baseline", "PGAN", "SSRNet", "StrongBaseline"])
def test_every_model_accepts_either_pooling(build, batch, name):
    assert not any("pooling" in key for key in build(name).state_dict())
    model = build(name, pooling="gem")
    losses = model(*batch(), mode="loss")
    sum(value for key, value in losses.items() if key.startswith("loss")).backward()
    exponents = [p for key, p in model.named_parameters() if key.endswith("pooling.p")]
    assert len(exponents) == (3 if name == "PGAN" else 1)
    assert all(p.grad is not None and p.grad != 0 for p in exponents)
    with pytest.raises(ModelError, match="model.pooling='max'"):
        build(name, pooling="max")


def test_build_pooling_refuses_unknown_name():
    with pytest.raises(ModelError, match="model.pooling='max': use one of average, gem"):
        build_pooling("max")
