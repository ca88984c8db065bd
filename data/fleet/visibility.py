"""Which parts can be seen, and their boxes."""

from __future__ import annotations

import cv2
import numpy as np

# A part has a box if at least this share of it is inside the image, and uncovered, and inside its window.
MOST = 0.5
SMALLEST = 0.02  # least side of a box, as a share of the image's


def within(polygon: np.ndarray, window: np.ndarray) -> np.ndarray | None:
    """The part of a polygon's convex hull inside a window's, if that is most of it.

    Args:
        polygon: (n, 2) points.
        window: (m, 2) points.

    Returns:
        (k, 2) corners of the common area, or None.
    """
    hull = cv2.convexHull(polygon.astype(np.float32))
    area, common = cv2.intersectConvexConvex(hull, cv2.convexHull(window.astype(np.float32)))
    if common is None or area <= 0 or area < MOST * cv2.contourArea(hull):
        return None
    return common.reshape(-1, 2)


class Covers:
    """What hides the parts on each layer of a picture.

    Args:
        size: Side of the image in pixels.
        occluders: Polygons (n, 2) in front of the vehicle.
        silhouettes: Projected points (n, 2) of each solid, by name.
        order: Names of the solids, back to front.
    """

    def __init__(
        self, size: int, occluders: list[np.ndarray], silhouettes: dict, order: list[str]
    ) -> None:
        self.size = size
        covered = np.zeros((size, size), np.uint8)
        for polygon in occluders:
            _fill(covered, polygon)
        self.masks = {"front": covered if occluders else None}
        for name in reversed(order):
            self.masks[name] = covered if covered.any() else None
            covered = covered.copy()
            _fill(covered, silhouettes[name])
        self.masks["back"] = covered

    def box(self, points: np.ndarray, layer: str) -> tuple[float, float, float, float] | None:
        """The box of a part's projected points (n, 2), or None where it counts as not seen."""
        low, high = points.min(axis=0), points.max(axis=0)
        inside_low, inside_high = np.maximum(low, 0), np.minimum(high, self.size)
        side = inside_high - inside_low
        if side.min() < max(3.0, SMALLEST * self.size):
            return None
        if side.prod() < MOST * (high - low).prod():
            return None
        mask = self.masks[layer]
        if mask is not None and self._hidden(mask, points, inside_low, inside_high):
            return None
        return (*map(float, inside_low), *map(float, inside_high))

    @staticmethod
    def _hidden(mask: np.ndarray, points: np.ndarray, low: np.ndarray, high: np.ndarray) -> bool:
        x0, y0 = np.floor(low).astype(int)
        x1, y1 = np.ceil(high).astype(int)
        covered = mask[y0:y1, x0:x1]
        if not covered.any():
            return False
        part = np.zeros_like(covered)
        _fill(part, points - (x0, y0))
        area = cv2.countNonZero(part)
        return cv2.countNonZero(cv2.bitwise_and(part, covered)) > (1 - MOST) * area


def _fill(mask: np.ndarray, points: np.ndarray) -> None:
    hull = cv2.convexHull(points.astype(np.float32)).reshape(-1, 2)
    fixed = np.rint(np.clip(hull - 0.5, -1e6, 1e6) * 8).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed, 255, cv2.LINE_8, 3)
