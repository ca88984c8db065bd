"""Solids in the vehicle's frame: x forward, y left, z up, in metres, with the ground at z = 0.

A vehicle consists of a few lofts: stacks of rounded rectangles between a floor and a deck line. Their quads
are drawn back to front with hidden faces culled. Windows, lamps and all parts are patches on the faces of a
loft, computed with the same functions as the mesh.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

_END_STEPS = (-0.95, -0.88, -0.78, -0.6, -0.3, 0.0, 0.3, 0.6, 0.78, 0.88, 0.95)
_SIDE_STEPS = 20
_TOP_STEPS = (-1.0, -0.9, -0.7, -0.35, 0.0, 0.35, 0.7, 0.9, 1.0)
_LEVELS = 11

# A face of a solid: maps (side, coordinate along the face, height fraction t) to points (..., 3).
Surface = Callable[..., np.ndarray]


@dataclass(frozen=True)
class Loft:
    """A closed solid, lofted through rounded rectangles.

    Attributes:
        sections: Rows ``(t, x_rear, x_front, half_width)`` by rising height fraction t, from 0 to 1.
        floor: Height of t = 0, in metres.
        deck: Rows ``(x, z)`` by rising x: the height of t = 1 along the vehicle.
        roundness: Exponent of the superellipse in plan; 2 is an ellipse, large is a box.
        crown: Height of the middle of the deck above its edges, in metres.
    """

    sections: tuple[tuple[float, float, float, float], ...]
    floor: float
    deck: tuple[tuple[float, float], ...]
    roundness: float = 6.0
    crown: float = 0.03

    def point(self, nx: ArrayLike, ny: ArrayLike, t: ArrayLike) -> np.ndarray:
        """Points of the solid.

        Args:
            nx: Position along, as a fraction of half the length at that height, -1 rear to 1 front.
            ny: Position across, as a fraction of the half width at that height, -1 right to 1 left.
            t: Height fraction, 0 floor to 1 deck.

        Returns:
            (..., 3) float64 array, metres.
        """
        nx, ny, t = np.broadcast_arrays(*(np.asarray(v, dtype=np.float64) for v in (nx, ny, t)))
        rows = np.asarray(self.sections)
        rear, front, half_width = (_smooth(t, rows[:, 0], rows[:, i]) for i in (1, 2, 3))
        x = (front + rear) / 2 + (front - rear) / 2 * nx
        top = np.interp(x, [p[0] for p in self.deck], [p[1] for p in self.deck])
        return np.stack([x, half_width * ny, self.floor + t * (top - self.floor)], axis=-1)

    def _complement(self, n: ArrayLike) -> np.ndarray:
        """The other coordinate of a point on the superellipse."""
        return (1 - np.minimum(np.abs(n), 1) ** self.roundness) ** (1 / self.roundness)

    def end(self, side: int, u: ArrayLike, t: ArrayLike) -> np.ndarray:
        """Points on the front (side 1) or rear (side -1) at fractions u across and t up: (..., 3)."""
        u = np.asarray(u, dtype=np.float64)
        return self.point(side * self._complement(u), u, t)

    def flank(self, side: int, a: ArrayLike, t: ArrayLike) -> np.ndarray:
        """Points on the left (side 1) or right (side -1) at a, 0 rear to 1 front, and t up: (..., 3)."""
        nx = 2 * np.asarray(a, dtype=np.float64) - 1
        return self.point(nx, side * self._complement(nx), t)

    def top(self, nx: ArrayLike, v: ArrayLike) -> np.ndarray:
        """Points on the deck at fractions nx along and v across: (..., 3)."""
        nx, v = np.asarray(nx, dtype=np.float64), np.asarray(v, dtype=np.float64)
        points = self.point(nx, self._complement(nx) * v, 1.0)
        points[..., 2] += self.crown * (1 - v**2) * (1 - nx**4)
        return points

    @cached_property
    def quads(self) -> np.ndarray:
        """The mesh: (F, 4, 3) float64, corners counter-clockwise as seen from outside."""
        ends = np.asarray(_END_STEPS)
        corner = float(self._complement(ends[-1])) - 0.01
        sides = np.linspace(-corner, corner, _SIDE_STEPS)
        nx = np.concatenate([self._complement(ends), sides[::-1], -self._complement(ends), sides])
        ny = np.concatenate([ends, self._complement(sides), ends[::-1], -self._complement(sides)])
        given = np.asarray([row[0] for row in self.sections])
        t = np.interp(np.linspace(0, 1, _LEVELS), np.linspace(0, 1, len(given)), given)
        rings = self.point(nx, ny, t[:, None])
        after = np.roll(rings, -1, axis=1)
        walls = np.stack([rings[:-1], after[:-1], after[1:], rings[1:]], axis=2).reshape(-1, 4, 3)
        front = self._complement(ends[len(ends) // 2 :])
        along = np.concatenate([-front, sides, front[::-1]])
        deck = self.top(along[:, None], np.asarray(_TOP_STEPS))
        tops = np.stack([deck[:-1, :-1], deck[1:, :-1], deck[1:, 1:], deck[:-1, 1:]], axis=2)
        return np.concatenate([walls, tops.reshape(-1, 4, 3)])

    @cached_property
    def normals(self) -> np.ndarray:
        """Outward unit normals of `quads`: (F, 3) float64, zero for a degenerate quad."""
        q = self.quads
        return unit(np.cross(q[:, 2] - q[:, 0], q[:, 3] - q[:, 1]))


def _smooth(at: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Piecewise cubic interpolation without overshoot (harmonic-mean slopes of Fritsch and Butland)."""
    step = np.diff(x)
    slope = np.diff(y) / step
    product = slope[:-1] * slope[1:]
    safe = np.where(product > 0, slope[:-1] + slope[1:], 1.0)
    inner = np.where(product > 0, 2 * product / safe, 0.0)
    tangent = np.concatenate([slope[:1], inner, slope[-1:]])
    i = np.clip(np.searchsorted(x, at, side="right") - 1, 0, len(step) - 1)
    h = step[i]
    s = np.clip((at - x[i]) / h, 0, 1)
    low = (1 + 2 * s) * (1 - s) ** 2 * y[i] + s * (1 - s) ** 2 * h * tangent[i]
    return low + s * s * (3 - 2 * s) * y[i + 1] + s * s * (s - 1) * h * tangent[i + 1]


def unit(vectors: np.ndarray) -> np.ndarray:
    """Scale vectors (..., 3) to length 1; zero vectors stay zero.

    >>> unit(np.array([[3.0, 0.0, 4.0], [0.0, 0.0, 0.0]])).tolist()
    [[0.6, 0.0, 0.8], [0.0, 0.0, 0.0]]
    """
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / np.maximum(length, 1e-12)


def normal_of(polygon: np.ndarray) -> np.ndarray:
    """Unit normal (3,) of a polygon (n, 3) by Newell's method; counter-clockwise polygons face the viewer."""
    return unit(np.cross(polygon, np.roll(polygon, -1, axis=0)).sum(axis=0))


def patch(
    surface: Surface,
    side: int,
    first: tuple[float, float],
    second: tuple[float, float],
    steps: int = 5,
) -> np.ndarray:
    """Outline of a rectangle in the coordinates of a surface, following its curvature.

    Args:
        surface: `Loft.end` or `Loft.flank` of a loft.
        side: Side of the surface, 1 or -1.
        first: Range of the surface's first coordinate.
        second: Range of the second coordinate, t.
        steps: Points along each of the two curved edges.

    Returns:
        (2 * steps, 3) float64 outline.
    """
    run = np.linspace(*first, steps)
    return outline(
        surface, side, [*((u, second[0]) for u in run), *((u, second[1]) for u in run[::-1])]
    )


def outline(surface: Surface, side: int, points: Sequence[tuple[float, float]]) -> np.ndarray:
    """Points of a surface (n, 3) float64, given as pairs of its coordinates."""
    a, t = np.asarray(points, dtype=np.float64).T
    return surface(side, a, t)


def box_quads(centre: tuple[float, float, float], size: tuple[float, float, float]) -> np.ndarray:
    """The faces of an axis-aligned box: (6, 4, 3) float64, facing outward, in the order +x -x +y -y +z -z."""
    faces = []
    for axis in range(3):
        b, c = (axis + 1) % 3, (axis + 2) % 3
        for sign in (1, -1):
            corners = np.zeros((4, 3))
            corners[:, axis] = sign
            corners[:, b] = np.array([-1, 1, 1, -1]) * sign
            corners[:, c] = [-1, -1, 1, 1]
            faces.append(np.asarray(centre) + corners * np.asarray(size) / 2)
    return np.stack(faces)


def disc(centre: np.ndarray, radius: float, side: int, steps: int = 28) -> np.ndarray:
    """A circle parallel to the xz plane, facing ``side``: (steps, 3) float64, counter-clockwise."""
    angle = np.arange(steps) * (2 * np.pi / steps)
    return on_wheel(centre, radius * np.cos(angle), radius * np.sin(angle), side)


def on_wheel(centre: np.ndarray, a: ArrayLike, b: ArrayLike, side: int) -> np.ndarray:
    """Map points (a, b) in the plane of a wheel, b up, to the vehicle's frame: (n, 3) float64."""
    a = np.asarray(a, dtype=np.float64)
    offset = np.stack([-side * a, np.zeros_like(a), np.asarray(b, dtype=np.float64)], axis=-1)
    return np.asarray(centre) + offset
