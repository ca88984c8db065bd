"""A supersampled canvas for drawing polygons."""

from __future__ import annotations

import cv2
import numpy as np

SUPERSAMPLING = 2
_BITS = 3  # fractional bits of fixed-point coordinates
_FAR = 1e6  # coordinates are clipped to this range


class Canvas:
    """A square image, drawn at twice its size and averaged down.

    Args:
        size: Side of the finished image in pixels.
    """

    def __init__(self, size: int) -> None:
        self.size = size
        side = size * SUPERSAMPLING
        self.pixels = np.zeros((side, side, 3), np.uint8)

    @staticmethod
    def fixed(points: np.ndarray) -> np.ndarray:
        """Convert image coordinates (..., 2) to OpenCV's fixed-point coordinates on the canvas."""
        grid = np.clip(points * SUPERSAMPLING - 0.5, -_FAR, _FAR) * (1 << _BITS)
        return np.rint(grid).astype(np.int32)

    def fill(self, fixed: np.ndarray, rgb: tuple[int, int, int]) -> None:
        """Fill a polygon (n, 2) of fixed-point coordinates."""
        cv2.fillPoly(self.pixels, [fixed], rgb, cv2.LINE_8, _BITS)

    def fill_convex(self, fixed: np.ndarray, rgb: tuple[int, int, int]) -> None:
        """Fill a convex polygon (n, 2) of fixed-point coordinates, faster than `fill`."""
        cv2.fillConvexPoly(self.pixels, fixed, rgb, cv2.LINE_8, _BITS)

    def darken(self, polygon: np.ndarray, strength: float, softness: float) -> None:
        """Darken a convex polygon (n, 2) of image coordinates, with a soft edge.

        Args:
            polygon: Points whose convex hull is darkened.
            strength: From 0, no change, to 1, black.
            softness: Sigma of the blurred edge as a fraction of the image size.
        """
        side = max(32, self.size // 2)
        mask: np.ndarray = np.full((side, side), 255, np.uint8)
        grid = np.clip(polygon * (side / self.size), -_FAR, _FAR).astype(np.float32)
        hull = cv2.convexHull(grid).reshape(-1, 2)
        cv2.fillConvexPoly(
            mask, np.rint(hull).astype(np.int32), round(255 * (1 - strength)), cv2.LINE_8
        )
        mask = cv2.GaussianBlur(mask, (0, 0), softness * side)
        mask = cv2.resize(mask, self.pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
        cv2.multiply(
            self.pixels, cv2.cvtColor(mask, cv2.COLOR_GRAY2RGB), self.pixels, scale=1 / 255
        )

    def through(self, window: np.ndarray) -> Window | None:
        """Start to draw behind a window (n, 2) of fixed-point coordinates; None if it is off the canvas."""
        low = (window.min(axis=0) >> _BITS) - 1
        high = (window.max(axis=0) >> _BITS) + 2
        x0, y0 = (max(0, int(v)) for v in low)
        x1, y1 = (min(self.pixels.shape[0], int(v)) for v in high)
        return Window(self, window, (x0, y0, x1, y1)) if x0 < x1 and y0 < y1 else None

    def finished(self) -> np.ndarray:
        """The image: (size, size, 3) uint8 RGB."""
        return cv2.resize(self.pixels, (self.size, self.size), interpolation=cv2.INTER_AREA)


class Window:
    """A region of a canvas in which drawing is clipped to a polygon; `close` ends it."""

    def __init__(self, canvas: Canvas, window: np.ndarray, roi: tuple[int, int, int, int]) -> None:
        x0, y0, x1, y1 = roi
        self.target = canvas.pixels[y0:y1, x0:x1]
        self.pixels = self.target.copy()
        self.offset = np.array([x0, y0], np.int32) << _BITS
        self.mask = np.zeros(self.pixels.shape[:2], np.uint8)
        cv2.fillPoly(self.mask, [window - self.offset], 255, cv2.LINE_8, _BITS)

    def fill(self, fixed: np.ndarray, rgb: tuple[int, int, int]) -> None:
        """Fill a polygon (n, 2) of fixed-point canvas coordinates."""
        cv2.fillPoly(self.pixels, [fixed - self.offset], rgb, cv2.LINE_8, _BITS)

    def glaze(self, fixed: np.ndarray, rgb: tuple[int, int, int], share: float) -> None:
        """Blend a translucent polygon over the drawing, with weight ``share``."""
        over = self.pixels.copy()
        cv2.fillPoly(over, [fixed - self.offset], rgb, cv2.LINE_8, _BITS)
        self.pixels = cv2.addWeighted(over, share, self.pixels, 1 - share, 0)

    def close(self) -> None:
        """Copy the drawing inside the window to the canvas."""
        cv2.copyTo(self.pixels, self.mask, self.target)
