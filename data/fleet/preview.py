"""The contact sheet of a fleet: twins in the same views, their part boxes, and every body style."""

from __future__ import annotations

import dataclasses
from itertools import groupby

import cv2
import numpy as np

from detector.common.attributes import ATTRIBUTES

from .camera import Shot, draw_cameras
from .render import RenderedImage, Scene
from .spec import FleetSpec
from .styles import STYLES
from .vehicle import Vehicle, draw_fleet

VIEWS = ((28.0, 14.0), (-152.0, 16.0))
STYLE_VIEWS = ((-32.0, 13.0), (90.0, 7.0), (146.0, 17.0))
GROUPS = 3
_MARGIN, _TITLE = 6, 30
_PAPER, _INK = 255, (40, 40, 44)


def label_colour(label: str) -> tuple[int, int, int]:
    """The RGB colour of an attribute's boxes."""
    hue = np.array([[[ATTRIBUTES.index(label) * 11, 230, 255]]], np.uint8)
    red, green, blue = cv2.cvtColor(hue, cv2.COLOR_HSV2RGB)[0, 0].tolist()
    return red, green, blue


def boxed(rendered: RenderedImage) -> np.ndarray:
    """A copy of an image with its part boxes: (S, S, 3) uint8 RGB."""
    image = rendered.image.copy()
    for box, label in zip(np.rint(rendered.boxes).astype(int).tolist(), rendered.labels):
        cv2.rectangle(image, (box[0], box[1]), (box[2] - 1, box[3] - 1), label_colour(label), 1)
    return image


def contact_sheet(spec: FleetSpec, size: int = 224) -> np.ndarray:
    """Draw the contact sheet of a fleet.

    Args:
        spec: The fleet's parameters.
        size: Side of each image on the sheet in pixels.

    Returns:
        (H, W, 3) uint8 RGB.
    """
    vehicles = draw_fleet(spec)
    groups = _twin_groups(vehicles)
    blocks = []
    columns = max((len(group) for group in groups), default=1)
    for group in groups:
        first = group[0]
        title = f"{first.body_style.name}, {first.body_trim.name}, {first.paint}: "
        title += (
            "vehicles "
            + ", ".join(str(v.number) for v in group)
            + " - left as taken, right with part boxes"
        )
        blocks += [_title(title), *_twin_rows(spec, group, size, columns)]
    blocks += [_title("every body style"), *_style_rows(spec, vehicles, size)]
    width = max(block.shape[1] for block in blocks)
    return np.concatenate([_padded(block, width) for block in blocks])


def _twin_groups(vehicles: list[Vehicle]) -> list[list[Vehicle]]:
    """A few twin groups, of different styles and paints if possible."""
    ordered = sorted(vehicles, key=lambda v: (v.split == "detector", v.group, v.number))
    groups = [list(members) for _, members in groupby(ordered, key=lambda v: v.group)]
    groups = [group for group in groups if len(group) > 1]
    groups.sort(key=lambda group: STYLES[group[0].style].name in ("bus", "truck"))  # cars first
    chosen: list[list[Vehicle]] = []
    for strict in (True, False):
        for group in groups:
            known = {v[0].style for v in chosen} | {v[0].paint for v in chosen}
            fresh = not {group[0].style, group[0].paint} & known
            if len(chosen) < GROUPS and group not in chosen and (fresh or not strict):
                chosen.append(group)
    return chosen


def _shot(spec: FleetSpec, number: int, view: tuple[float, float]) -> Shot:
    cameras = draw_cameras(spec)
    camera = cameras[number % len(cameras)]
    return Shot(
        camera,
        view[0],
        view[1],
        camera.roll,
        11.0,
        0.95,
        (0.0, 0.0),
        "",
        (spec.seed % 2**32, number, 0),
    )


def _twin_rows(spec: FleetSpec, group: list[Vehicle], size: int, columns: int) -> list[np.ndarray]:
    scenes = [Scene(vehicle, spec.detail_size) for vehicle in group]
    rows = []
    for view in VIEWS:
        images = [scene.render(_shot(spec, group[0].group, view), size) for scene in scenes]
        gap = [np.full((size, size, 3), _PAPER, np.uint8)] * (columns - len(group))
        plain, marked = [image.image for image in images], [boxed(image) for image in images]
        rows.append(_row([*plain, *gap, *marked], after=len(plain) + len(gap)))
    return rows


def _style_rows(spec: FleetSpec, vehicles: list[Vehicle], size: int) -> list[np.ndarray]:
    size = size * 8 // 9
    rows: list[list[np.ndarray]] = [[] for _ in STYLE_VIEWS]
    for number, _ in enumerate(STYLES):
        own = next((v for v in vehicles if v.style == number), None)
        stand_in = vehicles[number % len(vehicles)]
        scene = Scene(own or dataclasses.replace(stand_in, style=number), spec.detail_size)
        for row, view in zip(rows, STYLE_VIEWS):
            row.append(scene.render(_shot(spec, number, view), size).image)
    return [_row(row) for row in rows]


def _row(images: list[np.ndarray], after: int = -1) -> np.ndarray:
    height = images[0].shape[0] + _MARGIN
    pieces = []
    for number, image in enumerate(images):
        gap = _MARGIN * (4 if number == after else 1)
        pieces.append(np.full((height, gap, 3), _PAPER, np.uint8))
        pieces.append(np.pad(image, ((0, _MARGIN), (0, 0), (0, 0)), constant_values=_PAPER))
    return np.concatenate(pieces, axis=1)


def _title(text: str) -> np.ndarray:
    bar = np.full((_TITLE, 16 * len(text), 3), _PAPER, np.uint8)
    cv2.putText(bar, text, (_MARGIN, 21), cv2.FONT_HERSHEY_SIMPLEX, 0.55, _INK, 1, cv2.LINE_AA)
    used = int(np.flatnonzero((bar < _PAPER).any(axis=(0, 2))).max()) + 2
    return bar[:, :used]


def _padded(block: np.ndarray, width: int) -> np.ndarray:
    return np.pad(block, ((0, 0), (0, width - block.shape[1]), (0, 0)), constant_values=_PAPER)
