"""Where the images of a panel lie, for tests that look at its pixels."""

from __future__ import annotations

import numpy as np

from pgan.visualization import panels
from pgan.visualization.panels import GREEN, RED


def tile(panel: np.ndarray, index: int, columns: int) -> np.ndarray:
    """Cut one image, frame included, out of a panel of one row, page wide."""
    dpi = panels.SCREEN_DPI
    side = (panels.PAGE - 2 * panels._EDGE + panels._GAP) / columns - panels._GAP
    left = panels._EDGE + index * (side + panels._GAP)
    first = max(round((left - 0.5 * panels._GAP) * dpi), 0)
    return panel[:, first : round((left + side + 0.5 * panels._GAP) * dpi)]


def grey(panel: np.ndarray, index: int, columns: int, step: int) -> int:
    """The shade of a uniform image, to the nearest multiple of a step."""
    cut = tile(panel, index, columns)
    return step * round(int(cut[round(0.6 * len(cut)), cut.shape[1] // 2, 0]) / step)


def is_framed(panel: np.ndarray, index: int, columns: int) -> bool | None:
    """Whether the frame is green (True) or red (False); None if it is neither."""
    cut = tile(panel, index, columns)
    found = [bool((cut == colour).all(2).any()) for colour in (GREEN, RED)]
    return found[0] if any(found) else None
