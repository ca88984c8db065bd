"""VeRi-776 (Liu et al., ECCV 2016, IEEE T-MM 2018), and sets in its layout."""

from __future__ import annotations

import re
from pathlib import Path

from pgan.datasets.errors import DatasetError
from pgan.datasets.reid_dataset import Parser, ReIDDataset
from pgan.datasets.text import read_xml, relative_path
from pgan.registry import DATASETS

_LAYOUT = {
    "train": ("name_train.txt", "image_train", "train_label.xml"),
    "query": ("name_query.txt", "image_query", "test_label.xml"),
    "gallery": ("name_test.txt", "image_test", "test_label.xml"),
}


@DATASETS.register_module()
class VeRi776(ReIDDataset):
    """VeRi-776 as its owners publish it.

    ::

        data_root
        ├── image_train/  image_query/  image_test/    0002_c002_00030600_0.jpg
        ├── name_train.txt  name_query.txt  name_test.txt
        └── train_label.xml  test_label.xml            optional

    Identity and camera come from the XML; an image that it does not list, and a data set without it, is
    read from its name (vehicle_camera_timestamp_index). Where both speak they must agree. Every query is
    also in the gallery, as the same image: the junk rule removes it.

    Raises:
        DatasetError: See :class:`ReIDDataset`; also when name and XML disagree.
    """

    METAINFO = {"dataset": "VeRi-776", "protocol": "veri776"}
    # As in the data set's own release; papers also count 37,781 and 37,746 training images.
    PUBLISHED = {
        "name_train.txt": (37_778, 576),
        "name_query.txt": (1_678, 200),
        "name_test.txt": (11_579, 200),
    }

    def list_file(self, role: str) -> Path:
        """The role's list of names."""
        return Path(self.data_root) / _LAYOUT[role][0]

    def parser(self, role: str) -> Parser:
        """Identity and camera from the role's XML, or else from the name."""
        _, folder, xml = _LAYOUT[role]
        labels_file = Path(self.data_root) / xml
        labels = read_labels(labels_file) if labels_file.is_file() else {}

        def parse(name: str) -> tuple[str, int, int]:
            return f"{folder}/{relative_path(name)}", *_identity(name, labels, labels_file)

        return parse


def read_labels(path: Path) -> dict[str, tuple[int, int]]:
    """Read ``train_label.xml`` or ``test_label.xml``.

    Returns:
        Image name → (vehicle id, camera id). Both ``cameraID`` and the relatives' ``camID`` are read.

    Raises:
        DatasetError: An item lacks its name or ids, or an image is labelled twice differently.
    """
    labels: dict[str, tuple[int, int]] = {}
    for number, item in enumerate(read_xml(path).iter("Item"), start=1):
        name = item.get("imageName")
        camera = item.get("cameraID") or item.get("camID")
        if not name:
            raise DatasetError(f"{path}: item {number} has no imageName")
        label = _number(item.get("vehicleID")), _number(camera)
        if None in label:
            raise DatasetError(f"{path}: item {number} ({name}) has no vehicleID and cameraID")
        if labels.setdefault(name, label) != label:
            raise DatasetError(f"{path}: {name} is labelled twice, as {labels[name]} and {label}")
    return labels


def _number(text: str | None) -> int | None:
    match = re.fullmatch(r"c?(\d+)", (text or "").strip())
    return int(match[1]) if match else None


def _identity(name: str, labels: dict[str, tuple[int, int]], xml: Path) -> tuple[int, int]:
    parts = re.match(r"(\d+)_c(\d+)(?:_|\.)", Path(name).name)
    named = (int(parts[1]), int(parts[2])) if parts else None
    label = labels.get(Path(name).name, named)
    if label is None:
        raise DatasetError(
            f"{name!r} is not named vehicle_cCAMERA_… and {xml.name} does not list it"
        )
    if named is not None and named != label:
        raise DatasetError(f"{name} says vehicle, camera {named}, but {xml} says {label}")
    return label
