"""Find all faults in the data sets of a config; loading a data set stops at the first one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from pgan.datasets.disk import missing_images, unreadable_images
from pgan.datasets.errors import DatasetError
from pgan.datasets.records import ReIDImage
from pgan.datasets.reid_dataset import ReIDDataset
from pgan.datasets.reid_union import ReIDUnion
from pgan.registry import DATASETS

LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")


@dataclass
class CheckReport:
    """What was read, and the faults found in it.

    Attributes:
        found: One line for each role of each data set: its counts, and the published ones if they differ.
        images: Number of distinct images that were looked for.
        faults: Kind of fault -> its distinct messages, in the order in which they were found.
    """

    found: list[str] = field(default_factory=list)
    images: int = 0
    faults: dict[str, dict[str, None]] = field(default_factory=dict)

    def note(self, error: DatasetError) -> None:
        """Record a fault. A fault in a file that several roles share is recorded once."""
        self.faults.setdefault(error.kind, {})[str(error)] = None


class _Part(NamedTuple):
    """One role of one data set."""

    dataset: ReIDDataset
    role: str
    images: list[ReIDImage]

    def where(self, image: ReIDImage) -> str:
        return self.dataset.where(self.role, image)


def check_config(
    cfg: Mapping[str, Any], decode: bool = False, workers: int = 2, progress: bool = False
) -> CheckReport:
    """Read all data sets that a config trains, validates and tests on, without their part caches.

    Faults are malformed or duplicate lines, missing images, a camera id that is the same for all images, a
    vehicle that is in both the training and the test split, and a contradiction between the files of a data
    set. A count that differs from the published one is reported but is not a fault.

    Args:
        cfg: A config loaded by `pgan.apis.load_config`.
        decode: Also decode every image.
        workers: Number of decoding threads.
        progress: Show a progress bar while decoding.

    Raises:
        DatasetError: A data set cannot be opened, because its folder or one of its options is wrong.
    """
    report = CheckReport()
    parts: list[_Part] = []
    for dataset in unread_datasets(cfg):
        dataset.on_fault = report.note
        found = dict(_read(dataset, report))
        parts += [_Part(dataset, role, images) for role, images in found.items()]
        for error in (*_constant_camera(dataset, found), *dataset.further_faults(found)):
            report.note(error)
    report.found = [part.dataset.describe(part.role, part.images) for part in parts]
    for root in dict.fromkeys(part.dataset.data_root for part in parts):
        here = [part for part in parts if part.dataset.data_root == root]
        for error in (*_shared_vehicles(here), *_bad_files(root, here, decode, workers, progress)):
            report.note(error)
        report.images += len({image.path for part in here for image in part.images})
    return report


def unread_datasets(
    cfg: Mapping[str, Any], loaders: Sequence[str] = LOADERS, with_parts: bool = False
) -> Iterator[ReIDDataset]:
    """Yield every distinct data set of a config, not yet read; for a union, yield its members.

    Args:
        cfg: A config loaded by `pgan.apis.load_config`.
        loaders: Keys of the dataloaders whose data sets are built.
        with_parts: Also open the part caches.

    Raises:
        DatasetError, CacheError: A data set cannot be opened, because its folder, its part cache or one of
            its options is wrong.
    """
    bare = {"pipeline": [], "lazy_init": True}
    if not with_parts:
        bare |= {"part_cache": None, "num_parts": 0}
    seen: list[dict] = []
    for loader in filter(None, map(cfg.get, loaders)):
        settings = {**loader["dataset"], **bare}
        if settings not in seen:
            seen.append(settings)
            dataset = DATASETS.build(settings)
            yield from dataset.datasets if isinstance(dataset, ReIDUnion) else [dataset]


def _read(dataset: ReIDDataset, report: CheckReport) -> Iterator[tuple[str, list[ReIDImage]]]:
    for role in dataset.roles():
        try:
            images = dataset.read_split(role)
        except DatasetError as error:  # the whole list is unreadable
            report.note(error)
            images = []
        yield role, images


def _constant_camera(
    dataset: ReIDDataset, found: dict[str, list[ReIDImage]]
) -> Iterator[DatasetError]:
    images = [image for role in found for image in found[role] if image.camera_id >= 0]
    if len(images) > 1 and len({image.camera_id for image in images}) == 1:
        where = dataset.where(next(role for role in found if found[role]), images[0])
        yield DatasetError(
            f"{where}: camera {images[0].camera_id}, as of all {len(images)} images of the {dataset.split} "
            "split: with one camera every image of the query's vehicle is junk; leave it out if unknown",
            "camera that is constant",
        )


def _shared_vehicles(parts: list[_Part]) -> Iterator[DatasetError]:
    """Find vehicles in both the training and the test split, among data sets of one class in one folder."""
    trained = {
        (type(part.dataset), image.vehicle_id): (part, image)
        for part in parts
        if part.role == "train"
        for image in reversed(part.images)
    }
    reported = set()
    for part in parts:
        for image in part.images if part.role != "train" else ():
            vehicle = type(part.dataset), image.vehicle_id
            if vehicle in trained and vehicle not in reported:
                reported.add(vehicle)
                home, twin = trained[vehicle]
                yield DatasetError(
                    f"{part.where(image)}: the vehicle of {image.path} is trained on, at "
                    f"{home.where(twin)}",
                    "vehicle to train and to test on",
                )


def _bad_files(
    root: str, parts: list[_Part], decode: bool, workers: int, progress: bool
) -> Iterator[DatasetError]:
    """Find missing images and, if ``decode`` is set, images that cannot be decoded."""
    listed = {image.path: (part, image) for part in parts for image in part.images}
    missing = dict.fromkeys(missing_images(root, listed))
    for path in missing:
        part, image = listed[path]
        yield DatasetError(f"{part.where(image)}: {path} is not there", "missing image")
    if decode:
        there = [path for path in listed if path not in missing]
        for path, reason in unreadable_images(root, there, workers, progress):
            part, image = listed[path]
            yield DatasetError(f"{part.where(image)}: {path}: {reason}", "unreadable image")
