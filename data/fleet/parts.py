"""The labelled parts on the outside of a vehicle, built from its details."""

from __future__ import annotations

import numpy as np

from .bodywork import (
    CHROME,
    GLASS,
    GLASS_SHINE,
    SEAL,
    TYRE,
    bodywork,
    half_width,
    lamp_outline,
    wheel_centre,
    wheel_layer,
)
from .geometry import Loft, box_quads, disc, on_wheel, outline, patch
from .interior import windscreen
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
    star,
)
from .vehicle import COLOURS, Detail, Vehicle

RED_LENS: Rgb = (176, 22, 28)


def vehicle_patches(vehicle: Vehicle, detail_size: float = 1.0) -> list[Patch]:
    """All patches on the solids of a vehicle, in drawing order within each layer."""
    style = vehicle.body_style
    patches = bodywork(style, vehicle.body_trim, vehicle.rgb)
    for build in (_lights, _light_covers, _plates, _logos, _wheels, _rear_glass):
        patches += build(vehicle)
    patches.append(windscreen(vehicle, detail_size))
    patches += _roof(vehicle) + _mirrors(vehicle)
    return patches


def _colour(vehicle: Vehicle, name: str) -> Rgb:
    return vehicle.rgb if name == "body" else COLOURS[name]


def _shrunk(points: list[tuple[float, float]], share: float) -> list[tuple[float, float]]:
    u, t = np.mean(points, axis=0)
    return [(u + (a - u) * share, t + (b - t) * share) for a, b in points]


def _lights(vehicle: Vehicle) -> list[Patch]:
    style, tint = vehicle.body_style, COLOURS[vehicle.detail("carlight")["tint"]]
    face, body, found = style.solids[style.face], style.solids["body"], []
    for sign in (1, -1):
        corners = lamp_outline(vehicle.body_trim, style.lamps, sign)
        lens = mix((225, 230, 235), tint, 0.75)
        (u0, u1), (t0, t1) = style.lamps
        bulbs = [
            Decal(face.end, 1, sign * (u0 + (u1 - u0) * k), t0 + (t1 - t0) * 0.52)(ngon(10, 0.048))
            for k in (0.36, 0.7)
        ]
        shape = outline(face.end, 1, corners)
        front = [Shape(shape, CHROME), Shape(outline(face.end, 1, _shrunk(corners, 0.9)), lens)]
        front += [Shape(bulb, (252, 252, 246)) for bulb in bulbs]
        plain = [Shape(shape, CHROME)]
        found.append(flat_patch(style.face, front, "carlight", plain=plain, facing=0.15))
        (u0, u1), (t0, t1) = style.tail_lamps
        middle = t0 + (t1 - t0) * 0.45
        rear = [
            Shape(patch(body.end, -1, (sign * u0, sign * u1), (t0, t1)), RED_LENS),
            Shape(
                patch(body.end, -1, (sign * (u0 + 0.03), sign * (u1 - 0.03)), (t0 + 0.03, middle)),
                tint,
            ),
            Shape(
                patch(
                    body.end,
                    -1,
                    (sign * (u0 + 0.04), sign * (u1 - 0.04)),
                    (middle + 0.05, t1 - 0.05),
                ),
                (236, 60, 56),
            ),
        ]
        found.append(flat_patch("body", rear, "carlight", plain=rear[:1], facing=0.15))
    return found


def _light_covers(vehicle: Vehicle) -> list[Patch]:
    detail, style = vehicle.details["lightcover"], vehicle.body_style
    if detail is None:
        return []
    colour, found = COLOURS[detail["colour"]], []
    positions = ((1, style.face, style.fog), (-1, "body", style.rear_fog))
    for side, layer, (u, t) in positions:
        for sign in (1, -1):
            put = Decal(style.solids[layer].end, side, sign * u, t)
            hand = sign * side  # 1 if the outer side is on the viewer's right
            shapes = [Shape(put(rectangle(0.36, 0.15)), colour)]
            if detail["shape"] == "ring":
                shapes = [
                    Shape(put(ngon(16, 0.115)), colour),
                    Shape(put(ngon(16, 0.06)), (244, 244, 240)),
                ]
            elif detail["shape"] == "wedge":
                tip = [(-0.19 * hand, -0.08), (0.17 * hand, -0.08), (0.17 * hand, 0.11)]
                shapes = [Shape(put(tip), colour)]
            else:
                shapes.append(Shape(put(rectangle(0.28, 0.05)), (244, 244, 240)))
            found.append(flat_patch(layer, shapes, "lightcover", facing=0.2))
    return found


def _plates(vehicle: Vehicle) -> list[Patch]:
    style, detail, found = vehicle.body_style, vehicle.details["plate"], []
    if detail is None:
        return []
    for side, layer, t in ((1, style.face, style.front_plate), (-1, "body", style.rear_plate)):
        put = Decal(style.solids[layer].end, side, 0.0, t)
        shapes = [
            Shape(put(rectangle(0.60, 0.22)), COLOURS[detail["frame"]]),
            Shape(put(rectangle(0.52, 0.15)), COLOURS[detail["colour"]]),
        ]
        found.append(flat_patch(layer, shapes, "plate", facing=0.2))
    return found


def _logos(vehicle: Vehicle) -> list[Patch]:
    style, detail, found = vehicle.body_style, vehicle.details["logo"], []
    if detail is None:
        return []
    size = 1.3 if style.name in ("bus", "truck") else 0.9
    colour = COLOURS[detail["colour"]]
    dark = (28, 30, 34)
    positions = ((1, style.face, style.front_logo), (-1, style.rear_details, style.rear_logo))
    for side, layer, t in positions:
        put = Decal(style.solids[layer].end, side, 0.0, t, size)
        backs: dict[str, Corners] = {
            "ring": ngon(16, 0.14),
            "diamond": [(0, -0.15), (0.15, 0), (0, 0.15), (-0.15, 0)],
            "bar": rectangle(0.44, 0.11),
            "shield": [(0, -0.16), (0.13, -0.04), (0.13, 0.12), (-0.13, 0.12), (-0.13, -0.04)],
            "star": ngon(16, 0.15),
        }
        back = backs[detail["shape"]]
        shapes = [Shape(put(back), colour)]
        if detail["shape"] == "ring":
            shapes.append(Shape(put(ngon(16, 0.085)), dark))
        elif detail["shape"] == "diamond":
            shapes.append(Shape(put([(0, -0.08), (0.08, 0), (0, 0.08), (-0.08, 0)]), dark))
        elif detail["shape"] == "bar":
            shapes += [Shape(put(rectangle(0.09, 0.06, a)), dark) for a in (-0.13, 0, 0.13)]
        elif detail["shape"] == "shield":
            shapes.append(Shape(put([(0, -0.16), (0.13, -0.04), (0.13, 0.12), (0, 0.12)]), dark))
        else:
            shapes = [Shape(put(back), dark), Shape(put(star(5, 0.145, 0.06)), colour)]
        found.append(flat_patch(layer, shapes, "logo", facing=0.3))
    return found


def rim_polygons(design: str, radius: float) -> list[np.ndarray]:
    """The coloured polygons (n, 2) of a rim, in the plane of the wheel.

    >>> len(rim_polygons("five", radius=0.3))
    5
    """

    def spoke(turn: float, root: float, tip: float, length: float = 0.96) -> np.ndarray:
        c, s = np.cos(2 * np.pi * turn), np.sin(2 * np.pi * turn)
        corners = np.array([(0.1, -root), (length, -tip), (length, tip), (0.1, root)]) * radius
        return corners @ np.array([(c, s), (-s, c)])

    if design == "five":
        return [spoke(k / 5 + 0.25, 0.20, 0.13) for k in range(5)]
    if design == "twin":
        return [spoke((k + d) / 5 + 0.25, 0.07, 0.06) for k in range(5) for d in (-0.17, 0.17)]
    if design == "ten":
        return [spoke(k / 12 + 0.25, 0.05, 0.045) for k in range(12)]
    if design == "dish":
        return [ngon(20, radius * 0.96)]
    if design == "star":
        return [star(6, radius * 0.98, radius * 0.42)]
    return [spoke(k / 4 + 0.125, 0.34, 0.26) for k in range(4)]


def _wheels(vehicle: Vehicle) -> list[Patch]:
    style, detail, found = vehicle.body_style, vehicle.detail("wheel"), []
    colour, r = COLOURS[detail["colour"]], style.radius
    for side in (1, -1):
        for x in style.wheels:
            centre = wheel_centre(style, x, side)
            rubber = Shape(disc(centre, r, side), TYRE)
            edge = Shape(disc(centre, r * 0.74, side), mix(colour, (60, 60, 60), 0.25))
            shapes = [rubber, edge, Shape(disc(centre, r * 0.66, side), (34, 35, 38))]
            shapes += [
                Shape(on_wheel(centre, piece[:, 0], piece[:, 1], side), colour)
                for piece in rim_polygons(detail["design"], r * 0.68)
            ]
            if detail["design"] == "dish":
                holes = [ngon(8, r * 0.085, *at) for at in ngon(6, r * 0.44)]
                shapes += [
                    Shape(on_wheel(centre, hole[:, 0], hole[:, 1], side), (34, 35, 38))
                    for hole in holes
                ]
            shapes.append(Shape(disc(centre, r * 0.13, side, 12), mix(colour, (20, 20, 20), 0.4)))
            plain = [rubber, Shape(disc(centre, r * 0.68, side), (120, 122, 125))]
            found.append(
                flat_patch(wheel_layer(style, x), shapes, "wheel", plain=plain, facing=0.22)
            )
    return found


def _rear_glass(vehicle: Vehicle) -> list[Patch]:
    glass, strip = vehicle.body_style.rear_glass, vehicle.detail("windglass")["strip"]
    if glass is None:
        return []
    end, (t0, t1) = vehicle.body_style.solids[glass.solid].end, glass.t
    seal = flat_patch(
        glass.solid,
        [Shape(patch(end, -1, (glass.u + 0.03, -glass.u - 0.03), (t0 - 0.04, t1 + 0.04), 9), SEAL)],
    )
    pane = Shape(patch(end, -1, (glass.u, -glass.u), (t0, t1), 9), GLASS)
    shine = [(-0.5 * glass.u, t0), (-0.1 * glass.u, t0), (0.4 * glass.u, t1), (-0.05 * glass.u, t1)]
    upper = patch(end, -1, (glass.u, -glass.u), (t0 + (t1 - t0) * 0.5, t1), 9)
    common = [
        pane,
        Shape(upper, mix(GLASS, GLASS_SHINE, 0.35)),
        Shape(outline(end, -1, shine), mix(GLASS, GLASS_SHINE, 0.7)),
        Shape(patch(end, -1, (0.16, -0.16), (t1 - 0.06, t1 - 0.02)), (150, 24, 26)),
    ]
    own = list(common)
    if strip != "none":
        band = patch(end, -1, (glass.u, -glass.u), (t1 - (t1 - t0) * 0.28, t1), 9)
        own.insert(3, Shape(band, mix(COLOURS[strip], (20, 20, 20), 0.15)))
    window = Patch(
        glass.solid, own, outward_normal(pane.polygon), "windglass", pane.polygon, common, 0.16
    )
    return [seal, window]


def _roof(vehicle: Vehicle) -> list[Patch]:
    style, found = vehicle.body_style, []
    roof = style.solids[style.roof]
    detail = vehicle.details["cartopwindow"]
    if detail:
        panels = {
            "single": [(0.12, 0.66)],
            "panorama": [(-0.7, 0.72)],
            "double": [(0.1, 0.66), (-0.62, -0.06)],
        }
        tint = mix(GLASS, COLOURS[detail["tint"]], 0.6)
        shapes = []
        for nx0, nx1 in panels[detail["kind"]]:
            xs, v = np.linspace(nx0, nx1, 4), 0.74
            for share, rgb in ((1.0, SEAL), (0.88, tint), (0.4, mix(tint, GLASS_SHINE, 0.6))):
                nx = (nx0 + nx1) / 2 + (xs - (nx0 + nx1) / 2) * min(1.0, share + 0.04)
                left, right = roof.top(nx, -v * share), roof.top(nx, v * share)
                shapes.append(Shape(np.concatenate([left, right[::-1]]), rgb))
        hull = np.concatenate([shape.polygon for shape in shapes])
        up = np.array([0.0, 0.0, 1.0])
        found.append(Patch(style.roof, shapes, up, "cartopwindow", hull, facing=0.17))
    if carrier := vehicle.details["carrier"]:
        found.append(_carrier(style.roof, roof, carrier))
    return found


def _carrier(layer: str, roof: Loft, detail: Detail) -> Patch:
    x0, x1 = roof.point(-0.8, 0, 1.0)[0], roof.point(0.75, 0, 1.0)[0]
    y, z = roof.sections[-1][3] * 0.86, float(roof.top(0.0, 0.0)[2])
    x, length, colour = (x0 + x1) / 2, x1 - x0, COLOURS[detail["colour"]]
    boxes = [((x, side * y, z + 0.05), (length, 0.06, 0.07)) for side in (1, -1)]
    if detail["kind"] == "bars":
        boxes += [
            ((x + k * length, 0, z + 0.09), (0.09, 2.1 * y, 0.06)) for k in (-0.33, 0.0, 0.33)
        ]
    elif detail["kind"] == "basket":
        boxes = [((x, 0, z + 0.05), (length * 0.9, 1.8 * y, 0.04))]
        boxes += [((x, side * 0.9 * y, z + 0.15), (length * 0.9, 0.05, 0.1)) for side in (1, -1)]
        boxes += [((x + k * length, 0, z + 0.15), (0.05, 1.8 * y, 0.1)) for k in (-0.45, 0.45)]
    elif detail["kind"] == "box":
        boxes = [((x, 0, z + 0.2), (length * 0.95, 1.35 * y, 0.32))]
        boxes += [((x, 0, z + 0.14), (length * 0.96, 1.37 * y, 0.04))]
    shapes = []
    for number, (centre, size) in enumerate(boxes):
        trim = detail["kind"] == "box" and number == 1
        shapes += faces(box_quads(centre, size), (30, 30, 32) if trim else colour)
    hull = np.concatenate([shape.polygon for shape in shapes])
    return Patch(layer, shapes, None, "carrier", hull)


def _mirrors(vehicle: Vehicle) -> list[Patch]:
    style, found = vehicle.body_style, []
    x, y, z = style.mirror
    cap = _colour(vehicle, vehicle.detail("backmirror")["cap"])
    tall = style.name in ("bus", "truck")
    size = (0.16, 0.22, 0.42) if tall else (0.15, 0.24, 0.18)
    for side in (1, -1):
        centre = (x, side * y, z)
        body = box_quads(centre, size)
        ahead = body[..., 0] > x  # a housing narrows towards its front
        body[ahead] = centre + (body[ahead] - centre) * [1, 0.72, 0.66]
        rear = body[1]
        glass = Shape(
            (rear - rear.mean(axis=0)) * 0.8 + rear.mean(axis=0) - [0.004, 0, 0],
            (120, 138, 150),
            np.array([-1.0, 0, 0]),
        )
        inner = half_width(style) * 0.9
        arm = faces(
            box_quads((x, side * (inner + y) / 2, z - size[2] * 0.4), (0.06, abs(y - inner), 0.05)),
            SEAL,
        )
        shapes = [*arm, *faces(body, cap), glass]
        plain = [*arm, *faces(body, (60, 62, 64)), glass]
        found.append(
            Patch(
                "left" if side == 1 else "right",
                shapes,
                None,
                "backmirror",
                body.reshape(-1, 3),
                plain,
            )
        )
    return found
