"""The images of a split, stored compactly."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from detector.cache.layout import decode_name, encode_name


class ReIDImage(NamedTuple):
    """One image of a data set.

    Attributes:
        path: Path relative to the data root, separated by ``/``; also the key in the part cache.
        vehicle_id: Vehicle id; only equality matters.
        camera_id: Camera id, or -1 if unknown.
        line: Line number in the list file, or 0 if there is no list.
    """

    path: str
    vehicle_id: int
    camera_id: int = -1
    line: int = 0


class Annotation(NamedTuple):
    """An image with its labels as the data set spells them, for display.

    Attributes:
        path: Path relative to the data root, separated by ``/``.
        vehicle: Vehicle id.
        camera: Camera id; empty if unknown.
        time: Date, or a number such as the frame of a video; empty if unknown.
    """

    path: str
    vehicle: str
    camera: str = ""
    time: str = ""


class Records:
    """The images of a split as arrays; indexing builds one dict.

    Arrays keep a million images small, and the workers of a loader share them.

    Args:
        found: Images of each role.
        labelled: Add ``vehicle_label``, which numbers the vehicles 0..N-1 in ascending order of their ids.

    >>> records = Records({"train": [ReIDImage("a.jpg", vehicle_id=7, camera_id=2)]}, labelled=True)
    >>> records[0]
    {'img_path': 'a.jpg', 'role': 'train', 'vehicle_id': 7, 'camera_id': 2, 'vehicle_label': 0}
    """

    def __init__(self, found: dict[str, list[ReIDImage]], labelled: bool) -> None:
        images = [image for role in found for image in found[role]]
        self._paths = np.array([encode_name(image.path) for image in images])
        self._roles = np.repeat(list(found), [len(found[role]) for role in found])
        self._columns = {
            "vehicle_id": np.array([image.vehicle_id for image in images], np.int64),
            "camera_id": np.array([image.camera_id for image in images], np.int64),
        }
        if labelled:
            labels = np.unique(self._columns["vehicle_id"], return_inverse=True)[1]
            self._columns["vehicle_label"] = labels

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        numbers = {name: int(column[index]) for name, column in self._columns.items()}
        path, role = decode_name(self._paths[index]), str(self._roles[index])
        return {"img_path": path, "role": role, **numbers}
