"""PCA and whitening of features: fitted on training images, kept, applied at test."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np

from detector.common.schema import COUNT, fits
from pgan.evaluation.arrays import ArrayFile
from pgan.evaluation.features import FeatureSet
from pgan.evaluation.scoring import refuse_non_finite


class ProjectionError(ValueError):
    """A projection that cannot be made, read, or applied to these features."""


_FILE = ArrayFile("projection", 1, "tools/fit_projection.py --out {path}", ProjectionError)
# Below this share of the greatest variance, a direction holds rounding errors, which whitening would blow up.
_NOISE = 1e-9
_SCALARS = {
    "whiten": bool,
    "num_features": COUNT,
    "variance_kept": float,
    "model": str,
    "dataset": str,
}


@dataclass(frozen=True, eq=False)
class Projection:
    """Principal components of a model's features (Jégou and Chum, "Negative Evidences and Co-occurrences in
    Image Retrieval: The Benefit of PCA and Whitening", ECCV 2012).

    Attributes:
        mean: (C,) float32, of the training features.
        components: (K, C) float32, unit vectors, most variance first.
        variances: (K,) float32, along each.
        whiten: Whether each is divided by its standard deviation.
        num_features: Training features it was fitted on.
        variance_kept: Share of their variance that the K components hold, from 0 to 1.
        model: Fingerprint of the model that made them.
        dataset: Title of their data set.
        path: File that it was read from; empty for one that was just fitted.
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
        """(N, C) float32 -> (N, K) float32, of unit length, as the features that models give."""
        rows = (
            self.components / np.sqrt(self.variances)[:, None] if self.whiten else self.components
        )
        projected = features @ rows.T - rows @ self.mean
        lengths = np.linalg.norm(projected, axis=1, keepdims=True)
        return projected / np.where(lengths > 0, lengths, 1)

    def project(self, features: FeatureSet) -> FeatureSet:
        """The same images with their features projected.

        Raises:
            ProjectionError: They are of another or an unknown model, of other dimensions, or projected.
        """
        name, dims = self.path or "the projection", self.components.shape[1]
        if features.projection:
            raise ProjectionError(
                f"the features are projected already ({features.projection}): give {name} those of the model"
            )
        if features.features.shape[1] != dims:
            raise ProjectionError(
                f"{name} was fitted on features of {dims} dimensions, these have "
                f"{features.features.shape[1]}: fit one with tools/fit_projection.py on this model's"
            )
        if not features.model:
            raise ProjectionError(
                "the features do not say which model made them: test again with --dump, since they are older "
                f"than {name}"
            )
        if features.model != self.model:
            raise ProjectionError(
                f"{name} was fitted on the features of another model ({self.model[:12]}, these are of "
                f"{features.model[:12]}): fit one with tools/fit_projection.py on this model's"
            )
        return replace(features, features=self.apply(features.features), projection=str(self))


def fit_projection(
    features: FeatureSet, dims: int | float | None = None, whiten: bool = False
) -> Projection:
    """Fit a projection by scikit-learn's PCA, in float64; the same features give the same bits.

    Args:
        features: Of training images: those of a test set would look at what is to be scored.
        dims: K; or from 0 to 1, the least share of the variance to keep; None for all that have any.
        whiten: Whether to divide by standard deviations.

    Raises:
        ProjectionError: Features that name no model or are projected already, or a K that they do not have.
        RankingError: A feature that is not finite.
    """
    from sklearn.decomposition import (
        PCA,
    )  # here, since it is slow to import and testing needs none of it

    if not features.model or features.projection:
        fault = "are projected already" if features.projection else "do not say of which"
        raise ProjectionError(
            f"a projection is fitted on the features of a model: these {fault}; test again with --dump"
        )
    refuse_non_finite(features)
    count, width = features.features.shape
    if dims is not None and not (0 < dims < 1 or (dims >= 1 and dims == int(dims))):
        raise ProjectionError(
            f"dims={dims}: it is a number of dimensions from 1, or a share of the variance between 0 and 1"
        )
    if count < 2:
        raise ProjectionError(f"a projection needs 2 features or more to be fitted on, not {count}")
    with np.errstate(invalid="ignore"):  # of features that are all the same, refused below
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
            f"dims={wanted}: {count} features of {width} dimensions vary in {rank}: ask for no more"
        )
    return Projection(
        pca.mean_.astype(np.float32),
        pca.components_[:wanted].astype(np.float32),
        variances[:wanted].astype(np.float32),
        whiten,
        count,
        float(shares[wanted - 1]),
        features.model,
        features.dataset,
    )


def save_projection(path: str | os.PathLike[str], projection: Projection) -> Path:
    """Write a projection as an ``.npz`` of plain arrays, atomically.

    Raises:
        ProjectionError: The name does not end in ``.npz``.
    """
    names = [field.name for field in fields(Projection) if field.name != "path"]
    return _FILE.save(path, {name: np.asarray(getattr(projection, name)) for name in names})


def load_projection(path: str | os.PathLike[str]) -> Projection:
    """Read what :func:`save_projection` wrote.

    Raises:
        ProjectionError: Missing, damaged, or no projection.
    """
    arrays = _FILE.load(path)
    try:
        values = {name: v.item() if v.ndim == 0 else v for name, v in arrays.items()}
        projection = Projection(**values, path=str(path))
        kept, dims = projection.components.shape
        whole = projection.mean.shape == (dims,) and projection.variances.shape == (kept,)
        whole = whole and all(np.isfinite(v).all() for v in values.values() if np.ndim(v))
        # Whitening divides by them.
        whole = whole and (projection.variances > 0).all() and fits(vars(projection), _SCALARS)
    except (TypeError, ValueError, AttributeError) as error:
        raise ProjectionError(f"{path}: its arrays are not a projection's ({error})") from error
    if not whole:
        raise ProjectionError(f"{path}: its arrays do not fit together: fit the projection again")
    return projection
