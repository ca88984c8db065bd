"""A custom data set with one folder per vehicle."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from detector.common.images import IMAGE_SUFFIXES
from pgan.datasets.errors import DatasetError
from pgan.datasets.records import Annotation
from pgan.datasets.reid_dataset import Parser, ReIDDataset
from pgan.datasets.text import number_names
from pgan.registry import DATASETS

_FOLDERS = {"train": "train", "pool": "test", "query": "query", "gallery": "gallery"}


@DATASETS.register_module()
class FolderDataset(ReIDDataset):
    """A custom data set with one folder per vehicle:

        data_root
        ├── train/      bus_3/0001.jpg   taxi_7/a.jpg ...
        └── test/       bus_9/0001.jpg ...                 or query/ and gallery/

    The protocol ``one-gallery-image`` divides the images of ``test/`` into query and gallery; ``query/`` and
    ``gallery/`` are used as they are. If none of these folders exists, every folder in ``data_root`` is a
    vehicle, and both training and testing use all of them. Vehicles are numbered in sorted order of their
    names over all folders. Cameras are unknown, so no image is junk. Names that begin with a dot are
    ignored.

    Raises:
        DatasetError: A folder is missing or contains no image.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "train", "bus_3").mkdir(parents=True)
    ...     Path(folder, "train", "bus_3", "0001.jpg").touch()
    ...     FolderDataset(folder, lazy_init=True).read_split("train")
    [ReIDImage(path='train/bus_3/0001.jpg', vehicle_id=0, camera_id=-1, line=0)]
    """

    METAINFO = {"dataset": "folders", "protocol": "cross-camera"}

    def roles(self) -> tuple[str, ...]:
        """Query and gallery if one of these folders exists, else a pool."""
        listed = self._has("query") or self._has("gallery")
        return super().roles() if self.split == "train" or listed else ("pool",)

    def protocol(self) -> str:
        """``cross-camera`` if query and gallery are separate folders, else ``one-gallery-image``."""
        listed = self._has("query") or self._has("gallery")
        return super().protocol() if listed else "one-gallery-image"

    def list_file(self, role: str) -> Path:
        """The folder of the role's vehicles."""
        root = Path(self.data_root)
        return root / _FOLDERS[role] if any(map(self._has, _FOLDERS)) else root

    def entries(self, role: str) -> Iterator[tuple[int, tuple[str, int, int]]]:
        """Every image of the role, in sorted order; the line number is 0, since there is no list."""
        here = self.list_file(role)
        others = [self.list_file(other) for other in _FOLDERS if self._has(other)]
        vehicles = number_names(
            name for folder in {here, *others} for name in _names(folder, folders=True)
        )
        prefix = "" if here == Path(self.data_root) else f"{here.name}/"
        for vehicle in _names(here, folders=True):
            for name in _names(here / vehicle, folders=False):
                yield 0, (f"{prefix}{vehicle}/{name}", vehicles[vehicle], -1)

    def parser(self, role: str) -> Parser:
        """Return the identity: entries are parsed already."""
        return lambda entry: entry

    def annotations(self, role: str) -> Iterator[Annotation]:
        """The images, with the folder name as the vehicle."""
        for known in super().annotations(role):
            yield known._replace(vehicle=Path(known.path).parent.name)

    def _has(self, role: str) -> bool:
        return (Path(self.data_root) / _FOLDERS[role]).is_dir()


def _names(folder: Path, folders: bool) -> list[str]:
    """Sorted names of the folders, or of the images, in a folder."""
    try:
        with os.scandir(folder) as entries:
            return sorted(
                entry.name
                for entry in entries
                if not entry.name.startswith(".")
                and entry.is_dir() == folders
                and (folders or entry.name.lower().endswith(IMAGE_SUFFIXES))
            )
    except OSError as error:
        message = f"{folder}: {error.strerror}: check data_root"
        raise DatasetError(message, "unreadable file") from error
