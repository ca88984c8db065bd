"""Pictures of noise for works that are to be killed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from detector.common.files import write_atomically


def png(rng: np.random.Generator, side: int, values: int = 256) -> bytes:
    """A square picture of noise below ``values``."""
    return cv2.imencode(".png", rng.integers(0, values, (side, side, 3), np.uint8))[1].tobytes()


def write_once(path: Path, data: bytes) -> None:
    """Write a file that is not there yet."""
    if not path.is_file():
        write_atomically(path, lambda file: file.write(data))
