"""A user's own vehicles, listed in a CSV file."""

from __future__ import annotations

import csv
from pathlib import Path

from pgan.datasets.reid_dataset import (
    DatasetError,
    ReIDDataset,
    ReIDImage,
    refuse_duplicates,
    relative_path,
)
from pgan.datasets.text import read_text
from pgan.registry import DATASETS

_ROLES = ("train", "query", "gallery")


@DATASETS.register_module()
class CSVDataset(ReIDDataset):
    """Images listed as ``path,vehicle_id,camera_id,split``.

    ::

        path,vehicle_id,camera_id,split
        images/0001.jpg,taxi_7,1,train
        images/0002.jpg,bus_3,1,query
        images/0003.jpg,bus_3,2,gallery

    ``path`` is relative to ``data_root``; ``split`` is train, query or gallery. Vehicle and camera ids are
    any text: they are numbered in sorted order over the whole file. ``camera_id`` may be left out, as a
    column or in a line: an unknown camera makes no image junk.

    Args:
        index: The CSV file, relative to ``data_root``.

    Raises:
        DatasetError: A column, a value or a split is missing or unknown; file and line are named.
    """

    def __init__(self, data_root: str, *args, index: str = "index.csv", **kwargs) -> None:
        self.index = index
        super().__init__(data_root, *args, **kwargs)

    def read_split(self, role: str) -> list[ReIDImage]:
        """Read the images of one role, in the order of the file."""
        rows = self._read_rows()
        vehicles = {name: i for i, name in enumerate(sorted({r["vehicle_id"] for _, r in rows}))}
        cameras = {
            name: i for i, name in enumerate(sorted({r["camera_id"] for _, r in rows} - {""}))
        }
        return refuse_duplicates(
            (
                where,
                ReIDImage(
                    row["path"], vehicles[row["vehicle_id"]], cameras.get(row["camera_id"], -1)
                ),
            )
            for where, row in rows
            if row["split"] == role
        )

    def _read_rows(self) -> list[tuple[str, dict[str, str]]]:
        path = Path(self.data_root) / self.index
        reader = csv.DictReader(read_text(path).splitlines(), skipinitialspace=True, strict=True)
        columns = [name.strip() for name in reader.fieldnames or []]
        absent = {"path", "vehicle_id", "split"} - set(columns)
        if absent:
            raise DatasetError(
                f"{path}:1: column {sorted(absent)[0]!r} is missing: the first line must read "
                "path,vehicle_id,camera_id,split (camera_id may be left out)"
            )
        reader.fieldnames = columns
        rows = []
        try:
            for row in reader:
                where = f"{path}:{reader.line_num}"
                rows.append((where, _checked(row, where)))
        except csv.Error as error:
            raise DatasetError(f"{path}:{reader.line_num}: is not CSV ({error})") from error
        return rows


def _checked(row: dict[str | None, str | None], where: str) -> dict[str, str]:
    """Strip a row's values and refuse a row that lacks one."""
    if None in row:
        raise DatasetError(f"{where}: has more values than there are columns")
    values = {name or "": (value or "").strip() for name, value in row.items()}
    values.setdefault("camera_id", "")
    if not values["vehicle_id"]:
        raise DatasetError(f"{where}: vehicle_id is empty")
    if values["split"] not in _ROLES:
        raise DatasetError(
            f"{where}: split {values['split']!r} is unknown: use train, query or gallery"
        )
    values["path"] = relative_path(values["path"], where)
    return values
