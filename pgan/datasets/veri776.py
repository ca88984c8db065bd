"""VeRi-776 (Liu et al., ECCV 2016, IEEE T-MM 2018), and data sets in its layout."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

from pgan.datasets.errors import DatasetError, refuse
from pgan.datasets.records import Annotation, ReIDImage
from pgan.datasets.reid_dataset import Parser, ReIDDataset
from pgan.datasets.text import read_lines, read_xml, relative_path
from pgan.registry import DATASETS

_LAYOUT = {
    "train": ("name_train.txt", "image_train", "train_label.xml"),
    "query": ("name_query.txt", "image_query", "test_label.xml"),
    "gallery": ("name_test.txt", "image_test", "test_label.xml"),
}
# Names in the release and in copies -> whether the file lists junk images, which are of the query's camera.
_INDEX_FILES = {
    "gt_image.txt": False,
    "gt_index.txt": False,
    "jk_image.txt": True,
    "jk_index.txt": True,
}


@DATASETS.register_module()
class VeRi776(ReIDDataset):
    """VeRi-776 in the layout of its release:

        data_root
        ├── image_train/  image_query/  image_test/    0002_c002_00030600_0.jpg
        ├── name_train.txt             37,778 images of 576 vehicles
        ├── name_query.txt              1,678 images of 200 other vehicles
        ├── name_test.txt              11,579 images of the same 200 vehicles
        ├── train_label.xml  test_label.xml            optional
        └── gt_image.txt  jk_image.txt                 only compared by tools/check_dataset.py

    Vehicle and camera ids come from the XML. If the XML is missing or does not list an image, they come from
    the image name (vehicle_camera_timestamp_index). If both state them, they must agree. Every query image is
    also in the gallery, where the junk rule removes it.

    Raises:
        DatasetError: See `ReIDDataset`; also if image name and XML disagree.
    """

    METAINFO = {"dataset": "VeRi-776", "protocol": "veri776"}
    # As in the release; papers also state 37,781 and 37,746 training images.
    PUBLISHED = {
        "name_train.txt": (37_778, 576),
        "name_query.txt": (1_678, 200),
        "name_test.txt": (11_579, 200),
    }

    def list_file(self, role: str) -> Path:
        """The role's list of names."""
        return Path(self.data_root) / _LAYOUT[role][0]

    def parser(self, role: str) -> Parser:
        """Vehicle and camera ids from the XML of the role, or else from the image name."""
        _, folder, xml = _LAYOUT[role]
        labels_file = Path(self.data_root) / xml
        labels = read_labels(labels_file, self.on_fault) if labels_file.is_file() else {}

        def parse(name: str) -> tuple[str, int, int]:
            return f"{folder}/{relative_path(name)}", *_identity(name, labels, labels_file)

        return parse

    def annotations(self, role: str) -> Iterator[Annotation]:
        """The images, with the frame number in their name as the time; each camera counts its own."""
        for known in super().annotations(role):
            time = re.match(r"\d+_c\d+_(\d+)", Path(known.path).name)
            yield known._replace(time=str(int(time[1]))) if time else known

    def further_faults(self, found: dict[str, list[ReIDImage]]) -> Iterator[DatasetError]:
        """Compare the lists of good matches and of junk images, if they exist, with the labels."""
        for name, junk in _INDEX_FILES.items():
            file = Path(self.data_root) / name
            if "query" in found and file.is_file():
                yield from _index_faults(file, found["query"], found["gallery"], junk)


def read_labels(
    path: Path, on_fault: Callable[[DatasetError], None] = refuse
) -> dict[str, tuple[int, int]]:
    """Read ``train_label.xml`` or ``test_label.xml``.

    Returns:
        Image name -> (vehicle id, camera id). The camera is ``cameraID``, or ``camID`` in related data
        sets.

    Raises:
        DatasetError: An item lacks its name or ids, or an image has two different labels, unless
            ``on_fault`` returns.
    """
    labels: dict[str, tuple[int, int]] = {}
    for number, item in enumerate(read_xml(path).iter("Item"), start=1):
        name, item_is = item.get("imageName"), f"{path}: item {number}"
        vehicle = _number(item.get("vehicleID"))
        camera = _number(item.get("cameraID") or item.get("camID"))
        if not name:
            on_fault(DatasetError(f"{item_is} has no imageName", "label"))
        elif vehicle is None or camera is None:
            on_fault(DatasetError(f"{item_is} ({name}) has no vehicleID and cameraID", "label"))
        elif (label := (vehicle, camera)) != labels.setdefault(name, label):
            message = f"{path}: {name} is labelled twice, as {labels[name]} and {label}"
            on_fault(DatasetError(message, "label"))
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


def _index_faults(
    file: Path, queries: list[ReIDImage], gallery: list[ReIDImage], junk: bool
) -> Iterator[DatasetError]:
    """Compare a list of 1-based gallery positions, with one line per query, with the labels."""
    positions: dict[tuple[int, int], set[str]] = defaultdict(set)
    cameras: dict[int, set[int]] = defaultdict(set)
    for position, image in enumerate(gallery, start=1):
        positions[image.vehicle_id, image.camera_id].add(str(position))
        cameras[image.vehicle_id].add(image.camera_id)
    lines = list(read_lines(file))
    if len(lines) != len(queries):
        message = f"{file}: has {len(lines)} lines for {len(queries)} queries"
        yield DatasetError(message, "index that contradicts the labels")
        return
    for (number, text), query in zip(lines, queries):
        wanted = {c for c in cameras[query.vehicle_id] if (c == query.camera_id) == junk}
        expected = set().union(*(positions[query.vehicle_id, c] for c in wanted))
        if wrong := expected ^ set(text.split()):
            yield DatasetError(
                f"{file}:{number}: gallery image {min(wrong)} of query {query.path} contradicts the labels",
                "index that contradicts the labels",
            )
