"""Draw the parts of a cache on their images."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from detector.cache.reader import PartCache
from detector.common.files import write_atomically
from detector.common.images import read_image

_SIDE = 320


def draw_parts(image: np.ndarray, cache: PartCache, name: str, num_parts: int = 8) -> np.ndarray:
    """Draw the most confident parts of one image, labelled, with their scores.

    Args:
        image: (H, W, 3) uint8 RGB, as `detector.common.images.read_image` gives it.
        cache: The part cache.
        name: The image's path in the cache.
        num_parts: Boxes drawn at most.

    Returns:
        (h, w, 3) uint8 RGB, scaled so that the longer side is 320 pixels.
    """
    parts = cache.parts(name, min(num_parts, cache.max_parts))
    scale = _SIDE / max(image.shape[:2])
    size = [max(1, round(length * scale)) for length in image.shape[1::-1]]
    canvas = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    # The least confident first, so that the best are on top.
    for box, score, label in zip(parts.boxes[::-1], parts.scores[::-1], parts.labels[::-1]):
        x1, y1, x2, y2 = (round(float(value)) for value in box * scale)
        hue = 180 * int(label) // len(cache.classes)
        colour = cv2.cvtColor(np.array([[[hue, 200, 255]]], np.uint8), cv2.COLOR_HSV2RGB)[
            0, 0
        ].tolist()
        cv2.rectangle(canvas, (x1, y1), (x2 - 1, y2 - 1), colour, 1)
        text = f"{cache.classes[label]} {score:.2f}"
        (text_width, text_height), _ = cv2.getTextSize(text, cv2.FONT_HERSHEY_SIMPLEX, 0.33, 1)
        x = max(0, min(x1, canvas.shape[1] - text_width))
        y = max(y1, text_height + 2)
        cv2.rectangle(canvas, (x, y - text_height - 2), (x + text_width, y), colour, cv2.FILLED)
        cv2.putText(
            canvas, text, (x, y - 2), cv2.FONT_HERSHEY_SIMPLEX, 0.33, (0, 0, 0), 1, cv2.LINE_AA
        )
    return canvas


def draw_sheet(
    root: str | os.PathLike[str],
    cache: PartCache,
    names: Sequence[str],
    out: str | os.PathLike[str],
    num_parts: int = 8,
    columns: int = 4,
) -> Path:
    """Write one image that shows several images with their parts.

    Args:
        root: Folder that the names are relative to.
        cache: The part cache.
        names: Images, in reading order.
        out: Picture file, e.g. ``parts.jpg``.
        num_parts: Boxes drawn of each image at most.
        columns: Images in a row.

    Returns:
        The file written.
    """
    rows = -(-len(names) // columns)
    sheet = np.full((rows * _SIDE, min(columns, len(names)) * _SIDE, 3), 255, np.uint8)
    for index, name in enumerate(names):
        tile = draw_parts(read_image(Path(root) / name), cache, name, num_parts)
        top, left = index // columns * _SIDE, index % columns * _SIDE
        sheet[top : top + tile.shape[0], left : left + tile.shape[1]] = tile
    return write_picture(out, sheet)


def write_picture(path: str | os.PathLike[str], image: np.ndarray) -> Path:
    """Write an (H, W, 3) uint8 RGB image, in the format that the name's end says, whole or not at all.

    OpenCV's own writing leaves what it has written of it on a full disk, and raises nothing.
    """
    data = cv2.imencode(Path(path).suffix, cv2.cvtColor(image, cv2.COLOR_RGB2BGR))[1].tobytes()
    return write_atomically(path, lambda file: file.write(data))
