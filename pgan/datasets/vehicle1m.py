"""Vehicle-1M (Guo et al., 'Learning Coarse-to-Fine Structured Feature Embedding', AAAI 2018)."""

from __future__ import annotations

from pathlib import Path

from mmengine.logging import print_log

from pgan.datasets.reid_dataset import Parser, ReIDDataset
from pgan.datasets.text import as_number, image_path, split_fields
from pgan.registry import DATASETS


@DATASETS.register_module()
class Vehicle1M(ReIDDataset):
    """Vehicle-1M, in the layout that its users describe; we had no access to the release:

        data_root
        ├── image/                     000001/000001.jpg
        └── train-test-split/          or train_test_split/; '000001/000001.jpg 1 17': path, vehicle, model
            ├── train_list.txt         844,571 images of 50,000 vehicles
            ├── test_1000.txt           16,123 images, the paper's small test
            ├── test_2000.txt           32,539 images, medium
            ├── test_3000.txt           49,259 images, large
            └── test_5527.txt           5,527 vehicles; the file name is assumed

    The reader therefore accepts variants: a path may begin with ``image/`` or lack ``.jpg``, and fields after
    the vehicle are ignored. There are no camera ids. The protocol is that of VehicleID.

    Args:
        test_size: Number of vehicles in the test list: 1000 (the default), 2000, 3000 or 5527.

    Raises:
        DatasetError: See `ReIDDataset`.
    """

    METAINFO = {"dataset": "Vehicle-1M", "protocol": "vehicle1m-1000"}
    TEST_ROLES = ("pool",)
    TEST_SIZES = {size: f"vehicle1m-{size}" for size in (1000, 2000, 3000, 5527)}
    PUBLISHED = {
        "train_list.txt": (844_571, 50_000),
        "test_1000.txt": (16_123, 1_000),
        "test_2000.txt": (32_539, 2_000),
        "test_3000.txt": (49_259, 3_000),
        "test_5527.txt": (None, 5_527),
    }

    def list_file(self, role: str) -> Path:
        """The training list, or the test list of ``test_size`` vehicles."""
        name = "train_list.txt" if role == "train" else f"test_{self.test_size}.txt"
        folders = [Path(self.data_root) / f"train{sign}test{sign}split" for sign in "-_"]
        return next((folder for folder in folders if folder.is_dir()), folders[0]) / name

    def parser(self, role: str) -> Parser:
        """Parse a path and a vehicle id, and ignore further fields."""
        print_log(
            f"{self.list_file(role)}: read as 'path vehicle [model]', the path below image/",
            logger="current",
        )

        def parse(line: str) -> tuple[str, int, int]:
            name, vehicle = split_fields(line, ("path", "vehicle"), more=True)[:2]
            path = image_path("image", name.removeprefix("image/"))
            return path, as_number(vehicle, "vehicle"), -1

        return parse
