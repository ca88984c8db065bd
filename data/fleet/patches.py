"""Coloured polygons on the solids; some are parts with a label and a box."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .geometry import Surface, normal_of, unit

Rgb = tuple[float, float, float]
Corners = Sequence[tuple[float, float]] | np.ndarray  # (n, 2)


class Shape(NamedTuple):
    """A polygon (n, 3) in the vehicle's frame, its colour, and its normal if it is a face of a solid."""

    polygon: np.ndarray
    rgb: Rgb
    normal: np.ndarray | None = None


@dataclass
class Patch:
    """A group of shapes that are drawn together.

    Attributes:
        layer: Name of the solid over which the patch is drawn; ``'under'`` for before all solids, ``'left'``
            and ``'right'`` for the mirrors.
        shapes: Shapes to draw if the patch is visible; for a labelled patch, only if it has a box.
        normal: Direction that the patch faces; None if its shapes have their own normals.
        label: Attribute that the patch is an instance of; ``''`` for bodywork.
        hull: (n, 3) points whose projection has the box of the part.
        plain: Shapes to draw instead of `shapes` if a part has no box; the same for all twins.
        facing: Minimum cosine between `normal` and the direction to the camera for the patch to be visible.
        inside: Shapes behind the patch if it is a window; drawn first and clipped to the hull.
        items: Parts on or behind the window, clipped to it.
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
    """A patch with the normal of its first shape; if labelled, its hull contains all shapes."""
    hull = np.concatenate([shape.polygon for shape in shapes]) if label else None
    return Patch(layer, shapes, outward_normal(shapes[0].polygon), label, hull, **options)


def outward_normal(polygon: np.ndarray) -> np.ndarray:
    """Unit normal (3,) of a polygon (n, 3) on a vehicle's surface, away from the vehicle's vertical axis."""
    normal, middle = normal_of(polygon), polygon.mean(axis=0)
    return normal if normal[:2] @ middle[:2] > 0 else -normal


def faces(quads: np.ndarray, rgb: Rgb) -> list[Shape]:
    """The faces (n, 4, 3) of a solid as shapes of one colour."""
    normals = unit(np.cross(quads[:, 2] - quads[:, 0], quads[:, 3] - quads[:, 1]))
    return [Shape(quad, rgb, normal) for quad, normal in zip(quads, normals)]


def mix(one: Sequence[float], other: Sequence[float], share: float) -> Rgb:
    """Blend two colours; ``share`` is the weight of the second.

    >>> mix((0, 0, 0), (200, 100, 50), 0.5)
    (100.0, 50.0, 25.0)
    """
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other))
    return red, green, blue


class Decal:
    """A plane tangent to a curved face, with coordinates in metres: a to the viewer's right, b up.

    Args:
        surface: `Loft.end` of a loft.
        side: 1 for the front, -1 for the rear.
        u: Position of the origin across the face.
        t: Height fraction of the origin.
        scale: Factor for all lengths.
    """

    def __init__(self, surface: Surface, side: int, u: float, t: float, scale: float = 1.0) -> None:
        step = 1e-3
        self.origin = surface(side, u, t)
        across = surface(side, u + step, t) - surface(side, u - step, t)
        up = surface(side, u, t + step) - surface(side, u, t - step)
        self.right, self.up = unit(across) * side * scale, unit(up) * scale

    def __call__(self, points: Corners) -> np.ndarray:
        """Map points (n, 2) in metres to the vehicle's frame: (n, 3)."""
        a, b = np.asarray(points, dtype=np.float64).T
        return self.origin + a[:, None] * self.right + b[:, None] * self.up


def rectangle(
    width: float, height: float, a: float = 0.0, b: float = 0.0
) -> list[tuple[float, float]]:
    """Corners of a rectangle centred at (a, b), counter-clockwise."""
    w, h = width / 2, height / 2
    return [(a - w, b - h), (a + w, b - h), (a + w, b + h), (a - w, b + h)]


def ngon(n: int, radius: float, a: float = 0.0, b: float = 0.0, turn: float = 0.25) -> np.ndarray:
    """Corners (n, 2) of a regular polygon centred at (a, b), counter-clockwise; ``turn`` is in full turns."""
    angle = 2 * np.pi * (np.arange(n) / n + turn)
    return np.stack([a + radius * np.cos(angle), b + radius * np.sin(angle)], axis=1)


def star(n: int, radius: float, inner: float, a: float = 0.0, b: float = 0.0) -> np.ndarray:
    """Corners (2n, 2) of a star centred at (a, b)."""
    angle = 2 * np.pi * (np.arange(2 * n) / (2 * n) + 0.25)
    r = np.where(np.arange(2 * n) % 2, inner, radius)
    return np.stack([a + r * np.cos(angle), b + r * np.sin(angle)], axis=1)
