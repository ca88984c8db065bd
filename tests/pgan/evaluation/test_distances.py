from fractions import Fraction

import numpy as np
import pytest
import torch

from pgan.evaluation import RankingError
from pgan.evaluation.distances import Grid, feature_distances


def features_of(kind, seed=0):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((40, 257))
    if kind == "unit":
        features /= np.linalg.norm(features, axis=1, keepdims=True)
    if kind == "mixed":
        features *= rng.lognormal(0, 4, (40, 1))
    if kind == "opposite":
        features[1::2] = -features[::2]
    return torch.from_numpy(features.astype(np.float32))


def whole(query, gallery, chunk_size=128):
    return torch.cat([*feature_distances(query, gallery, chunk_size).map(lambda _, rows: rows)])


@pytest.mark.parametrize("kind", ["unit", "mixed", "opposite", "any"])
def test_feature_distances_are_exact_on_the_grid(kind):
    features = features_of(kind)
    on_grid = Grid.of(features)(features)
    found = whole(features[:5], features)
    for i in range(5):
        for j in range(0, 40, 7):
            pairs = zip(on_grid[i].tolist(), on_grid[j].tolist())
            exact = sum((Fraction(a) - Fraction(b)) ** 2 for a, b in pairs)
            assert found[i, j] == np.float32(float(exact))


@pytest.mark.parametrize("kind", ["unit", "mixed", "opposite", "any"])
def test_feature_distances_are_independent_of_the_order_of_sums(kind):
    features = features_of(kind)
    expected = whole(features, features)
    order = torch.randperm(257, generator=torch.Generator().manual_seed(0))
    assert torch.equal(whole(features[:, order], features[:, order]), expected)
    assert torch.equal(expected, expected.T)
    assert torch.equal(expected.diagonal(), torch.zeros(40))
    for chunk_size in (1, 3, 17):
        assert torch.equal(whole(features, features, chunk_size), expected)


def test_grid_is_finer_than_float32_distances():
    features = features_of("unit")
    expected = torch.cdist(
        features.double(), features.double(), compute_mode="donot_use_mm_for_euclid_dist"
    )
    np.testing.assert_allclose(whole(features, features), expected**2, atol=2e-7)


def test_feature_distances_for_features_of_any_length():
    zeros = torch.zeros(2, 3)
    assert torch.equal(whole(zeros, zeros), torch.zeros(2, 2))
    tiny = torch.tensor([[1e-15, 0.0], [0.0, 2e-15]])
    np.testing.assert_allclose(whole(tiny, tiny)[0, 1], 5e-30, rtol=1e-6)
    with pytest.raises(RankingError, match="too long to compare: L2-normalise"):
        feature_distances(torch.full((1, 3), 1e19), zeros)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
@pytest.mark.parametrize("kind", ["unit", "mixed"])
def test_feature_distances_on_a_gpu_equal_the_cpu(kind):
    features = features_of(kind)
    assert torch.equal(whole(features.cuda(), features.cuda()).cpu(), whole(features, features))
