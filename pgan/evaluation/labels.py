"""Vehicle and camera ids of queries and gallery, with the rule for good matches and junk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pgan.evaluation.errors import RankingError

UNKNOWN_CAMERA = -1


@dataclass(frozen=True, eq=False)
class SameVehicle:
    """The gallery images of each query's vehicle, for a chunk of B queries.

    Attributes:
        columns: (B, S) int64 indices into the gallery; S is the largest number of any query. A query's
            unused slots repeat some index, and are neither good nor junk.
        good: (B, S) bool, the image is a good match.
        junk: (B, S) bool, the image is by the query's own camera.
    """

    columns: np.ndarray
    good: np.ndarray
    junk: np.ndarray


class Labels:
    """Vehicle and camera ids of queries and gallery.

    A gallery image of the query's vehicle is junk if the query's camera took it, otherwise a good match.
    A camera of -1 is unknown, and never makes junk.

    Args:
        query_ids: (Q,) integer vehicle ids of the queries.
        gallery_ids: (G,) integer vehicle ids of the gallery images.
        query_cameras: (Q,) integer camera ids of the queries, -1 where unknown. None: all unknown.
        gallery_cameras: (G,) integer camera ids of the gallery images, -1 where unknown. None: all unknown.

    Raises:
        RankingError: There is no query or no gallery image, an id is not an integer, or lengths differ.

    Example:
        >>> labels = Labels([7], [7, 3, 7], query_cameras=[0], gallery_cameras=[0, 1, 1])
        >>> same = labels.same_vehicle(0, 1)
        >>> same.columns[same.junk].tolist(), same.columns[same.good].tolist()
        ([0], [2])
    """

    def __init__(
        self,
        query_ids: Any,
        gallery_ids: Any,
        query_cameras: Any | None = None,
        gallery_cameras: Any | None = None,
    ) -> None:
        self.query_ids = _as_labels(query_ids, "query_ids")
        self.gallery_ids = _as_labels(gallery_ids, "gallery_ids")
        self.query_cameras = _as_cameras(query_cameras, "query", len(self.query_ids))
        self.gallery_cameras = _as_cameras(gallery_cameras, "gallery", len(self.gallery_ids))
        # Sorted once, so that a vehicle's images are found by bisection.
        self._order = np.argsort(self.gallery_ids, kind="stable")
        ids = self.gallery_ids[self._order]
        self._start = np.searchsorted(ids, self.query_ids, side="left")
        self._stop = np.searchsorted(ids, self.query_ids, side="right")

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries and of gallery images."""
        return len(self.query_ids), len(self.gallery_ids)

    def same_vehicle(self, start: int, stop: int) -> SameVehicle:
        """Return the gallery images of their vehicles for the queries from ``start`` up to ``stop``."""
        first, last = self._start[start:stop, None], self._stop[start:stop, None]
        slots = first + np.arange((last - first).max())
        columns = self._order[np.minimum(slots, len(self._order) - 1)]
        cameras = self.query_cameras[start:stop, None]
        by_this_camera = (self.gallery_cameras[columns] == cameras) & (cameras != UNKNOWN_CAMERA)
        own = slots < last
        return SameVehicle(columns, own & ~by_this_camera, own & by_this_camera)

    def matches(self, indices: np.ndarray) -> np.ndarray:
        """Tell which images of each query's rank list show its vehicle.

        Args:
            indices: (Q, k) rows of the gallery, junk removed; -1 in empty slots.

        Returns:
            (Q, k) bool.
        """
        same = self.gallery_ids[indices] == self.query_ids[:, None]
        return same & (indices >= 0)

    def check(self, shape: tuple[int, int]) -> None:
        """Raise RankingError unless distances of this shape are between these images."""
        if shape != self.shape:
            raise RankingError(
                f"{shape[0]} queries were compared with {shape[1]} gallery images, but there are "
                f"{self.shape[0]} query ids and {self.shape[1]} gallery ids"
            )


def _as_labels(values: Any, name: str) -> np.ndarray:
    values = np.asarray(values.cpu() if hasattr(values, "cpu") else values)
    if values.ndim != 1 or len(values) == 0:
        raise RankingError(
            f"{name} must be a list of integers, and not empty; got shape {values.shape}"
        )
    if not np.issubdtype(values.dtype, np.integer):
        raise RankingError(f"{name} must be integers, got {values.dtype}")
    return values.astype(np.int64)


def _as_cameras(values: Any | None, side: str, count: int) -> np.ndarray:
    if values is None:
        return np.full(count, UNKNOWN_CAMERA, dtype=np.int64)
    cameras = _as_labels(values, f"{side}_cameras")
    if len(cameras) != count:
        raise RankingError(f"{count} {side}_ids, but {len(cameras)} {side}_cameras were given")
    return cameras
