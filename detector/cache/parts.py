"""The parts of one image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Parts:
    """The parts found in one image, most confident first; equal scores keep the detector's order.

    Attributes:
        boxes: (n, 4) float32 ``x1 y1 x2 y2``, pixels of the upright image, right and bottom exclusive.
        scores: (n,) float32 confidence.
        labels: (n,) int64, indices into ``classes``.
        image_size: Height and width of the image in pixels.
        classes: Names of the labels; empty where they are not known.

    Raises:
        ValueError: The arrays differ in length, or a label is not an index into ``classes``.

    Example:
        >>> import numpy as np
        >>> boxes = np.array([[2, 3, 10, 12], [20, 5, 30, 15]], np.float32)
        >>> scores, labels = np.array([0.9, 0.4], np.float32), np.array([1, 0])
        >>> parts = Parts(boxes, scores, labels, (40, 60), ("wheel", "plate"))
        >>> len(parts), parts.names
        (2, ('plate', 'wheel'))
        >>> parts[0]
        Parts(plate 0.90 [2 3 10 12], image 40x60)
        >>> parts[:1] == parts.first(1)
        True
    """

    boxes: np.ndarray
    scores: np.ndarray
    labels: np.ndarray
    image_size: tuple[int, int]
    classes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        shapes = self.boxes.shape, self.scores.shape, self.labels.shape
        count = len(self.scores)
        if shapes != ((count, 4), (count,), (count,)):
            raise ValueError(
                "parts need boxes (n, 4), scores (n,) and labels (n,), got shapes "
                f"{', '.join(map(str, shapes))}"
            )
        if self.classes and count:
            lowest, highest = int(self.labels.min()), int(self.labels.max())
            if lowest < 0 or highest >= len(self.classes):
                label = lowest if lowest < 0 else highest
                raise ValueError(f"label {label} is not one of the {len(self.classes)} classes")

    def __len__(self) -> int:
        return len(self.scores)

    def __getitem__(self, index: int | slice | np.ndarray) -> Parts:
        """Return some of the parts: one by its index, or several by a slice, indices or a mask."""
        if isinstance(index, int | np.integer):
            index = np.array([index])
        boxes, scores, labels = self.boxes[index], self.scores[index], self.labels[index]
        return Parts(boxes, scores, labels, self.image_size, self.classes)

    def __iter__(self) -> Iterator[Parts]:
        return (self[index] for index in range(len(self)))

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Parts):
            return NotImplemented
        return (
            self.image_size == other.image_size
            and self.classes == other.classes
            and np.array_equal(self.boxes, other.boxes)
            and np.array_equal(self.scores, other.scores)
            and np.array_equal(self.labels, other.labels)
        )

    __hash__ = None  # type: ignore[assignment]  # arrays have no hash

    def __repr__(self) -> str:
        names = self.names if self.classes else self.labels.tolist()
        found = (
            f"{name} {score:.2f} [{' '.join(f'{edge:g}' for edge in box)}], "
            for name, score, box in zip(names, self.scores, self.boxes)
        )
        height, width = self.image_size
        return f"Parts({''.join(found)}image {height}x{width})"

    @property
    def names(self) -> tuple[str, ...]:
        """Class name of each part."""
        return tuple(self.classes[label] for label in self.labels)

    def first(self, number: int) -> Parts:
        """Return the most confident parts, at most ``number``."""
        return self[:number]

    def slots(self, number: int) -> np.ndarray:
        """Return the boxes of the most confident parts, padded with empty slots.

        Args:
            number: D, the number of slots.

        Returns:
            (number, 4) float32; empty slots are zero.
        """
        slots = np.zeros((number, 4), np.float32)
        slots[: len(self)] = self.boxes[:number]
        return slots
