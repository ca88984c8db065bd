"""What lies on the solids: coloured polygons in 3-D, some of which are parts with a label and a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .geometry import Surface, normal_of, unit

Rgb = tuple[float, float, float]


class Shape(NamedTuple):
    """A polygon (n, 3) in the vehicle's frame, its colour, and its own normal if it is a face of a solid."""

    polygon: np.ndarray
    rgb: Rgb
    normal: np.ndarray | None = None


@dataclass
class Patch:
    """A group of shapes that are drawn, or not, together.

    Attributes:
        layer: The solid over which it is drawn; or 'under', 'far' (before all solids), 'near' (after all).
        shapes: What is drawn where the patch is seen; of a labelled patch, only where it gets a box.
        normal: Direction that it faces, or None for a thing with faces of its own.
        label: Attribute it is an instance of; '' for plain bodywork.
        hull: (n, 3) points whose projection is the part.
        plain: Drawn in place of `shapes` where a part gets no box; the same for all twins.
        facing: Least cosine between `normal` and the direction to the camera at which it is seen.
        inside: What is seen through this patch, which is a window: drawn first, clipped to the hull.
        items: Parts seen through or on this window, clipped to it.
    """

    layer: str
    shapes: list[Shape]
    normal: np.ndarray | None = None
    label: str = ""
    hull: np.ndarray | None = None
    plain: list[Shape] = field(default_factory=list)
    facing: float = 0.06
    inside: list[Shape] = field(default_factory=list)
    items: list[Patch] = field(default_factory=list)


def flat_patch(layer: str, shapes: list[Shape], label: str = "", **options: Any) -> Patch:
    """A patch that faces as its first shape does; the label's box is that of all its shapes."""
    hull = np.concatenate([shape.polygon for shape in shapes]) if label else None
    return Patch(layer, shapes, outward_normal(shapes[0].polygon), label, hull, **options)


def outward_normal(polygon: np.ndarray) -> np.ndarray:
    """Unit normal (3,) of a polygon (n, 3) on a vehicle's skin, away from the vehicle's upright axis."""
    normal, middle = normal_of(polygon), polygon.mean(axis=0)
    return normal if normal[:2] @ middle[:2] > 0 else -normal


def faces(quads: np.ndarray, rgb: Rgb) -> list[Shape]:
    """The faces (n, 4, 3) of a solid as shapes of one colour."""
    normals = unit(np.cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1]))
    return [Shape(quad, rgb, normal) for quad, normal in zip(quads, normals)]


def mix(one: Sequence[float], other: Sequence[float], share: float) -> Rgb:
    """The colour at `share` of the way from one to the other."""
    return tuple(a + (b - a) * share for a, b in zip(one, other))


class Decal:
    """A flat place on a curved face, in metres: a to the viewer's right, b up.

    Args:
        surface: `Loft.end`, which takes (side, u, t).
        side: 1 front, -1 rear.
        u: Place across; `t` up.
        scale: Factor on all lengths.
    """

    def __init__(self, surface: Surface, side: int, u: float, t: float, scale: float = 1.0) -> None:
        step = 1e-3
        self.origin = surface(side, u, t)
        across = surface(side, u + step, t) - surface(side, u - step, t)
        up = surface(side, u, t + step) - surface(side, u, t - step)
        self.right, self.up = unit(across) * side * scale, unit(up) * scale

    def __call__(self, points: Sequence[tuple[float, float]] | np.ndarray) -> np.ndarray:
        """Points (n, 2) in metres put on the face: (n, 3)."""
        a, b = np.asarray(points, dtype=np.float64).T
        return self.origin + a[:, None] * self.right + b[:, None] * self.up


def rectangle(
    width: float, height: float, a: float = 0.0, b: float = 0.0
) -> list[tuple[float, float]]:
    """Corners of an upright rectangle about (a, b), counter-clockwise."""
    w, h = width / 2, height / 2
    return [(a - w, b - h), (a + w, b - h), (a + w, b + h), (a - w, b + h)]


def ngon(n: int, radius: float, a: float = 0.0, b: float = 0.0, turn: float = 0.25) -> np.ndarray:
    """Corners (n, 2) of a regular polygon about (a, b), counter-clockwise; `turn` in turns."""
    angle = 2 * np.pi * (np.arange(n) / n + turn)
    return np.stack([a + radius * np.cos(angle), b + radius * np.sin(angle)], axis=1)


def star(n: int, radius: float, inner: float, a: float = 0.0, b: float = 0.0) -> np.ndarray:
    """Corners (2 n, 2) of a star about (a, b)."""
    angle = 2 * np.pi * (np.arange(2 * n) / (2 * n) + 0.25)
    r = np.where(np.arange(2 * n) % 2, inner, radius)
    return np.stack([a + r * np.cos(angle), b + r * np.sin(angle)], axis=1)
