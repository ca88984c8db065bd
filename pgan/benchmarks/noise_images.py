"""Pictures to measure with: blurred noise as JPEGs, which cost as much to decode as photographs."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

_BLUR, _QUALITY = 12, 90


def draw_jpegs(
    root: Path, number: int, sides: tuple[int, int] = (200, 500)
) -> dict[str, tuple[int, int]]:
    """Write JPEGs into a folder that is there, seed 0.

    Args:
        root: The folder.
        number: How many.
        sides: Pixels a side has, from and below.

    Returns:
        File name -> height and width.
    """
    rng = np.random.default_rng(0)
    sizes = {}
    for index in range(number):
        height, width = (int(side) for side in rng.integers(*sides, 2))
        coarse = rng.integers(0, 256, (height // _BLUR, width // _BLUR, 3), np.uint8)
        picture = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        name = f"{index:05}.jpg"
        cv2.imwrite(str(root / name), picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
        sizes[name] = (height, width)
    return sizes
