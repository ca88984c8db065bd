"""How the parts of one image lie in a record: the codec of part caches and galleries."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from detector.cache.parts import Parts

FAILED = -1  # the count of an image that could not be read


def record_dtype(max_parts: int, mask_size: Sequence[int] | None = None) -> np.dtype:
    """Return the layout of a record: little-endian and packed; empty slots are zero.

    Args:
        max_parts: Slots of a record.
        mask_size: Rows and columns of the masks, for records of masks in place of boxes.

    >>> record_dtype(16).itemsize
    362
    """
    if mask_size is not None:
        mask_bytes = -(-mask_size[0] * mask_size[1] // 8)
        return np.dtype([("masks", "u1", (max_parts, mask_bytes)), ("count", "<i2")])
    return np.dtype(
        [
            ("boxes", "<f4", (max_parts, 4)),
            ("scores", "<f4", (max_parts,)),
            ("labels", "<i2", (max_parts,)),
            ("count", "<i2"),
            ("size", "<i4", (2,)),
        ]
    )


def write_parts(record: np.void, parts: Parts) -> None:
    """Write parts into a record of zeros, in their order.

    Args:
        record: One record of `record_dtype`.
        parts: At most as many parts as the record has slots.
    """
    count = len(parts)
    record["boxes"][:count] = parts.boxes
    record["scores"][:count] = parts.scores
    record["labels"][:count] = parts.labels
    record["count"], record["size"] = count, parts.image_size


def read_parts(
    record: np.void, classes: tuple[str, ...] = (), num_parts: int | None = None
) -> Parts:
    """Read the parts of a record; the arrays are copies.

    Args:
        record: One record of `record_dtype`, of an image that could be read.
        classes: Names of the labels.
        num_parts: Parts to read at most; None for all.

    >>> record = np.zeros((), record_dtype(2))
    >>> wheel = Parts(np.ones((1, 4), "f4"), np.ones(1, "f4"), np.zeros(1, int), (4, 6), ("wheel",))
    >>> write_parts(record, wheel)
    >>> read_parts(record, ("wheel",)) == wheel
    True
    """
    count = int(record["count"])
    count = count if num_parts is None else min(count, num_parts)
    height, width = record["size"].tolist()
    return Parts(
        np.array(record["boxes"][:count]),
        np.array(record["scores"][:count]),
        record["labels"][:count].astype(np.int64),
        (height, width),
        classes,
    )
