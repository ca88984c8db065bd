"""The images of a split, kept small."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from detector.cache.layout import decode_name, encode_name


class ReIDImage(NamedTuple):
    """One line of a data set.

    Attributes:
        path: Relative to the data root, with ``/``; the key of the part cache.
        vehicle_id: Identity; only equality matters.
        camera_id: Camera, or -1 where it is not known.
        line: Where it is listed, 0 where there is no list.
    """

    path: str
    vehicle_id: int
    camera_id: int = -1
    line: int = 0


class Annotation(NamedTuple):
    """An image with its labels as the data set's owners write them, to be shown to people.

    Attributes:
        path: Relative to the data root, with ``/``.
        vehicle: Identity.
        camera: Camera, empty where it is not known.
        time: When it was taken, a date or a number such as a video's frame; empty where it is not known.
    """

    path: str
    vehicle: str
    camera: str = ""
    time: str = ""


class Records:
    """Images as arrays that give a dict each when asked: a million fit, and loader workers share them.

    Args:
        found: Images of each role.
        labelled: Number the vehicles 0..N-1 in ascending order of their ids, as ``vehicle_label``.
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
