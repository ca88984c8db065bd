"""A custom data set, listed in a CSV file."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pgan.datasets.errors import DatasetError
from pgan.datasets.records import Annotation
from pgan.datasets.reid_dataset import Parser, ReIDDataset
from pgan.datasets.text import number_names, read_text, relative_path
from pgan.registry import DATASETS

_ROLES = ("train", "query", "gallery")


@DATASETS.register_module()
class CSVDataset(ReIDDataset):
    """A custom data set, whose images are listed in a CSV file with these columns:

        path,vehicle_id,camera_id,split
        images/0001.jpg,taxi_7,1,train
        images/0002.jpg,bus_3,1,query
        images/0003.jpg,bus_3,2,gallery

    ``path`` is relative to ``data_root``; ``split`` is train, query or gallery. Vehicle and camera ids may be
    any text; they are numbered in sorted order over the whole file. ``camera_id`` is optional, as a column or
    in a single row: an image of unknown camera is never junk. An optional column ``time`` with dates or
    numbers is used by the gallery search.

    Args:
        data_root: See `ReIDDataset`, like all arguments that are not listed here.
        index: The CSV file, relative to ``data_root``.

    Raises:
        DatasetError: A column or value is missing, or a split is unknown; the message names file and line.

    >>> from tempfile import TemporaryDirectory
    >>> rows = "path,vehicle_id,camera_id,split", "a.jpg,taxi_7,1,query", "b.jpg,taxi_7,2,gallery"
    >>> with TemporaryDirectory() as folder:
    ...     _ = Path(folder, "index.csv").write_text("\\n".join(rows))
    ...     CSVDataset(folder, split="test", lazy_init=True).read_split("gallery")
    [ReIDImage(path='b.jpg', vehicle_id=0, camera_id=1, line=3)]
    """

    METAINFO = {"dataset": "CSV", "protocol": "cross-camera"}

    def __init__(self, data_root: str, *args: Any, index: str = "index.csv", **kwargs: Any) -> None:
        self.index = index
        super().__init__(data_root, *args, **kwargs)

    def list_file(self, role: str) -> Path:
        """The CSV file, for every role."""
        return Path(self.data_root) / self.index

    def entries(self, role: str) -> Iterator[tuple[int, tuple[str, int, int]]]:
        """The rows of one role, with ids numbered over the whole file."""
        rows = list(self._read_rows())
        vehicles = number_names(row["vehicle_id"] for _, row in rows)
        cameras = number_names(row["camera_id"] for _, row in rows if row["camera_id"])
        for line, row in rows:
            if row["split"] == role:
                camera = cameras.get(row["camera_id"], -1)
                yield line, (row["path"], vehicles[row["vehicle_id"]], camera)

    def parser(self, role: str) -> Parser:
        """Return the identity: `entries` has already parsed and checked the rows."""
        return lambda entry: entry

    def annotations(self, role: str) -> Iterator[Annotation]:
        """The ids as the file spells them, and the time if there is such a column."""
        rows = {row["path"]: row for _, row in self._read_rows() if row["split"] == role}
        for image in self.read_split(role):
            row = rows[image.path]
            yield Annotation(image.path, row["vehicle_id"], row["camera_id"], row.get("time", ""))

    def _read_rows(self) -> Iterator[tuple[int, dict[str, str]]]:
        path = Path(self.data_root) / self.index
        reader = csv.DictReader(read_text(path).splitlines(), skipinitialspace=True, strict=True)
        try:
            yield from self._checked_rows(path, reader)
        except csv.Error as error:
            raise DatasetError(f"{path}:{reader.line_num}: is not CSV ({error})") from error

    def _checked_rows(
        self, path: Path, reader: csv.DictReader
    ) -> Iterator[tuple[int, dict[str, str]]]:
        columns = [name.strip() for name in reader.fieldnames or []]
        absent = {"path", "vehicle_id", "split"} - set(columns)
        if absent:
            raise DatasetError(
                f"{path}:1: column {sorted(absent)[0]!r} is missing: the first line must read "
                "path,vehicle_id,camera_id,split (camera_id may be left out)"
            )
        reader.fieldnames = columns
        for row in reader:
            try:
                checked = _checked(row)
            except DatasetError as error:
                self.on_fault(DatasetError(f"{path}:{reader.line_num}: {error}", error.kind))
            else:
                yield reader.line_num, checked


def _checked(row: dict[str | None, str | None]) -> dict[str, str]:
    """Strip a row's values and refuse a row that lacks one."""
    if None in row:
        raise DatasetError("has more values than there are columns")
    values = {name or "": (value or "").strip() for name, value in row.items()}
    values.setdefault("camera_id", "")
    if not values["vehicle_id"]:
        raise DatasetError("vehicle_id is empty")
    if values["split"] not in _ROLES:
        raise DatasetError(f"split {values['split']!r} is unknown: use train, query or gallery")
    values["path"] = relative_path(values["path"])
    return values
