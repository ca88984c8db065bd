"""Images and annotations that the tests of the detector use."""

from __future__ import annotations

import cv2
import numpy as np

XML = """<annotation>
  <filename>{filename}</filename>
  <size><width>{width}</width><height>{height}</height><depth>3</depth></size>
{objects}</annotation>
"""
OBJECT = """  <object><name>{}</name><difficult>{}</difficult><bndbox>
    <xmin>{}</xmin><ymin>{}</ymin><xmax>{}</xmax><ymax>{}</ymax></bndbox></object>
"""


def object_xml(name: str, box: tuple, difficult: int = 0) -> str:
    return OBJECT.format(name, difficult, *box)


def paint(seed: int, size: int = 64) -> tuple[np.ndarray, np.ndarray]:
    """An image with one black disc ('wheel') and one white rectangle ('plate'), and their boxes."""
    rng = np.random.default_rng(seed)
    image = rng.integers(90, 130, (size, size, 3), dtype=np.uint8)
    x, y = (int(v) for v in rng.integers(10, size - 10, 2))
    cv2.circle(image, (x, y), 8, (0, 0, 0), -1)
    u, v = int(rng.integers(2, size - 22)), int(rng.integers(2, size - 12))
    cv2.rectangle(image, (u, v), (u + 19, v + 9), (255, 255, 255), -1)
    return image, np.array([[x - 8, y - 8, x + 9, y + 9], [u, v, u + 20, v + 10]], np.float32)
