"""The surroundings of a vehicle: road, lane lines, sky, buildings, shadow and occluders."""

from __future__ import annotations

import cv2
import numpy as np

from .camera import PinholeProjection, Shot
from .canvas import Canvas
from .geometry import Loft
from .patches import Corners
from .spec import SHOT

_NEAR = 1.0  # distance of the near plane from the camera, in metres
_OBSTACLE_TONES = ((74, 76, 80), (120, 116, 108), (52, 60, 70), (150, 152, 154))
_CAR_TONES = ((190, 192, 196), (60, 62, 68), (150, 34, 36), (40, 70, 130), (224, 224, 222))
_WALL_TONES = ((150, 140, 128), (120, 128, 136), (168, 160, 150), (98, 104, 100), (136, 112, 98))


def _ground(projection: PinholeProjection, corners: list[tuple[float, float]]) -> np.ndarray | None:
    """Project a polygon on the ground, clipped at the near plane; None if nothing remains."""
    points = np.array([(x, y, 0.0) for x, y in corners])
    depth = projection.depth(points)
    kept = []
    for i in range(len(points)):
        a, b, da, db = points[i - 1], points[i], depth[i - 1], depth[i]
        if (da < _NEAR) != (db < _NEAR):
            kept.append(a + (b - a) * (_NEAR - da) / (db - da))
        if db >= _NEAR:
            kept.append(b)
    return projection(np.array(kept)) if len(kept) > 2 else None


def _tone(rgb: tuple[int, int, int], factor: float) -> tuple[int, int, int]:
    """Multiply a colour by a factor, rounded and clipped to 0..255."""
    red, green, blue = (int(min(255, max(0, round(channel * factor)))) for channel in rgb)
    return red, green, blue


def draw_surroundings(
    canvas: Canvas, projection: PinholeProjection, shot: Shot, length: float
) -> None:
    """Draw sky, buildings, verge, road, lane lines and kerb, which do not depend on the vehicle's details."""
    camera, rng, size = shot.camera, shot.rng(SHOT), canvas.size
    light = 0.75 + 0.4 * camera.sunlight
    canvas.pixels[:] = _tone(camera.sky, light)
    horizon = _horizon(projection)
    fog = Canvas.fixed(
        np.array([(-9 * size, 1), (10 * size, 1), (10 * size, 90 * size), (-9 * size, 90 * size)])
    )
    fog[:2, 1] = Canvas.fixed(horizon)[:, 1]
    fog[:2, 0] = Canvas.fixed(horizon)[:, 0]
    canvas.fill(fog, _tone(camera.verge, light))
    _draw_skyline(canvas, horizon, rng, light)
    shift = 1.6 * rng.random() - 0.8
    road = _ground(
        projection, [(-80, -5 + shift), (80, -5 + shift), (80, 5 + shift), (-80, 5 + shift)]
    )
    if road is not None:
        canvas.fill(Canvas.fixed(road), _tone(camera.ground, light))
    phase = rng.random() * 6
    strips: list[tuple[tuple[float, float], float, float, tuple[int, int, int]]]
    strips = [((-80, 80), side * 5 + shift, 0.28, (176, 174, 168)) for side in (1, -1)]
    for side in (1, -1):
        y = side * 1.9 + shift * 0.4
        if camera.lanes == 1:
            strips += [
                ((x + phase, x + phase + 3), y, 0.16, (228, 226, 214)) for x in range(-36, 37, 6)
            ]
        elif camera.lanes == 2:
            strips.append(((-80, 80), y, 0.16, (228, 208, 120) if side == 1 else (228, 226, 214)))
    for (x0, x1), y, width, rgb in strips:
        strip = _ground(projection, [(x0, y), (x1, y), (x1, y + width), (x0, y + width)])
        if strip is not None:
            canvas.fill(Canvas.fixed(strip), _tone(rgb, light))
    grain = max(8, size // 3)
    texture: np.ndarray = rng.integers(0, 22, (grain, grain), dtype=np.uint8)
    texture = cv2.resize(texture, canvas.pixels.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    cv2.subtract(canvas.pixels, cv2.cvtColor(texture, cv2.COLOR_GRAY2RGB), canvas.pixels)


def _horizon(projection: PinholeProjection) -> np.ndarray:
    """Two points (2, 2) on the horizon, far left and far right."""
    forward = projection.axes[2] * [1, 1, 0]
    forward = forward / np.linalg.norm(forward)
    right = np.array([forward[1], -forward[0], 0.0])
    far = projection.position + 1e4 * np.stack([forward - 0.9 * right, forward + 0.9 * right])
    return projection(far)


def _draw_skyline(
    canvas: Canvas, horizon: np.ndarray, rng: np.random.Generator, light: float
) -> None:
    """Draw walls and trees along the horizon."""
    size = canvas.size
    slope = (horizon[1, 1] - horizon[0, 1]) / (horizon[1, 0] - horizon[0, 0])
    for _ in range(7):
        x, width, height = (
            rng.random() * 1.2 - 0.2,
            0.12 + 0.3 * rng.random(),
            0.04 + 0.2 * rng.random(),
        )
        tree = rng.random() < 0.5
        tone = (62 + int(30 * rng.random()), 92 + int(30 * rng.random()), 52)
        if not tree:
            tone = _WALL_TONES[int(rng.random() * len(_WALL_TONES))]
        x0, x1 = x * size, (x + width) * size
        y = horizon[0, 1] + slope * (np.array([x0, x1]) - horizon[0, 0])
        top = y - height * size
        if y.max() < 0:
            continue
        if tree:
            angle = np.linspace(0, np.pi, 10)
            arch = np.stack(
                [
                    (x0 + x1) / 2 - np.cos(angle) * (x1 - x0) / 2,
                    y.mean() - np.sin(angle) * height * size,
                ],
                1,
            )
            canvas.fill(
                Canvas.fixed(np.concatenate([arch, [(x1, y[1] + 2), (x0, y[0] + 2)]])),
                _tone(tone, light),
            )
        else:
            wall = np.array([(x0, top[0]), (x1, top[1]), (x1, y[1] + 2), (x0, y[0] + 2)])
            canvas.fill(Canvas.fixed(wall), _tone(tone, light))


def draw_shadow(
    canvas: Canvas, projection: PinholeProjection, shot: Shot, solids: list[Loft]
) -> None:
    """Darken the ground in the vehicle's cast shadow and beneath it."""
    sun = np.asarray(shot.camera.sun)
    points = np.concatenate([solid.quads[:, 0] for solid in solids])
    cast = points - sun * (points[:, 2:] / sun[2])
    foot = points * [1, 1, 0]
    keep = np.minimum(projection.depth(cast), projection.depth(foot)) > _NEAR
    shade = np.concatenate([cast[keep], foot[keep]])
    canvas.darken(projection(shade), 0.25 + 0.5 * shot.camera.sunlight, 0.008)
    canvas.darken(projection(foot[keep]), 0.6, 0.018)


def occluder_polygons(shot: Shot, size: int) -> list[tuple[np.ndarray, tuple[int, int, int]]]:
    """Polygons (n, 2) in image coordinates, with colours, of the object between camera and vehicle."""
    if not shot.occluder:
        return []
    rng = shot.rng(SHOT + 100)
    side = 1 if rng.random() < 0.5 else -1
    found: list[tuple[Corners, tuple[int, int, int]]] = []
    if shot.occluder == "pole":
        x, width = 0.15 + 0.7 * rng.random(), 0.035 + 0.035 * rng.random()
        tone, lean = _OBSTACLE_TONES[int(rng.random() * 4)], 0.04 * rng.random() - 0.02
        shape = [(x, -0.1), (x + width, -0.1), (x + width + lean, 1.1), (x + lean, 1.1)]
        lit = [(x, -0.1), (x + width * 0.3, -0.1), (x + width * 0.3 + lean, 1.1), (x + lean, 1.1)]
        found = [(shape, tone), (lit, _tone(tone, 1.4))]
    elif shot.occluder == "sign":
        x, y, w = 0.2 + 0.6 * rng.random(), 0.15 + 0.25 * rng.random(), 0.07 + 0.05 * rng.random()
        tone = ((34, 84, 170), (30, 120, 70), (196, 196, 190))[int(rng.random() * 3)]
        found.append(
            ([(x - 0.015, y), (x + 0.015, y), (x + 0.015, 1.1), (x - 0.015, 1.1)], (110, 112, 114))
        )
        found.append(
            ([(x - w, y - w), (x + w, y - w), (x + w, y + w * 0.5), (x - w, y + w * 0.5)], tone)
        )
    elif shot.occluder == "car":
        tone, x, y = (
            _CAR_TONES[int(rng.random() * 5)],
            0.10 + 0.16 * rng.random(),
            0.5 + 0.15 * rng.random(),
        )
        shape = [
            (-0.2, y),
            (x * 0.5, y),
            (x, y + 0.12),
            (x + 0.03, y + 0.3),
            (x + 0.02, 1.2),
            (-0.2, 1.2),
        ]
        glass = [(-0.2, y + 0.03), (x * 0.45, y + 0.03), (x * 0.85, y + 0.12), (-0.2, y + 0.12)]
        shapes = [(shape, tone), (glass, (44, 52, 60))]
        found = [
            ([(u if side == 1 else 1 - u, v) for u, v in polygon], rgb) for polygon, rgb in shapes
        ]
    else:
        corner = rng.random() * 0.3 if side == 1 else 1 - rng.random() * 0.3
        for _ in range(24):
            x, y = corner + 0.32 * rng.random() - 0.16, 0.32 * rng.random() ** 1.5 - 0.04
            r, turn = 0.025 + 0.04 * rng.random(), rng.random()
            angle = 2 * np.pi * (np.arange(6) / 6 + turn)
            tone = (40 + int(50 * rng.random()), 84 + int(60 * rng.random()), 36)
            found.append(
                (np.stack([x + r * np.cos(angle), y + r * 0.7 * np.sin(angle)], axis=1), tone)
            )
    return [(np.asarray(polygon, dtype=np.float64) * size, rgb) for polygon, rgb in found]
