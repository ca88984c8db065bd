"""PCA and whitening of features, fitted on training images and applied to test images."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from detector.common.schema import COUNT, check
from pgan.evaluation.arrays import ArrayFile
from pgan.evaluation.features import FeatureSet, refuse_non_finite


class ProjectionError(ValueError):
    """A projection that cannot be fitted, read, or applied to the features."""


_FILE = ArrayFile("projection", 1, "tools/fit_projection.py --out {path}", ProjectionError)
# Below this fraction of the greatest variance, a direction is rounding error, which whitening would amplify.
_NOISE = 1e-9
_SCALARS = {
    "whiten": bool,
    "num_features": COUNT,
    "variance_kept": float,
    "model": str,
    "dataset": str,
}


@dataclass(frozen=True, eq=False)
class FeatureProjection:
    """Principal components of a model's features (Jégou and Chum, "Negative Evidences and Co-occurrences in
    Image Retrieval: The Benefit of PCA and Whitening", ECCV 2012).

    Attributes:
        mean: (C,) float32, mean of the training features.
        components: (K, C) float32, unit vectors, in the order of descending variance.
        variances: (K,) float32, variance along each component.
        whiten: Whether each projected coordinate is divided by its standard deviation.
        num_features: Number of training features it was fitted on.
        variance_kept: Fraction of their variance that the K components keep, from 0 to 1.
        model: Fingerprint of the model that computed them.
        dataset: Title of their data set.
        path: File that it was read from; empty if it was just fitted.

    Example:
        >>> projection = FeatureProjection(
        ...     mean=np.zeros(2, np.float32),
        ...     components=np.array([[1, 0]], np.float32),
        ...     variances=np.ones(1, np.float32),
        ...     whiten=False,
        ...     num_features=10,
        ...     variance_kept=0.9,
        ...     model="fingerprint",
        ... )
        >>> projection.apply(np.array([[3, 4], [-2, 0]], np.float32)).tolist()
        [[1.0], [-1.0]]
    """

    mean: np.ndarray
    components: np.ndarray
    variances: np.ndarray
    whiten: bool
    num_features: int
    variance_kept: float
    model: str
    dataset: str = ""
    path: str = ""

    def __str__(self) -> str:
        kept, dims = self.components.shape
        return f"PCA {dims} -> {kept}{', whitened' if self.whiten else ''}"

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Project (N, C) float32 features to (N, K) float32 features of unit length."""
        rows = (
            self.components / np.sqrt(self.variances)[:, None] if self.whiten else self.components
        )
        projected = features @ rows.T - rows @ self.mean
        lengths = np.linalg.norm(projected, axis=1, keepdims=True)
        return projected / np.where(lengths > 0, lengths, 1)

    def project(self, features: FeatureSet) -> FeatureSet:
        """Return the same images with their features projected.

        Raises:
            ProjectionError: The features are of another or an unknown model, have another number of
                dimensions, or are projected already.
        """
        name, dims = self.path or "the projection", self.components.shape[1]
        if features.projection:
            raise ProjectionError(
                f"the features are projected already ({features.projection}): apply {name} to "
                "those of the model"
            )
        if features.features.shape[1] != dims:
            raise ProjectionError(
                f"{name} was fitted on features of {dims} dimensions, these have "
                f"{features.features.shape[1]}: fit one with tools/fit_projection.py on this model's"
            )
        if not features.model:
            raise ProjectionError(
                "the features do not say which model computed them, since they are older than "
                f"{name}: test again with --dump"
            )
        if features.model != self.model:
            raise ProjectionError(
                f"{name} was fitted on the features of another model ({self.model[:12]}, these are of "
                f"{features.model[:12]}): fit one with tools/fit_projection.py on this model's"
            )
        return replace(features, features=self.apply(features.features), projection=str(self))


def fit_projection(
    features: FeatureSet, dims: int | float | None = None, whiten: bool = False
) -> FeatureProjection:
    """Fit a projection with scikit-learn's PCA, in float64; the same features give the same bits.

    Args:
        features: Features of training images; those of the test set would bias its scores.
        dims: K; or from 0 to 1, the least fraction of the variance to keep; None for all dimensions with
            variance.
        whiten: Whether to divide by standard deviations.

    Raises:
        ProjectionError: The features name no model, are projected already, or have fewer dimensions.
        RankingError: A feature is not finite.

    Example:
        >>> from pgan.evaluation import FeatureSet
        >>> rng = np.random.default_rng(0)
        >>> ids = np.arange(20)
        >>> features = FeatureSet(
        ...     features=rng.standard_normal((20, 4)).astype(np.float32),
        ...     vehicle_ids=ids,
        ...     camera_ids=ids,
        ...     roles=np.array(["train"] * 20),
        ...     img_paths=np.array([f"{i}.jpg" for i in ids]),
        ...     model="fingerprint",
        ... )
        >>> projection = fit_projection(features, dims=2, whiten=True)
        >>> str(projection), projection.project(features).features.shape
        ('PCA 4 -> 2, whitened', (20, 2))
    """
    from sklearn.decomposition import PCA  # slow to import, and only fitting needs it

    if not features.model or features.projection:
        fault = "are projected already" if features.projection else "do not say of which"
        raise ProjectionError(
            f"a projection is fitted on the features of a model: these {fault}; test again with --dump"
        )
    refuse_non_finite(features)
    count, width = features.features.shape
    if dims is not None and not (0 < dims < 1 or (dims >= 1 and dims == int(dims))):
        raise ProjectionError(
            f"dims={dims}: must be a number of dimensions from 1, or a fraction of the variance from 0 to 1"
        )
    if count < 2:
        raise ProjectionError(
            f"a projection needs at least 2 features to be fitted on, not {count}"
        )
    with np.errstate(invalid="ignore"):  # from identical features, which are refused below
        pca = PCA(svd_solver="covariance_eigh", copy=False).fit(
            features.features.astype(np.float64)
        )
    variances = pca.explained_variance_
    shares = np.cumsum(variances) / max(variances.sum(), np.finfo(float).tiny)
    rank = int((variances > _NOISE * variances[0]).sum())
    if dims is None:
        wanted = rank
    else:
        wanted = int(dims) if dims >= 1 else min(int(np.searchsorted(shares, dims)) + 1, rank)
    if not 1 <= wanted <= rank:
        raise ProjectionError(
            f"dims={wanted}: {count} features of {width} dimensions vary in only {rank} dimensions"
        )
    return FeatureProjection(
        pca.mean_.astype(np.float32),
        pca.components_[:wanted].astype(np.float32),
        variances[:wanted].astype(np.float32),
        whiten,
        count,
        float(shares[wanted - 1]),
        features.model,
        features.dataset,
    )


def save_projection(path: str | os.PathLike[str], projection: FeatureProjection) -> Path:
    """Write a projection as an ``.npz`` file, atomically and without pickle.

    Raises:
        ProjectionError: The name does not end in ``.npz``.

    Example:
        >>> import tempfile
        >>> projection = FeatureProjection(
        ...     mean=np.zeros(2, np.float32),
        ...     components=np.array([[1, 0]], np.float32),
        ...     variances=np.ones(1, np.float32),
        ...     whiten=False,
        ...     num_features=10,
        ...     variance_kept=0.9,
        ...     model="fingerprint",
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_projection(f"{folder}/pca.npz", projection).name
        'pca.npz'
    """
    names = [field.name for field in fields(FeatureProjection) if field.name != "path"]
    return _FILE.save(path, {name: np.asarray(getattr(projection, name)) for name in names})


def load_projection(path: str | os.PathLike[str]) -> FeatureProjection:
    """Read a file that `save_projection` wrote.

    Raises:
        ProjectionError: The file is missing, damaged, or not a projection.

    Example:
        >>> import tempfile
        >>> projection = FeatureProjection(
        ...     mean=np.zeros(2, np.float32),
        ...     components=np.array([[1, 0]], np.float32),
        ...     variances=np.ones(1, np.float32),
        ...     whiten=False,
        ...     num_features=10,
        ...     variance_kept=0.9,
        ...     model="fingerprint",
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     str(load_projection(save_projection(f"{folder}/pca.npz", projection)))
        'PCA 2 -> 1'
    """
    arrays = _FILE.load(path)
    try:
        values: dict[str, Any] = {n: v.item() if v.ndim == 0 else v for n, v in arrays.items()}
        projection = FeatureProjection(**values, path=str(path))
        kept, dims = projection.components.shape
        whole = projection.mean.shape == (dims,) and projection.variances.shape == (kept,)
        whole = whole and all(np.isfinite(v).all() for v in values.values() if np.ndim(v))
        # Whitening divides by them.
        whole = whole and bool((projection.variances > 0).all())
        check(vars(projection), _SCALARS)
    except (TypeError, ValueError, AttributeError) as error:
        raise ProjectionError(f"{path}: its arrays do not form a projection ({error})") from error
    if not whole:
        raise ProjectionError(
            f"{path}: its arrays do not match each other: fit the projection again"
        )
    return projection
