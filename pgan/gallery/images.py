"""Sources of a gallery: image files, folders, and data sets with their labels."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset

from pgan.apis import load_reid_config
from pgan.datasets import ReIDDataset
from pgan.datasets.records import Annotation
from pgan.gallery.errors import GalleryError
from pgan.gallery.files import image_files
from pgan.registry import DATASETS


def labelled_images(
    sources: Sequence[str],
    vehicle: str = "",
    camera: str = "",
    roles: Sequence[str] = ("gallery",),
    prefix: str = "",
    options: dict[str, Any] | None = None,
) -> tuple[list[Annotation], list[Config]]:
    """List images with their labels, under absolute paths.

    Args:
        sources: Image files, folders, and re-identification configs, ``*.py``, for their data sets.
        vehicle: Vehicle id of all image files and folders, if known.
        camera: Camera id of all image files and folders, if known.
        roles: Roles of the data sets' images: ``gallery``, ``query``, ``train``. Images that the protocol
            itself divides count as gallery.
        prefix: Put before the data sets' vehicle and camera ids, which keeps several data sets apart.
        options: Config keys to override.

    Returns:
        The images and the configs.

    Raises:
        ConfigError: A config cannot be used.
        DatasetError: A data set is missing or damaged.
        DetectorError: A folder has no image.
        GalleryError: A source does not exist, or a data set has no image of these roles.
    """
    configs, images = [], []
    for source in sources:
        if source.endswith(".py"):
            configs.append(load_reid_config(source, options))
            images += _dataset_images(source, configs[-1], roles, prefix)
        else:
            images += [Annotation(file, vehicle, camera) for file in image_files([source])]
    if configs and len(configs) == len(sources) and (vehicle or camera):
        raise GalleryError(
            "--vehicle and --camera label image files and folders: a data set has its own labels"
        )
    return images, configs


def without_parts(settings: ConfigDict) -> BaseDataset:
    """Build the data set of a config for its lists only: no parts, no pipeline.

    Raises:
        DatasetError: The data set is missing or damaged.
    """
    return DATASETS.build(ConfigDict(settings, part_cache=None, num_parts=0, pipeline=[]))


def _dataset_images(
    name: str, config: Config, roles: Sequence[str], prefix: str
) -> list[Annotation]:
    images = []
    for loader in ("test_dataloader", "train_dataloader"):
        wanted = [role for role in roles if (role == "train") == loader.startswith("train")]
        for image in _of_roles(name, config[loader].dataset, wanted) if wanted else ():
            camera = image.camera and prefix + image.camera
            images.append(image._replace(vehicle=prefix + image.vehicle, camera=camera))
    if not images:
        raise GalleryError(f"{name}: its data set has no images of the roles {', '.join(roles)}")
    return images


def _of_roles(name: str, settings: ConfigDict, roles: Sequence[str]) -> Iterator[Annotation]:
    dataset = without_parts(settings)
    if not isinstance(dataset, ReIDDataset):
        raise GalleryError(
            f"{name}: its training images are a union of data sets: add its members one by one"
        )
    for role in dataset.roles():
        if role in roles or (role == "pool" and "gallery" in roles):
            for image in dataset.annotations(role):
                path = os.path.abspath(os.path.join(dataset.data_root, image.path))
                yield image._replace(path=path)
