"""VRIC (Kanaci, Zhu, Gong, 'Vehicle Re-Identification in Context', GCPR 2018)."""

from __future__ import annotations

from pathlib import Path

from pgan.datasets.reid_dataset import Parser, ReIDDataset
from pgan.datasets.text import as_number, relative_path, split_fields
from pgan.registry import DATASETS

_NAMES = {"train": "train", "query": "probe", "gallery": "gallery"}


@DATASETS.register_module()
class VRIC(ReIDDataset):
    """VRIC, small and blurred vehicles from traffic videos, in the layout of its release:

        data_root
        ├── train_images/  probe_images/  gallery_images/
        ├── vric_train.txt             54,808 images of 2,811 vehicles: 'image vehicle camera'
        ├── vric_probe.txt              2,811 images, one of each of 2,811 other vehicles (query)
        └── vric_gallery.txt            2,811 images, one of each of the same vehicles

    Raises:
        DatasetError: See `ReIDDataset`.
    """

    METAINFO = {"dataset": "VRIC", "protocol": "vric"}
    PUBLISHED = {
        "vric_train.txt": (54_808, 2_811),
        "vric_probe.txt": (2_811, 2_811),
        "vric_gallery.txt": (2_811, 2_811),
    }

    def list_file(self, role: str) -> Path:
        """The role's list."""
        return Path(self.data_root) / f"vric_{_NAMES[role]}.txt"

    def parser(self, role: str) -> Parser:
        """Parse an image name, a vehicle id and a camera id."""
        folder = f"{_NAMES[role]}_images"

        def parse(line: str) -> tuple[str, int, int]:
            name, vehicle, camera = split_fields(line, ("image", "vehicle", "camera"))
            path = f"{folder}/{relative_path(name)}"
            return path, as_number(vehicle, "vehicle"), as_number(camera, "camera")

        return parse
