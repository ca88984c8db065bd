"""Decide which parts are visible, and compute their boxes."""

from __future__ import annotations

import cv2
import numpy as np

# A part has a box if at least this fraction of it is inside the image, not occluded, and inside its window.
MIN_VISIBLE = 0.5
MIN_SIDE = 0.02  # minimum side of a box as a fraction of the image size


def within(polygon: np.ndarray, window: np.ndarray) -> np.ndarray | None:
    """Intersect the convex hulls of a polygon and a window.

    Args:
        polygon: (n, 2) points.
        window: (m, 2) points.

    Returns:
        (k, 2) corners of the intersection; None if it is less than half of the polygon's hull.
    """
    hull = cv2.convexHull(polygon.astype(np.float32))
    area, common = cv2.intersectConvexConvex(hull, cv2.convexHull(window.astype(np.float32)))
    if common is None or area <= 0 or area < MIN_VISIBLE * cv2.contourArea(hull):
        return None
    return common.reshape(-1, 2)


class OcclusionMasks:
    """Masks of the pixels in which something hides a part, for each layer of an image.

    Args:
        size: Side of the image in pixels.
        occluders: Polygons (n, 2) in front of the vehicle.
        silhouettes: Projected points (n, 2) of each solid, by name.
        order: Names of the solids from back to front.
    """

    def __init__(
        self,
        size: int,
        occluders: list[np.ndarray],
        silhouettes: dict[str, np.ndarray],
        order: list[str],
    ) -> None:
        self.size = size
        covered = np.zeros((size, size), np.uint8)
        for polygon in occluders:
            _fill(covered, polygon)
        self.masks: dict[str, np.ndarray | None] = {"front": covered if occluders else None}
        for name in reversed(order):
            self.masks[name] = covered if covered.any() else None
            covered = covered.copy()
            _fill(covered, silhouettes[name])
        self.masks["back"] = covered

    def box(self, points: np.ndarray, layer: str) -> tuple[float, float, float, float] | None:
        """The box of a part's projected points (n, 2); None if the part is not visible."""
        low, high = points.min(axis=0), points.max(axis=0)
        inside_low, inside_high = np.maximum(low, 0), np.minimum(high, self.size)
        side = inside_high - inside_low
        if side.min() < max(3.0, MIN_SIDE * self.size):
            return None
        if side.prod() < MIN_VISIBLE * (high - low).prod():
            return None
        mask = self.masks[layer]
        if mask is not None and self._hidden(mask, points, inside_low, inside_high):
            return None
        (x1, y1), (x2, y2) = inside_low, inside_high
        return float(x1), float(y1), float(x2), float(y2)

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
        return cv2.countNonZero(cv2.bitwise_and(part, covered)) > (1 - MIN_VISIBLE) * area


def _fill(mask: np.ndarray, points: np.ndarray) -> None:
    hull = cv2.convexHull(points.astype(np.float32)).reshape(-1, 2)
    fixed = np.rint(np.clip(hull - 0.5, -1e6, 1e6) * 8).astype(np.int32)
    cv2.fillConvexPoly(mask, fixed, 255, cv2.LINE_8, 3)
