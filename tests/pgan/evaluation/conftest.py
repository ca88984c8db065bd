"""What the tests of evaluation share."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from pgan.evaluation import FeatureSet


def _feature_set(
    vehicles: int = 12,
    images: int = 5,
    protocol: str = "",
    role: str | None = "pool",
    noise: float = 1.5,
):
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(vehicles), images)
    features = rng.standard_normal((vehicles, 16))[ids] + noise * rng.standard_normal(
        (len(ids), 16)
    )
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    roles = (
        np.array([role] * len(ids))
        if role
        else np.where(np.arange(len(ids)) % 5, "gallery", "query")
    )
    return FeatureSet(
        features.astype(np.float32),
        ids,
        rng.integers(0, 3, len(ids)),
        roles,
        np.array([f"{row:04}.jpg" for row in range(len(ids))]),
        protocol=protocol,
        dataset="a test set",
    )


@pytest.fixture
def feature_set() -> Callable[..., FeatureSet]:
    """Noisy views of some vehicles; without a role, each vehicle's first is a query."""
    return _feature_set
