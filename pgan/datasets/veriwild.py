"""VERI-Wild (Lou et al., 'A Large-Scale Dataset for Vehicle Re-Identification in the Wild', CVPR 2019)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pgan.datasets.errors import DatasetError
from pgan.datasets.records import Annotation
from pgan.datasets.reid_dataset import Parser, ReIDDataset
from pgan.datasets.text import as_number, image_path, read_lines, split_fields
from pgan.registry import DATASETS

UNKNOWN = "unknown"

_DATE = re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d")


@DATASETS.register_module()
class VERIWild(ReIDDataset):
    """VERI-Wild in the layout of its release:

        data_root
        ├── images/                    <vehicle>/<image>.jpg
        └── train_test_split/          '20342/209528': vehicle/image
            ├── train_list.txt         277,797 images of 30,671 vehicles
            ├── test_3000.txt           38,861 images, the gallery of the small test
            ├── test_3000_query.txt      3,000 images, one of each vehicle, not in the gallery
            ├── test_5000.txt  test_5000_query.txt        64,389 and 5,000, medium
            ├── test_10000.txt  test_10000_query.txt     128,517 and 10,000, large
            └── vehicle_info.txt       header 'id/image;Camera ID;Time;Model;Type;Color'

    Camera ids come from ``vehicle_info.txt``; copies of it without the time or the header are accepted.
    Results with and without camera ids are not comparable: junk images (same vehicle and camera as the query)
    can be removed from the ranking only if the cameras are known.

    Args:
        test_size: Number of vehicles in the test lists: 3000 (the default), 5000 or 10000.
        cameras: The file with the camera ids, relative to ``data_root``. ``'unknown'`` omits them and appends
            ``-without-cameras`` to the name of the protocol.

    Raises:
        DatasetError: See `ReIDDataset`; also if the camera file is missing or lacks an image.
    """

    METAINFO = {"dataset": "VERI-Wild", "protocol": "veriwild-small"}
    TEST_SIZES = {3000: "veriwild-small", 5000: "veriwild-medium", 10000: "veriwild-large"}
    PUBLISHED = {
        "train_list.txt": (277_797, 30_671),
        "test_3000.txt": (38_861, 3_000),
        "test_3000_query.txt": (3_000, 3_000),
        "test_5000.txt": (64_389, 5_000),
        "test_5000_query.txt": (5_000, 5_000),
        "test_10000.txt": (128_517, 10_000),
        "test_10000_query.txt": (10_000, 10_000),
    }

    def __init__(
        self,
        data_root: str,
        *args: Any,
        cameras: str = "train_test_split/vehicle_info.txt",
        **kwargs: Any,
    ) -> None:
        self.cameras = cameras
        super().__init__(data_root, *args, **kwargs)

    def protocol(self) -> str:
        """The protocol of the test size, with a suffix if cameras are unknown."""
        without = "-without-cameras" if self.cameras == UNKNOWN else ""
        return super().protocol() + without

    def list_file(self, role: str) -> Path:
        """The training list, or the query or gallery list of ``test_size`` vehicles."""
        names = {"train": "train_list", "query": f"test_{self.test_size}_query"}
        name = names.get(role, f"test_{self.test_size}")
        return Path(self.data_root) / "train_test_split" / f"{name}.txt"

    def parser(self, role: str) -> Parser:
        """Parse ``vehicle/image`` and look up the camera id."""
        known = self.cameras != UNKNOWN
        file = Path(self.data_root) / self.cameras
        cameras = self._read_cameras(file) if known else {}

        def parse(line: str) -> tuple[str, int, int]:
            (name,) = split_fields(line, ("vehicle/image",))
            path = image_path("images", name)
            camera = cameras.get(name.removesuffix(".jpg"), -1)
            if known and camera < 0:
                raise DatasetError(f"{file} has no camera of {name!r}", "no camera")
            return path, as_number(name.partition("/")[0], "vehicle"), camera

        return parse

    def annotations(self, role: str) -> Iterator[Annotation]:
        """The images, with the time from the camera file; copies of that file may lack it."""
        times = {}
        if self.cameras != UNKNOWN:
            for _, text in read_lines(Path(self.data_root) / self.cameras, errors="replace"):
                image, _, time, *_ = [*text.split(";"), "", ""]
                name = f"images/{image.removesuffix('.jpg')}.jpg"
                times[name] = time if _DATE.fullmatch(time) else ""
        for known in super().annotations(role):
            yield known._replace(time=times.get(known.path, ""))

    def _read_cameras(self, file: Path) -> dict[str, int]:
        """Read the camera id of each ``vehicle/image``."""
        if not file.is_file():
            raise DatasetError(
                f"{file}: is not there, and without the camera ids no image is junk: get it with the data "
                f"set, or set cameras='{UNKNOWN}' to do without, under another protocol's name",
                "unreadable file",
            )
        cameras = {}
        # Models and colours may be in any encoding, but they are not used.
        for line, text in read_lines(file, errors="replace"):
            image, _, rest = text.partition(";")
            camera = rest.partition(";")[0].strip()
            if line == 1 and not camera.isdigit():
                continue  # the header
            try:
                cameras[image] = as_number(camera, "camera")
            except DatasetError as error:
                self.on_fault(DatasetError(f"{file}:{line}: {error}", error.kind))
        return cameras
