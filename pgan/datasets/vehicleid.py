"""VehicleID (Liu et al., 'Deep Relative Distance Learning', CVPR 2016), of Peking University."""

from __future__ import annotations

from pathlib import Path

from pgan.datasets.reid_dataset import Parser, ReIDDataset
from pgan.datasets.text import as_number, image_path, split_fields
from pgan.registry import DATASETS


@DATASETS.register_module()
class VehicleID(ReIDDataset):
    """VehicleID in the layout of its release:

        data_root
        ├── image/                     0279029.jpg
        └── train_test_split/          '0279029 23781': image, vehicle
            ├── train_list.txt         113,346 images of 13,164 vehicles
            ├── test_list_800.txt        6,493 images, the paper's small test
            ├── test_list_1600.txt      13,377 images, medium
            ├── test_list_2400.txt      19,777 images, large
            └── test_list_3200.txt  test_list_6000.txt  test_list_13164.txt

    There are no camera ids, so no image is junk. The protocol draws one image of each vehicle at random as
    the gallery and uses the others as queries.

    Args:
        test_size: Number of vehicles in the test list: 800 (the default), 1600, 2400, 3200, 6000 or 13164.

    Raises:
        DatasetError: See `ReIDDataset`.
    """

    METAINFO = {"dataset": "VehicleID", "protocol": "vehicleid-800"}
    TEST_ROLES = ("pool",)
    TEST_SIZES = {size: f"vehicleid-{size}" for size in (800, 1600, 2400, 3200, 6000, 13164)}
    # Papers state 110,178 training images of 13,134 vehicles, from before the lists were revised.
    PUBLISHED = {
        "train_list.txt": (113_346, 13_164),
        "test_list_800.txt": (6_493, 800),
        "test_list_1600.txt": (13_377, 1_600),
        "test_list_2400.txt": (19_777, 2_400),
        "test_list_3200.txt": (None, 3_200),
        "test_list_6000.txt": (None, 6_000),
        "test_list_13164.txt": (108_221, 13_164),  # all 221,567 of 26,328 minus training
    }

    def list_file(self, role: str) -> Path:
        """The training list, or the test list of ``test_size`` vehicles."""
        name = "train_list.txt" if role == "train" else f"test_list_{self.test_size}.txt"
        return Path(self.data_root) / "train_test_split" / name

    def parser(self, role: str) -> Parser:
        """Parse an image name and a vehicle id."""

        def parse(line: str) -> tuple[str, int, int]:
            name, vehicle = split_fields(line, ("image", "vehicle"))
            return image_path("image", name), as_number(vehicle, "vehicle"), -1

        return parse
