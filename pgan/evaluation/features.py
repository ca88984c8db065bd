"""The features of a test set with their labels, and the files they are kept in."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from pgan.evaluation.arrays import ArrayFile
from pgan.evaluation.errors import RankingError
from pgan.evaluation.labels import Labels

if TYPE_CHECKING:
    from pgan.evaluation.retrieval import RetrievalResult

_TEXTS = ("protocol", "dataset", "model", "projection")


class FeatureSetError(ValueError):
    """A feature file that cannot be read, or samples that cannot be stacked to a feature set."""


_FILE = ArrayFile("feature file", 1, "tools/test.py --dump {path}", FeatureSetError)


@dataclass(frozen=True, eq=False)
class FeatureSet:
    """The features of a test set, one image per row.

    Attributes:
        features: (N, C) float32.
        vehicle_ids: (N,) int64.
        camera_ids: (N,) int64, -1 where unknown.
        roles: (N,) str: ``'query'``, ``'gallery'``, ``'pool'`` for images that the protocol divides, or
            ``'train'``.
        img_paths: (N,) str, relative to the data root.
        part_weights: (N, D) float32, the weight of each part in the cache's order; None for a model
            without part attention.
        protocol: Name of the protocol that the data set is evaluated by; empty if unknown.
        dataset: Title of the data set; empty if unknown.
        model: Fingerprint of the model that computed them, see `pgan.engine.fingerprint`; empty if unknown.
        projection: Description of the projection that was applied; empty if there was none.

    Example:
        >>> features = FeatureSet(
        ...     features=np.array([[0, 0], [3, 4], [0, 1]], dtype=np.float32),
        ...     vehicle_ids=np.array([7, 3, 7]),
        ...     camera_ids=np.array([0, 1, 1]),
        ...     roles=np.array(["query", "gallery", "gallery"]),
        ...     img_paths=np.array(["a.jpg", "b.jpg", "c.jpg"]),
        ... )
        >>> features.subset("gallery").img_paths.tolist()
        ['b.jpg', 'c.jpg']
        >>> features.search(k=1).indices.tolist()
        [[1]]
    """

    features: np.ndarray
    vehicle_ids: np.ndarray
    camera_ids: np.ndarray
    roles: np.ndarray
    img_paths: np.ndarray
    part_weights: np.ndarray | None = None
    protocol: str = ""
    dataset: str = ""
    model: str = ""
    projection: str = ""

    def __len__(self) -> int:
        return len(self.features)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the attributes with one row per image, by name."""
        values = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in _TEXTS}
        return {name: value for name, value in values.items() if value is not None}

    def take(self, rows: np.ndarray) -> FeatureSet:
        """Return some of the images, by index or as a mask."""
        return replace(self, **{name: array[rows] for name, array in self.arrays().items()})

    def subset(self, role: str) -> FeatureSet:
        """Return the images of one role, in order."""
        return self.take(self.roles == role)

    def query_and_gallery(self) -> tuple[FeatureSet, FeatureSet]:
        """Split the images into the query set and the gallery set.

        Raises:
            RankingError: One of them is empty.
        """
        query, gallery = self._query_and_gallery_rows()
        return self.take(query), self.take(gallery)

    def labels(self) -> Labels:
        """Return the vehicle and camera ids of queries and gallery; the features are not copied.

        Raises:
            RankingError: There is no query, or no gallery image.
        """
        query, gallery = self._query_and_gallery_rows()
        ids, cameras = self.vehicle_ids, self.camera_ids
        return Labels(ids[query], ids[gallery], cameras[query], cameras[gallery])

    def _query_and_gallery_rows(self) -> tuple[np.ndarray, np.ndarray]:
        rows = []
        for role in ("query", "gallery"):
            rows.append(np.flatnonzero(self.roles == role))
            if not len(rows[-1]):
                raise RankingError(
                    f"none of the {len(self)} images has the role '{role}': test on query and gallery images"
                )
        return rows[0], rows[1]

    def search(self, k: int) -> RetrievalResult:
        """Return the k nearest gallery images of each query without junk; indices are gallery rows."""
        from pgan.evaluation.exact_search import search  # needs torch; feature files do not

        query, gallery = self.query_and_gallery()
        return search(query.features, gallery.features, k, self.labels())

    @classmethod
    def from_records(cls, records: list[dict[str, Any]]) -> FeatureSet:
        """Stack one dict per image, whose keys are the attributes' names in the singular.

        Raises:
            FeatureSetError: There is no record, or features or part weights differ in length.
        """
        if not records:
            raise FeatureSetError("no image was tested: the test set is empty")
        weights = [record["part_weights"] for record in records]
        with_weights = all(w is not None for w in weights)
        try:
            return cls(
                features=np.stack([record["feature"] for record in records]),
                vehicle_ids=np.array([record["vehicle_id"] for record in records], np.int64),
                camera_ids=np.array([record["camera_id"] for record in records], np.int64),
                roles=np.array([record["role"] for record in records], np.str_),
                img_paths=np.array([record["img_path"] for record in records], np.str_),
                part_weights=np.stack(weights) if with_weights else None,
            )
        except ValueError as error:
            raise FeatureSetError(f"features or part weights differ in length: {error}") from error


def refuse_non_finite(features: FeatureSet) -> None:
    """Raise a RankingError that names the first image whose feature has NaN or infinity."""
    # A sum is finite only if all its terms are, and float64 holds any sum of float32 numbers.
    with np.errstate(invalid="ignore"):
        sums = features.features.sum(axis=1, dtype=np.float64)
    bad = np.flatnonzero(~np.isfinite(sums))
    if len(bad):
        raise RankingError(
            f"{features.img_paths[bad[0]]}: its feature holds NaN or infinity, as do those of "
            f"{len(bad) - 1} more of {len(features)} images: has the model diverged?"
        )


def save_features(path: str | os.PathLike[str], features: FeatureSet) -> Path:
    """Write a feature set as an ``.npz`` file, atomically and without pickle.

    Raises:
        FeatureSetError: The name does not end in ``.npz``.

    Example:
        >>> import tempfile
        >>> ids = np.arange(2)
        >>> features = FeatureSet(
        ...     np.eye(2, dtype=np.float32), ids, ids, np.array(["pool"] * 2), np.array(["a", "b"])
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_features(f"{folder}/features.npz", features)
        ...     load_features(path).img_paths.tolist()
        ['a', 'b']
    """
    texts = {name: np.str_(getattr(features, name)) for name in _TEXTS}
    return _FILE.save(path, texts | features.arrays())


def load_features(path: str | os.PathLike[str]) -> FeatureSet:
    """Read a file that `save_features` wrote.

    Raises:
        FeatureSetError: The file is missing, damaged, or not a feature file.

    Example:
        >>> import tempfile
        >>> ids = np.arange(2)
        >>> features = FeatureSet(
        ...     np.eye(2, dtype=np.float32), ids, ids, np.array(["pool"] * 2), np.array(["a", "b"])
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = save_features(f"{folder}/features.npz", features)
        ...     len(load_features(path))
        2
    """
    arrays = _FILE.load(path)
    # Older files lack some of the texts.
    texts: dict[str, Any] = {name: str(arrays.pop(name)) for name in _TEXTS if name in arrays}
    try:
        features = FeatureSet(**(arrays | texts))
    except TypeError as error:
        raise FeatureSetError(f"{path}: its arrays do not form a feature set ({error})") from error
    matrix = features.features
    if matrix.ndim != 2 or not np.issubdtype(matrix.dtype, np.floating):
        raise FeatureSetError(f"{path}: features must be a matrix of floats, one row per image")
    if any(np.ndim(array) == 0 for array in arrays.values()):
        raise FeatureSetError(f"{path}: its labels must be lists, one entry per image")
    lengths = {name: len(array) for name, array in arrays.items()}
    if len(set(lengths.values())) != 1:
        raise FeatureSetError(f"{path}: its arrays differ in length: {lengths}")
    return features
