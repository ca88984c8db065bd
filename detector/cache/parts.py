"""The parts of one image."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Parts:
    """The parts found in one image, most confident first; ties keep the detector's order.

    Attributes:
        boxes: (n, 4) float32 ``x1 y1 x2 y2``, pixels of the upright image, right and bottom
            exclusive.
        scores: (n,) float32 confidence.
        labels: (n,) int64 index into the cache's classes.
        image_size: Height and width of the image in pixels.
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    image_size: tuple[int, int]

    def __len__(self) -> int:
        return len(self.boxes)

    def first(self, number: int) -> Parts:
        """The most confident of them, at most that many."""
        kept = slice(number)
        return Parts(self.boxes[kept], self.scores[kept], self.labels[kept], self.image_size)

    def slots(self, number: int) -> np.ndarray:
        """(number, 4) float32 boxes of the most confident; empty slots are zero."""
        slots = np.zeros((number, 4), np.float32)
        slots[: len(self)] = self.boxes[:number]
        return slots
