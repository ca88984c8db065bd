"""Several data sets, combined for training."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.dataset import ConcatDataset

from pgan.datasets.errors import DatasetError
from pgan.registry import DATASETS


@DATASETS.register_module()
class ReIDUnion(ConcatDataset):
    """The training images of several data sets, with separate vehicles and cameras.

    Each member has its own ``data_root`` and ``part_cache``; a setting that it omits is taken from the union.
    No two members share a vehicle. The vehicle id of a sample is its class index.

    Args:
        datasets: Settings of the members, such as ``dict(type='VeRi776', data_root='data/VeRi')``.
        pipeline: Transforms of all members.
        num_parts: D, the number of part slots of all members.
        test_size: Ignored. It belongs to the test set, which shares this key in the config.
        lazy_init: Read the members when they are first used.
        shared: Default settings of the members.

    Raises:
        DatasetError: There is no member, or one of them is a test set. See also `ReIDDataset`.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     members = [{"type": name, "data_root": folder} for name in ("VeRi776", "VRIC")]
    ...     ReIDUnion(members, lazy_init=True).metainfo
    {'dataset': 'VeRi-776 + VRIC'}
    """

    def __init__(
        self,
        datasets: Sequence[dict],
        pipeline: Sequence[dict] = (),
        num_parts: int = 0,
        test_size: int | None = None,
        lazy_init: bool = False,
        **shared: Any,
    ) -> None:
        if not datasets:
            raise DatasetError("datasets is empty: a union needs one data set or more to train on")
        common = {"pipeline": pipeline, "num_parts": num_parts, "lazy_init": lazy_init}
        members = [DATASETS.build({**shared, **member, **common}) for member in datasets]
        for member in members:
            if member.split != "train":
                raise DatasetError(
                    f"{member.data_root}: split='{member.split}': a union is to train on; test on one data "
                    "set at a time"
                )
        # mmengine requires the metainfo of all members to be equal.
        keys = sorted({key for member in members for key in member.metainfo})
        super().__init__(members, lazy_init=lazy_init, ignore_keys=keys)
        self._metainfo = {"dataset": " + ".join(m.metainfo["dataset"] for m in members)}

    @property
    def data_root(self) -> str:
        """The folders of the members, for messages."""
        return " + ".join(member.data_root for member in self.datasets)

    def full_init(self) -> None:
        """Read the members and number their vehicles and cameras consecutively."""
        if self._fully_initialized:
            return
        super().full_init()
        vehicles = [member.num_vehicles for member in self.datasets]
        cameras = [max(member.column("camera_id")) + 1 for member in self.datasets]
        self._first_vehicle = np.cumsum([0, *vehicles]).tolist()
        self._first_camera = np.cumsum([0, *cameras]).tolist()

    @property
    def num_vehicles(self) -> int:
        """Number of vehicles in all members."""
        self.full_init()
        return self._first_vehicle[-1]

    @property
    def vehicle_labels(self) -> np.ndarray:
        """(N,) int64 class index of each image, for the PK sampler."""
        self.full_init()
        labels = zip(self.datasets, self._first_vehicle)
        return np.concatenate([member.vehicle_labels + first for member, first in labels])

    def image_paths(self) -> list[str]:
        """Every distinct image; each path starts with the data root of its member."""
        return [
            f"{member.data_root.rstrip('/')}/{path}"
            for member in self.datasets
            for path in member.image_paths()
        ]

    def get_data_info(self, idx: int) -> dict:
        """Return a member's record with the union's vehicle and camera."""
        self.full_init()
        return self._info(*self._get_ori_dataset_idx(idx))

    def _info(self, number: int, index: int) -> dict:
        info = self.datasets[number].get_data_info(index)
        info["vehicle_label"] += self._first_vehicle[number]
        info["vehicle_id"] = info["vehicle_label"]
        if info["camera_id"] >= 0:
            info["camera_id"] += self._first_camera[number]
        return info

    def __getitem__(self, idx: int) -> Any:
        self.full_init()
        number, index = self._get_ori_dataset_idx(idx)
        member = self.datasets[number]
        return member.first_readable(index, lambda i: member.pipeline(self._info(number, i)))
