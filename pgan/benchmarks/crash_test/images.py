"""Noise images for crash tests."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from detector.common.files import write_atomically


def png(rng: np.random.Generator, side: int, values: int = 256) -> bytes:
    """Return a square PNG of noise with values below ``values``."""
    return cv2.imencode(".png", rng.integers(0, values, (side, side, 3), np.uint8))[1].tobytes()


def write_once(path: Path, data: bytes) -> None:
    """Write a file unless it exists."""
    if not path.is_file():
        write_atomically(path, lambda file: file.write(data))
