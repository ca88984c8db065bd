"""A user's own vehicles, a folder each."""

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
    """Images in a folder per vehicle.

    ::

        data_root
        ├── train/      bus_3/0001.jpg   taxi_7/a.jpg ...
        └── test/       bus_9/0001.jpg ...                 or query/ and gallery/

    The images of ``test/`` are divided by the protocol ``one-gallery-image``, those of ``query/`` and
    ``gallery/`` are taken as they lie. Where there is none of these folders, the vehicles' folders are
    those of ``data_root`` itself, to train on and to test on. Vehicles are numbered in sorted order of
    their names over all folders; cameras are unknown, so that no image is junk. Names that begin with a
    dot are passed over.

    Raises:
        DatasetError: A folder is missing, or holds no image.
    """

    METAINFO = {"dataset": "folders", "protocol": "cross-camera"}

    def roles(self) -> tuple[str, ...]:
        """Query and gallery where there is such a folder, else a pool."""
        listed = self._has("query") or self._has("gallery")
        return super().roles() if self.split == "train" or listed else ("pool",)

    def protocol(self) -> str:
        """As the folders are."""
        listed = self._has("query") or self._has("gallery")
        return super().protocol() if listed else "one-gallery-image"

    def list_file(self, role: str) -> Path:
        """The folder of the role's vehicles."""
        root = Path(self.data_root)
        return root / _FOLDERS[role] if any(map(self._has, _FOLDERS)) else root

    def entries(self, role: str) -> Iterator[tuple[int, tuple[str, int, int]]]:
        """Every image of the role, in sorted order; there are no lines to count."""
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
        """Nothing is left to do."""
        return lambda entry: entry

    def annotations(self, role: str) -> Iterator[Annotation]:
        """Vehicles by the names of their folders."""
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
