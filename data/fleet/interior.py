"""The windscreen, the cabin behind it, and the objects that drivers put there."""

from __future__ import annotations

import numpy as np

from .geometry import box_quads, patch
from .patches import (
    Corners,
    Decal,
    Patch,
    Rgb,
    Shape,
    faces,
    flat_patch,
    mix,
    ngon,
    outward_normal,
    rectangle,
)
from .vehicle import COLOURS, Detail, Vehicle

CABIN: Rgb = (30, 33, 38)
SEAT: Rgb = (58, 58, 60)
DASH: Rgb = (44, 45, 48)
_DRIVER = 0.44  # position of the driver as a fraction of the half width; left-hand drive
_PASSENGER_CORNER, _DRIVER_CORNER = -0.74, 0.66


class _Cabin:
    """Coordinates behind the windscreen in metres: depth behind its lower edge, height above the edge."""

    def __init__(self, vehicle: Vehicle) -> None:
        glass = vehicle.body_style.windscreen
        self.end, self.t = vehicle.body_style.solids[glass.solid].end, glass.t
        low, high = self.end(1, 0.0, glass.t[0]), self.end(1, 0.0, glass.t[1])
        self.base, self.rise = low, high[2] - low[2]
        self.rake = (low[0] - high[0]) / self.rise  # horizontal metres per vertical metre
        self.width = float(self.end(1, glass.u, glass.t[0])[1])

    def billboard(self, points: Corners, y: float, depth: float) -> np.ndarray:
        """Points (n, 2), right and up, on a vertical plane at ``depth``, from the origin (y, lower edge)."""
        a, b = np.asarray(points, dtype=np.float64).T
        x = np.full_like(a, self.base[0] - depth)
        return np.stack([x, y + a, self.base[2] + b], axis=1)

    def under_glass(self, height: float, clearance: float = 0.04) -> float:
        """Depth at which an object of that height on the dashboard just clears the glass."""
        return height * self.rake + clearance


def windscreen(vehicle: Vehicle, detail_size: float) -> Patch:
    """The windscreen with the cabin behind it and the objects on it."""
    behind, details = _Cabin(vehicle), vehicle.details
    strip = vehicle.detail("windglass")["strip"]
    glass = vehicle.body_style.windscreen
    pane = patch(behind.end, 1, (-glass.u, glass.u), glass.t, 9)
    own = []
    if strip != "none":
        t1, depth = glass.t[1], (glass.t[1] - glass.t[0]) * 0.2
        band = patch(behind.end, 1, (-glass.u, glass.u), (t1 - depth, t1), 9)
        own.append(Shape(band, mix(COLOURS[strip], (20, 20, 20), 0.1)))
    builders = {
        "safebelt": _safebelt,
        "layon": _layon,
        "tissuebox": _tissuebox,
        "hungs": _hungs,
        "annusigns": _annusigns,
        "entrylicense": _entrylicense,
        "newersign": _newersign,
    }
    items = [
        build(behind, glass.solid, detail, detail_size)
        for name, build in builders.items()
        if (detail := details[name]) is not None
    ]
    return Patch(
        glass.solid,
        own,
        outward_normal(pane),
        "windglass",
        pane,
        facing=0.2,
        inside=_cabin(behind, pane),
        items=items,
    )


def _cabin(behind: _Cabin, pane: np.ndarray) -> list[Shape]:
    width, rake = behind.width, behind.rake
    shapes = [Shape(pane, CABIN)]
    seat_depth = 0.55 + 0.35 * rake
    for y in (-_DRIVER * width, _DRIVER * width):
        shapes.append(Shape(behind.billboard(rectangle(0.48, 0.7, 0, 0.05), y, seat_depth), SEAT))
        shapes.append(Shape(behind.billboard(rectangle(0.24, 0.16, 0, 0.46), y, seat_depth), SEAT))
    depth = _driver_depth(behind)
    shapes.append(Shape(behind.billboard(_TORSO, _DRIVER * width, depth), (66, 62, 60)))
    shapes.append(
        Shape(behind.billboard(ngon(14, 0.105, 0, 0.36), _DRIVER * width, depth), (186, 146, 120))
    )
    shelf = np.array(
        [(0.15, -1.2), (0.15, 1.2), (-0.1 - 0.5 * rake, 1.2), (-0.1 - 0.5 * rake, -1.2)]
    )
    dash = np.column_stack(
        [behind.base[0] + shelf[:, 0], shelf[:, 1] * width, np.full(4, behind.base[2] - 0.02)]
    )
    shapes.append(Shape(dash, DASH))
    wheel = behind.billboard(ngon(18, 0.17, 0, 0.02), _DRIVER * width, behind.under_glass(0.16))
    shapes.append(Shape(wheel, (18, 18, 20)))
    hub = behind.billboard(ngon(18, 0.12, 0, 0.02), _DRIVER * width, behind.under_glass(0.16))
    shapes.append(Shape(hub, (52, 52, 54)))
    t0, t1 = behind.t
    mirror = Decal(behind.end, 1, 0.0, t1 - (t1 - t0) * 0.06)
    return [*shapes, Shape(mirror(rectangle(0.26, 0.09)), (14, 14, 16))]


_TORSO = [(-0.26, -0.2), (0.26, -0.2), (0.24, 0.2), (0.1, 0.27), (-0.1, 0.27), (-0.24, 0.2)]


def _driver_depth(behind: _Cabin) -> float:
    return 0.3 + 0.27 * behind.rake


def _safebelt(behind: _Cabin, layer: str, detail: Detail, scale: float) -> Patch:
    position = _DRIVER * behind.width, _driver_depth(behind)
    shapes = [
        Shape(behind.billboard(_TORSO, *position), COLOURS[detail["seat"]]),
        Shape(
            behind.billboard([(0.24, 0.2), (0.14, 0.26), (-0.26, -0.1), (-0.26, -0.2)], *position),
            COLOURS[detail["belt"]],
        ),
    ]
    return flat_patch(layer, shapes, "safebelt", facing=0.25)


def _layon(behind: _Cabin, layer: str, detail: Detail, scale: float) -> Patch:
    colour, y = COLOURS[detail["colour"]], detail["slot"] * behind.width
    depth, k = behind.under_glass(0.15 * scale), scale
    dark = mix(colour, (10, 10, 10), 0.55)

    def put(points: Corners) -> np.ndarray:
        return behind.billboard(np.asarray(points) * k, y, depth)

    if detail["kind"] == "trio":
        shapes = [Shape(put(rectangle(0.36, 0.05, 0, 0.02)), dark)]
        shapes += [Shape(put(ngon(10, 0.065, a, 0.09)), colour) for a in (-0.12, 0.0, 0.12)]
    elif detail["kind"] == "mat":
        x = behind.base[0] - 0.02
        corners = [(x, -0.24), (x, 0.24), (x - 0.3, 0.24), (x - 0.3, -0.24)]
        mat = np.array([(a, y + b * k, behind.base[2]) for a, b in corners])
        shapes = [
            Shape(mat, colour),
            Shape(mat.mean(axis=0) + (mat - mat.mean(axis=0)) * 0.5, dark),
        ]
    elif detail["kind"] == "ball":
        shapes = [
            Shape(put(ngon(16, 0.11, 0, 0.1)), colour),
            Shape(put(ngon(12, 0.05, 0.02, 0.12)), dark),
        ]
    else:  # a toy animal
        shapes = [
            Shape(put(rectangle(0.2, 0.14, 0, 0.07)), colour),
            Shape(put(ngon(12, 0.085, 0, 0.18)), colour),
        ]
        shapes += [Shape(put(ngon(8, 0.04, a, 0.25)), dark) for a in (-0.07, 0.07)]
    item = flat_patch(layer, shapes, "layon", facing=0.0)
    item.normal = np.array([1.0, 0.0, 0.0])
    return item


def _tissuebox(behind: _Cabin, layer: str, detail: Detail, scale: float) -> Patch:
    width, deep, height = 0.34 * scale, 0.16, 0.13 * scale
    x = behind.base[0] - behind.under_glass(height) - deep / 2
    centre = (x, detail["slot"] * behind.width, behind.base[2] + height / 2)
    shapes = faces(box_quads(centre, (deep, width, height)), COLOURS[detail["colour"]])
    band = box_quads((x, centre[1], centre[2]), (deep * 1.02, width * 0.34, height * 1.02))
    shapes += faces(band, COLOURS[detail["band"]])
    hull = np.concatenate([shape.polygon for shape in shapes])
    return Patch(layer, shapes, None, "tissuebox", hull)


def _hungs(behind: _Cabin, layer: str, detail: Detail, scale: float) -> Patch:
    t0, t1 = behind.t
    top = behind.end(1, 0.0, t1 - (t1 - t0) * 0.12)
    colour = COLOURS[detail["colour"]]
    dark = mix(colour, (10, 10, 10), 0.5)

    def put(points: Corners) -> np.ndarray:
        a, b = (np.asarray(points, dtype=np.float64) * scale).T
        return np.stack([np.full_like(a, top[0] - 0.05), a, top[2] + b], axis=1)

    shapes = [Shape(put(rectangle(0.02, 0.1, 0, -0.05)), (230, 230, 225))]
    if detail["shape"] == "disc":
        shapes += [
            Shape(put(ngon(16, 0.11, 0, -0.2)), colour),
            Shape(put(ngon(12, 0.05, 0, -0.2)), dark),
        ]
    elif detail["shape"] == "diamond":
        shapes.append(Shape(put([(0, -0.32), (0.11, -0.2), (0, -0.08), (-0.11, -0.2)]), colour))
        shapes.append(
            Shape(put([(0, -0.25), (0.05, -0.2), (0, -0.15), (-0.05, -0.2)]), (244, 244, 240))
        )
    elif detail["shape"] == "tassel":
        shapes.append(Shape(put(ngon(10, 0.06, 0, -0.12)), dark))
        shapes.append(
            Shape(put([(-0.04, -0.16), (-0.1, -0.38), (0.1, -0.38), (0.04, -0.16)]), colour)
        )
    else:
        shapes += [
            Shape(put(ngon(10, 0.065, 0, b)), c)
            for b, c in ((-0.12, colour), (-0.24, dark), (-0.36, colour))
        ]
    item = flat_patch(layer, shapes, "hungs", facing=0.2)
    item.normal = np.array([1.0, 0.0, 0.0])
    return item


def _annusigns(behind: _Cabin, layer: str, detail: Detail, scale: float) -> Patch:
    t0, t1 = behind.t
    put = Decal(behind.end, 1, _PASSENGER_CORNER, t0 + (t1 - t0) * 0.72, scale)
    side, gap = 0.17, 0.185
    steps = {"row": [(k, 0) for k in range(4)], "column": [(0, -k) for k in range(4)]}
    steps["block"] = [(0, 0), (1, 0), (0, -1), (1, -1)]
    shapes = []
    for k, (a, b) in enumerate(steps[detail["layout"]][: detail["count"]]):
        colour = COLOURS[detail["first" if k % 2 == 0 else "second"]]
        shapes.append(Shape(put(rectangle(side, side, a * gap, b * gap)), colour))
    return flat_patch(layer, shapes, "annusigns", facing=0.25)


def _entrylicense(behind: _Cabin, layer: str, detail: Detail, scale: float) -> Patch:
    t0, t1 = behind.t
    put = Decal(behind.end, 1, _DRIVER_CORNER, t0 + (t1 - t0) * 0.8, scale)
    shapes = [
        Shape(put(rectangle(0.32, 0.22)), COLOURS[detail["colour"]]),
        Shape(put(rectangle(0.32, 0.075)), COLOURS[detail["stripe"]]),
    ]
    return flat_patch(layer, shapes, "entrylicense", facing=0.25)


def _newersign(behind: _Cabin, layer: str, detail: Detail, scale: float) -> Patch:
    t0, t1 = behind.t
    position = _PASSENGER_CORNER * 0.9 if detail["side"] < 0 else _DRIVER_CORNER
    put = Decal(behind.end, 1, position, t0 + (t1 - t0) * 0.2, scale)
    outlines: dict[str, Corners] = {
        "round": ngon(16, 0.13),
        "diamond": [(0, -0.16), (0.16, 0), (0, 0.16), (-0.16, 0)],
        "square": rectangle(0.24, 0.24),
    }
    shapes = [
        Shape(put(outlines[detail["shape"]]), COLOURS[detail["colour"]]),
        Shape(put(rectangle(0.05, 0.14)), (20, 20, 22)),
    ]
    return flat_patch(layer, shapes, "newersign", facing=0.25)
