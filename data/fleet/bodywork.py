"""The bodywork, which twins share: gaps, arches, windows, bumpers, grille and bed."""

from __future__ import annotations

import numpy as np

from .geometry import Loft, disc, outline, patch
from .patches import Decal, Patch, Rgb, Shape, flat_patch, mix, ngon, rectangle
from .styles import Range, Style, Trim

GLASS: Rgb = (36, 44, 52)
GLASS_SHINE: Rgb = (104, 124, 140)
SEAL: Rgb = (20, 21, 23)
PLASTIC: Rgb = (46, 48, 51)
CHROME: Rgb = (198, 203, 208)
TYRE: Rgb = (28, 28, 30)


def bodywork(style: Style, trim: Trim, paint: Rgb) -> list[Patch]:
    """All unlabelled patches of a vehicle, in drawing order within each layer."""
    patches = _tyres(style)
    for side in (1, -1):
        patches += _flank(style, trim, paint, side)
        patches += _side_glass(style, trim, side)
    patches += _front(style, trim, paint) + _rear(style, trim, paint)
    if style.bed:
        patches.append(_bed(style, style.bed, paint))
    return patches


def half_width(style: Style) -> float:
    """Maximum half width of the body, in metres."""
    return max(row[3] for row in style.solids["body"].sections)


def wheel_centre(style: Style, x: float, side: int, inset: float = 0.02) -> np.ndarray:
    """Centre of the outer face of a wheel: (3,) in metres."""
    return np.array([x, side * (half_width(style) - inset), style.radius])


def wheel_layer(style: Style, x: float) -> str:
    """Name of the solid over which the wheels of the axle at x are drawn."""
    return "body" if style.split is None else ("cabin" if x > style.split else "box")


def _tyres(style: Style) -> list[Patch]:
    """Treads of the wheels and the dark underbody."""
    shapes = []
    for x in style.wheels:
        for side in (1, -1):
            outer = disc(wheel_centre(style, x, side), style.radius, 1, 20)
            inner = disc(wheel_centre(style, x, side, 0.26), style.radius, 1, 20)
            shapes += [Shape(inner, TYRE), Shape(outer, TYRE)]
            after = np.roll(np.arange(20), -1)
            bands = np.stack([outer, outer[after], inner[after], inner], axis=1)
            shapes += [Shape(band, TYRE) for band in bands]
    body = style.solids["body"]
    under = outline(body.flank, 1, [(0.04, 0.0), (0.96, 0.0)])
    under = np.concatenate([under, (under * [1, -1, 1])[::-1]])
    low = under.copy()
    low[:, 2] = body.floor * 0.55
    walls = [
        Shape(np.stack([under[i], under[i - 1], low[i - 1], low[i]]), (14, 14, 15))
        for i in range(4)
    ]
    return [Patch("under", walls), Patch("under", shapes)]


def _along(loft: Loft, x: float) -> float:
    """The coordinate a on the flank for a position x, at half height."""
    rows = np.asarray(loft.sections)
    rear, front = np.interp(0.5, rows[:, 0], rows[:, 1]), np.interp(0.5, rows[:, 0], rows[:, 2])
    return float((x - rear) / (front - rear))


def _arch(style: Style, x: float, side: int, radius: float) -> np.ndarray:
    centre = wheel_centre(style, x, side, -0.004)
    circle = disc(centre, radius, side)
    circle[:, 2] = np.maximum(circle[:, 2], style.solids["body"].floor * 0.9)
    return circle


def _flank(style: Style, trim: Trim, paint: Rgb, side: int) -> list[Patch]:
    body, shapes = style.solids["body"], []
    dark, gap = mix(paint, (12, 12, 12), 0.45), mix(paint, (10, 10, 10), 0.7)
    door_solid = style.solids["cabin"] if style.split else body
    sill = PLASTIC if trim.cladding else dark
    shapes.append(
        Shape(patch(body.flank, side, (0.03, 0.97), (0.0, 0.10 if trim.cladding else 0.06)), sill)
    )
    for x in style.doors:
        a = _along(body, x)
        shapes.append(Shape(patch(body.flank, side, (a - 0.002, a + 0.002), (0.10, 0.97), 2), gap))
    for rear, front in zip(style.doors, style.doors[1:]):
        run = _along(body, rear + 0.14), _along(body, rear + 0.36)
        colour = CHROME if trim.chrome else dark
        shapes.append(
            Shape(patch(body.flank, side, run, (style.handle, style.handle + 0.035), 2), colour)
        )
        run = _along(body, rear), _along(body, front)
        shapes.append(Shape(patch(body.flank, side, run, (0.095, 0.105), 2), gap))
    if trim.chrome:
        shapes.append(Shape(patch(body.flank, side, (0.06, 0.94), (0.28, 0.30)), CHROME))
    patches = [flat_patch("body", shapes)]
    if style.split:  # the doors of a truck are on its cab
        seams = [
            patch(door_solid.flank, side, (a, a + 0.008), (0.06, 0.9), 2) for a in (0.16, 0.84)
        ]
        seams.append(patch(door_solid.flank, side, (0.2, 0.32), (0.44, 0.46), 2))
        patches.append(flat_patch("cabin", [Shape(seam, gap) for seam in seams]))
    for x in style.wheels:
        shapes = [Shape(_arch(style, x, side, style.radius * 1.16), (13, 13, 14))]
        if trim.cladding:
            shapes.insert(0, Shape(_arch(style, x, side, style.radius * 1.34), PLASTIC))
        patches.append(flat_patch(wheel_layer(style, x), shapes, facing=0.02))
    return patches


def _side_glass(style: Style, trim: Trim, side: int) -> list[Patch]:
    name, runs, (low, high) = style.side_windows
    solid = style.solids[name]
    ends = (runs[0][0] - 0.02, runs[-1][1] + 0.02)
    frame = CHROME if trim.chrome else SEAL
    shapes = [Shape(patch(solid.flank, side, ends, (low - 0.05, high + 0.05)), frame)]
    shapes.append(
        Shape(
            patch(solid.flank, side, (ends[0] + 0.006, ends[1] - 0.006), (low - 0.03, high + 0.03)),
            SEAL,
        )
    )
    middle = low + (high - low) * 0.55
    for run in runs:
        shapes.append(Shape(patch(solid.flank, side, run, (low, high)), GLASS))
        shapes.append(
            Shape(patch(solid.flank, side, run, (middle, high)), mix(GLASS, GLASS_SHINE, 0.45))
        )
        a, b = run[0] + (run[1] - run[0]) * 0.25, run[0] + (run[1] - run[0]) * 0.5
        streak = [(a, low), (a + 0.06, low), (b + 0.06, high), (b, high)]
        streak = [(min(max(a, run[0]), run[1]), t) for a, t in streak]
        shapes.append(Shape(outline(solid.flank, side, streak), mix(GLASS, GLASS_SHINE, 0.8)))
    return [flat_patch(name, shapes)]


def lamp_outline(trim: Trim, zone: tuple[Range, Range], sign: int) -> list[tuple[float, float]]:
    """Corners (u, t) of a headlamp of the trim's kind in its zone, at the left (1) or right (-1)."""
    (u0, u1), (t0, t1) = zone
    u, t = (u0 + u1) / 2, (t0 + t1) / 2
    if trim.lamp == "swept":
        points = [
            (u0, t0 + 0.1 * (t1 - t0)),
            (u1 - 0.1, t0),
            (u1, t),
            (u1, t1),
            (u0 + 0.1, t1 - 0.25 * (t1 - t0)),
        ]
    elif trim.lamp == "round":
        points = [(u + a * (u1 - u0) * 0.5, t + b * (t1 - t0) * 0.55) for a, b in ngon(14, 1.0)]
    else:
        points = [(u0, t0), (u1, t0), (u1, t1), (u0, t1)]
    return [(sign * u, t) for u, t in points]


def _front(style: Style, trim: Trim, paint: Rgb) -> list[Patch]:
    face, layer = style.solids[style.face], style.face
    half, (t0, t1) = style.grille
    gap = mix(paint, (10, 10, 10), 0.6)
    intake = (max(0.02, style.front_plate - 0.15), max(0.06, style.front_plate - 0.02))
    shapes = [Shape(patch(face.end, 1, (-0.55, 0.55), intake), (22, 23, 25))]
    for sign in (1, -1):
        shapes.append(
            Shape(
                Decal(face.end, 1, sign * style.fog[0], style.fog[1])(rectangle(0.3, 0.11)),
                (26, 27, 30),
            )
        )
    if trim.cladding:
        shapes.insert(
            0, Shape(patch(face.end, 1, (-0.95, 0.95), (0.0, intake[1] + 0.02), 9), PLASTIC)
        )
    if layer == "body" and style.name != "bus":
        shapes.append(Shape(patch(face.end, 1, (-0.93, 0.93), (0.435, 0.445), 9), gap))
    rim = CHROME if trim.chrome or trim.grille == "bars" else SEAL
    shapes.append(Shape(patch(face.end, 1, (-half, half), (t0, t1)), rim))
    dt = (t1 - t0) * 0.08
    shapes.append(
        Shape(patch(face.end, 1, (-half + 0.02, half - 0.02), (t0 + dt, t1 - dt)), (20, 21, 23))
    )
    bar = CHROME if trim.chrome else (92, 95, 98)
    if trim.grille == "bars":
        for k in (0.3, 0.5, 0.7):
            t = t0 + (t1 - t0) * k
            shapes.append(
                Shape(
                    patch(face.end, 1, (-half + 0.03, half - 0.03), (t - dt / 2, t + dt / 2)), bar
                )
            )
    elif trim.grille == "upright":
        for u in np.linspace(-half + 0.06, half - 0.06, 8):
            shapes.append(
                Shape(patch(face.end, 1, (u - 0.012, u + 0.012), (t0 + dt, t1 - dt), 2), bar)
            )
    patches = [flat_patch(layer, shapes)]
    for sign in (1, -1):
        surround = [
            (u + 0.012 * np.sign(u), t - 0.01) for u, t in lamp_outline(trim, style.lamps, sign)
        ]
        patches.append(flat_patch(layer, [Shape(outline(face.end, 1, surround), SEAL)]))
    if style.name == "truck":
        wiper = patch(face.end, 1, (-0.86, 0.86), (0.485, 0.515))
        patches.append(flat_patch(layer, [Shape(wiper, SEAL)]))
    return patches


def _rear(style: Style, trim: Trim, paint: Rgb) -> list[Patch]:
    body, gap = style.solids["body"], mix(paint, (10, 10, 10), 0.6)
    shapes = []
    if style.name not in ("bus", "truck"):
        bumper = PLASTIC if trim.cladding else mix(paint, (12, 12, 12), 0.35)
        shapes.append(Shape(patch(body.end, -1, (-0.9, 0.9), (0.02, 0.15), 9), bumper))
        shapes.append(Shape(patch(body.end, -1, (-0.9, 0.9), (0.375, 0.385), 9), gap))
        for sign in (1, -1):
            edge = [
                (sign * 0.80, 0.38),
                (sign * 0.81, 0.38),
                (sign * 0.74, 0.95),
                (sign * 0.73, 0.95),
            ]
            shapes.append(Shape(outline(body.end, -1, edge), gap))
        recess = Decal(body.end, -1, 0.0, style.rear_plate)(rectangle(0.72, 0.24))
        shapes.append(Shape(recess, mix(paint, (12, 12, 12), 0.3)))
        if trim.chrome:
            bar = Decal(body.end, -1, 0.0, style.rear_plate)(rectangle(0.72, 0.03, 0, 0.13))
            shapes.append(Shape(bar, CHROME))
    elif style.name == "bus":
        shapes.append(
            Shape(patch(body.end, -1, (-0.7, 0.7), (0.16, 0.36)), mix(paint, (12, 12, 12), 0.4))
        )
        for t in np.linspace(0.19, 0.33, 6):
            shapes.append(Shape(patch(body.end, -1, (-0.66, 0.66), (t, t + 0.008)), (30, 30, 32)))
    else:
        box = style.solids["box"]
        shapes.append(Shape(patch(body.end, -1, (-0.95, 0.95), (0.1, 0.3)), PLASTIC))
        doors = [
            Shape(patch(box.end, -1, (u - 0.006, u + 0.006), (0.03, 0.95), 2), gap)
            for u in (-0.9, 0, 0.9)
        ]
        doors += [
            Shape(patch(box.end, -1, (u, u + 0.02), (0.05, 0.93), 2), CHROME) for u in (-0.2, 0.18)
        ]
        ribs = [flat_patch("box", doors)]
        for side in (1, -1):
            lines = [
                patch(box.flank, side, (a, a + 0.003), (0.03, 0.96), 2)
                for a in np.linspace(0.1, 0.9, 7)
            ]
            ribs.append(flat_patch("box", [Shape(line, gap) for line in lines]))
        return [flat_patch("body", shapes), *ribs]
    fogs = [
        Decal(body.end, -1, s * style.rear_fog[0], style.rear_fog[1])(rectangle(0.3, 0.1))
        for s in (1, -1)
    ]
    return [flat_patch("body", [*shapes, *(Shape(fog, (48, 16, 18)) for fog in fogs)])]


def _bed(style: Style, bed: Range, paint: Rgb) -> Patch:
    """The open bed of a pickup: a dark hollow in the deck with lighter walls."""
    body = style.solids["body"]
    x0, x1 = bed
    deck_x, deck_z = zip(*body.deck)
    y, z = half_width(style) * 0.80, float(np.interp(x0, deck_x, deck_z)) + 0.03
    rim = np.array([(x0, -y, z), (x1, -y, z), (x1, y, z), (x0, y, z)])
    floor = rim - [0, 0, 0.10]
    floor[:, 0] += [0.08, -0.08, -0.08, 0.08]
    wall = mix(paint, (12, 12, 12), 0.5)
    walls = [
        Shape(np.stack([rim[i], rim[(i + 1) % 4], floor[(i + 1) % 4], floor[i]]), wall)
        for i in range(4)
    ]
    shapes = [Shape(rim, (24, 24, 26)), *walls, Shape(floor, (40, 40, 42))]
    return Patch("body", shapes, np.array([0.0, 0.0, 1.0]))
