"""Pictures of vehicles, their parts and rankings. RGB uint8 arrays in, RGB uint8 arrays out."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

GREEN, RED, BLUE, AMBER = (30, 150, 80), (205, 50, 45), (70, 105, 190), (255, 176, 0)
WRITTEN_FROM = 0.03  # a smaller weight is drawn but not written: text would hide the vehicle

PAPER, _INK = (236, 238, 241), (40, 44, 52)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_BORDER, _GAP = 6, 10

# Box colours of samples, one per class and then again: told apart by hue, readable on paint and road.
_CLASS_COLOURS = (
    (255, 176, 0),
    (64, 196, 255),
    (255, 99, 132),
    (140, 220, 90),
    (200, 140, 255),
    (255, 140, 60),
    (60, 220, 190),
    (245, 230, 90),
)


@dataclass(frozen=True, eq=False)
class Picture:
    """An image and the parts found on it.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (n, 4) ``x1 y1 x2 y2`` in pixels of the image, or None.
        labels: n class names, or None.
        weights: (n,) attention weights, 0 to 1, or None.
        title: A word below the picture.
    """

    image: np.ndarray
    boxes: np.ndarray | None = None
    labels: Sequence[str] | None = None
    weights: np.ndarray | None = None
    title: str = ""


def draw_boxes(
    image: np.ndarray,
    boxes: np.ndarray,
    labels: Sequence[str] | None = None,
    weights: np.ndarray | None = None,
) -> np.ndarray:
    """Draw part boxes on a copy of an image.

    With weights, all boxes are amber; a box is filled the more, the greater its weight is among the
    image's, and weights from 3% are written. Without, the colour tells the class.

    Args:
        image: (H, W, 3) uint8 RGB.
        boxes: (n, 4) float pixels, ``x1 y1 x2 y2``, right and bottom exclusive.
        labels: n names to write.
        weights: (n,) attention weights, 0 to 1.

    Returns:
        (H, W, 3) uint8 RGB.

    Raises:
        ValueError: The image or the lengths do not fit.
    """
    _check_image(image)
    boxes = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    for name, values in (("labels", labels), ("weights", weights)):
        if values is not None and len(values) != len(boxes):
            raise ValueError(f"{len(boxes)} boxes, but {len(values)} {name}")
    corners = _corners(boxes, image.shape)
    canvas = image.copy()
    if weights is None:
        for index, (box, name) in enumerate(zip(corners, labels or [""] * len(corners))):
            colour = _class_colour(name, index)
            _rectangle(canvas, box, colour)
            _tag(canvas, name, box, colour)
        return canvas
    shares = np.asarray(weights, np.float64) / max(float(np.max(weights, initial=0)), 1e-12)
    heaviest_last = np.argsort(shares, kind="stable")
    for index in heaviest_last:
        _fill(canvas, corners[index], AMBER, 0.5 * shares[index])
    for index in heaviest_last:
        _rectangle(canvas, corners[index], AMBER, 1 + round(shares[index]))
    for index in heaviest_last:
        if weights[index] >= WRITTEN_FROM:
            name = "" if labels is None else f"{labels[index]} "
            _tag(canvas, f"{name}{100 * weights[index]:.0f}%", corners[index], AMBER)
    return canvas


def ranked_row(
    query: Picture,
    results: Sequence[Picture],
    correct: Sequence[bool | None],
    tile: int = 208,
    columns: int | None = None,
) -> np.ndarray:
    """A query and what was found for it, nearest first.

    The query's border is blue; a result's is green with a tick if it is the query's vehicle, red with
    a cross if not.

    Args:
        query: The query.
        results: The gallery images found.
        correct: Whether each is the query's vehicle; None where that is not known: no colour, no mark.
        tile: Side of the square that each picture is fitted into, pixels.
        columns: Tiles in a row, the query's among them; None for all in one.

    Returns:
        (height, width, 3) uint8 RGB, as wide as ``len(results) + 1`` tiles, or ``columns``.

    Raises:
        ValueError: ``results`` and ``correct`` differ in length.
    """
    if len(results) != len(correct):
        raise ValueError(f"{len(results)} results, but {len(correct)} marks")
    tiles = [_framed(query, tile, BLUE)]
    for picture, good in zip(results, correct):
        framed = _framed(picture, tile, None if good is None else GREEN if good else RED)
        if good is not None:
            _mark(framed, good)
        tiles.append(framed)
    return _grid(tiles, columns or len(tiles))


def contact_sheet(pictures: Sequence[Picture], columns: int, tile: int = 208) -> np.ndarray:
    """Pictures with their boxes on a grid, row by row.

    Raises:
        ValueError: No picture, or less than one column.
    """
    if not pictures or columns < 1:
        raise ValueError(f"a sheet needs pictures and columns, got {len(pictures)} and {columns}")
    return _grid([_framed(picture, tile, None) for picture in pictures], columns)


def fit(picture: Picture, tile: int) -> np.ndarray:
    """The picture in the middle of a square, its boxes drawn at the final scale, so that lines stay sharp."""
    _check_image(picture.image)
    height, width = picture.image.shape[:2]
    scale = tile / max(height, width)
    size = max(round(width * scale), 1), max(round(height * scale), 1)
    shrink = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    image = cv2.resize(picture.image, size, interpolation=shrink)
    if picture.boxes is not None:
        factors = np.tile([size[0] / width, size[1] / height], 2)
        image = draw_boxes(image, picture.boxes * factors, picture.labels, picture.weights)
    square = np.full((tile, tile, 3), PAPER, np.uint8)
    top, left = (tile - size[1]) // 2, (tile - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = image
    return square


def _framed(picture: Picture, tile: int, colour: tuple[int, int, int] | None) -> np.ndarray:
    framed = cv2.copyMakeBorder(
        fit(picture, tile), *[_BORDER] * 4, cv2.BORDER_CONSTANT, value=colour or PAPER
    )
    if not picture.title:
        return framed
    strip = np.full((30, framed.shape[1], 3), PAPER, np.uint8)
    cv2.putText(strip, picture.title, (_BORDER, 21), _FONT, 0.6, _INK, 1, cv2.LINE_AA)
    return np.concatenate([framed, strip])


def _grid(tiles: list[np.ndarray], columns: int) -> np.ndarray:
    height = max(tile.shape[0] for tile in tiles)
    width = max(tile.shape[1] for tile in tiles)
    columns = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)
    sheet = np.full(
        (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), PAPER, np.uint8
    )
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + _GAP), index % columns * (width + _GAP)
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return sheet


def _mark(framed: np.ndarray, good: bool) -> None:
    """A tick or a cross in the corner, for those who do not see the colours."""
    centre = np.array([_BORDER + 13, _BORDER + 13])
    cv2.circle(framed, centre.tolist(), 12, GREEN if good else RED, -1, cv2.LINE_AA)
    tick = [np.array([(-5, 0), (-1, 5), (6, -5)])]
    cross = [np.array([(-5, -5), (5, 5)]), np.array([(5, -5), (-5, 5)])]
    lines = [(line + centre).astype(np.int32) for line in (tick if good else cross)]
    cv2.polylines(framed, lines, False, (255, 255, 255), 2, cv2.LINE_AA)


def _corners(boxes: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """The first and last pixel that each box covers, inside the image."""
    height, width = shape[:2]
    first = np.floor(boxes[:, :2])
    last = np.maximum(np.ceil(boxes[:, 2:]) - 1, first)
    limits = [width - 1, height - 1] * 2
    return np.clip(np.concatenate([first, last], axis=1), 0, limits).astype(int)


def _rectangle(
    canvas: np.ndarray, box: np.ndarray, colour: tuple[int, int, int], thickness: int = 1
) -> None:
    x1, y1, x2, y2 = box.tolist()
    cv2.rectangle(canvas, (x1, y1), (x2, y2), colour, thickness)


def _fill(
    canvas: np.ndarray, box: np.ndarray, colour: tuple[int, int, int], opacity: float
) -> None:
    x1, y1, x2, y2 = box
    region = canvas[y1 : y2 + 1, x1 : x2 + 1]
    region[:] = np.rint((1 - opacity) * region + opacity * np.array(colour)).astype(np.uint8)


def _tag(canvas: np.ndarray, text: str, box: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Dark text on the box's colour, above the box where there is room."""
    if not text:
        return
    (width, height), _ = cv2.getTextSize(text, _FONT, 0.34, 1)
    x = int(np.clip(box[0], 0, max(canvas.shape[1] - width - 3, 0)))
    y = int(box[1]) - 1 if box[1] > height + 4 else int(box[1]) + height + 4
    cv2.rectangle(canvas, (x, y - height - 3), (x + width + 2, y), colour, -1)
    cv2.putText(canvas, text, (x + 1, y - 2), _FONT, 0.34, _INK, 1, cv2.LINE_AA)


def _class_colour(name: str, index: int) -> tuple[int, int, int]:
    key = zlib.crc32(name.encode()) if name else index  # unlike hash(), the same in every run
    return _CLASS_COLOURS[key % len(_CLASS_COLOURS)]


def _check_image(image: np.ndarray) -> None:
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(
            f"an image is (H, W, 3) uint8 RGB, got shape {image.shape} of {image.dtype}"
        )
