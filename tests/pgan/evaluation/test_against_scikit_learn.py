"""The metrics against scikit-learn, on many random cases without ties."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_curve

from pgan.evaluation import Labels, evaluate_distances
from pgan.evaluation.distances import matrix_distances
from pgan.evaluation.ranking import rank
from pgan.evaluation.roc import RocCounter


def random_case(seed):
    """Distances without ties, at least 2^-12 of them apart, and labels with junk and a valid query."""
    rng = np.random.default_rng(seed)
    queries, gallery = rng.integers(1, 10), rng.integers(5, 80)
    count = queries * gallery
    distances = 1 + rng.permutation(count).reshape(queries, gallery) / 1024
    vehicles, cameras = rng.integers(2, 8), rng.integers(1, 4)
    labels = [
        rng.integers(0, vehicles, queries),
        rng.integers(0, vehicles, gallery),
        rng.integers(-1, cameras, queries),
        rng.integers(-1, cameras, gallery),
    ]
    labels[1][:2] = labels[0][0], vehicles  # a match of the first query, and another vehicle
    labels[3][0] = -1
    return distances.astype(np.float32), labels


def ranked_pairs(distances, labels):
    """Yield, per valid query, whether each image is a match, and its distance, without junk."""
    for row, vehicle, camera in zip(distances, labels[0], labels[2]):
        same = labels[1] == vehicle
        kept = ~(same & (labels[3] == camera) & (camera != -1))
        if same[kept].any():
            yield same[kept], row[kept]


@pytest.mark.parametrize("seed", range(200))
def test_average_precision_equals_scikit_learn(seed):
    distances, labels = random_case(seed)
    scores = evaluate_distances(distances, *labels)
    expected = [
        average_precision_score(good, -near) for good, near in ranked_pairs(distances, labels)
    ]
    np.testing.assert_allclose(scores.average_precision[scores.valid], expected, rtol=1e-12)
    assert scores.mean_average_precision == pytest.approx(np.mean(expected), rel=1e-12)


@pytest.mark.parametrize("seed", range(200))
def test_roc_equals_scikit_learn(seed):
    distances, labels = random_case(seed)
    counter = RocCounter()
    rank(matrix_distances(distances), Labels(*labels), counter)
    curve = counter.curve()
    good, near = map(np.concatenate, zip(*ranked_pairs(distances, labels)))
    fpr, tpr, _ = roc_curve(good, -near, drop_intermediate=False)
    np.testing.assert_allclose(curve.fpr, fpr[1:], rtol=1e-12)  # the first is for no pair at all
    np.testing.assert_allclose(curve.tpr, tpr[1:], rtol=1e-12)
    for limit in (0.01, 0.1, 0.5, 1):
        assert curve.tpr_at(limit) == pytest.approx(tpr[fpr <= limit].max(), rel=1e-12)
