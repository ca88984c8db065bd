"""Features that a gallery may be calibrated on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pgan.evaluation import FeatureSet, save_features
from pgan.gallery.calibration import features_of_file
from pgan.gallery.errors import GalleryError
from pgan.gallery.store import Gallery
from tests.pgan.gallery.conftest import DIMS


@pytest.fixture
def features() -> FeatureSet:
    """Of the gallery's model, which is called pgan."""
    rows = np.arange(6)
    return FeatureSet(
        np.eye(6, DIMS, dtype=np.float32),
        rows // 2,
        np.full(6, -1),
        np.array(["query", "gallery"] * 3),
        rows.astype(np.str_),
        model="pgan",
    )


def test_features_of_file_accepts_own_model(gallery: Gallery, features, tmp_path) -> None:
    for model in ("pgan", ""):  # older files do not name it
        path = save_features(tmp_path / "f.npz", replace(features, model=model))
        assert np.array_equal(features_of_file(gallery, str(path)).features, features.features)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "other"}, "has features by another model than .*the gallery's own model"),
        ({"features": np.eye(6, dtype=np.float32)}, "features of 6 dimensions and .* of 16"),
        ({"projection": "PCA to 16 dimensions"}, "16 dimensions, projected by PCA .*own model"),
    ],
)
def test_features_of_file_raises_for_other_features(
    gallery: Gallery, features, tmp_path: Path, changes, message
) -> None:
    path = save_features(tmp_path / "f.npz", replace(features, **changes))
    with pytest.raises(GalleryError, match=message):
        features_of_file(gallery, str(path))
