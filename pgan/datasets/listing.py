"""List all images of the data sets of a config."""

from __future__ import annotations

from collections.abc import Iterator

from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope

from pgan.datasets.errors import DatasetError
from pgan.datasets.reid_dataset import ReIDDataset
from pgan.registry import DATASETS


def images_of_config(cfg: Config) -> tuple[str, list[str]]:
    """Return the data root and the distinct training and test images of a re-identification config.

    Test lists of other sizes are included if they exist on disk.

    Args:
        cfg: A config loaded by `pgan.apis.load_config`.

    Raises:
        DatasetError: The config is not a re-identification config, or its data sets have different roots.
    """
    if cfg.get("default_scope") != "pgan":
        raise DatasetError(f"{cfg.filename} is not a re-identification config: see configs/pgan")
    init_default_scope("pgan")
    roots: dict[str, str] = {}
    images: dict[str, None] = {}
    for name in ("train_dataloader", "test_dataloader"):
        if name not in cfg:
            raise DatasetError(f"{cfg.filename} has no {name}: it names no images")
        for dataset in _lists(cfg[name].dataset):
            roots[dataset.data_root] = name
            images |= dict.fromkeys(dataset.image_paths())
    if len(roots) > 1:
        found = " and ".join(roots)
        raise DatasetError(f"{cfg.filename}: its data sets have different roots, {found}")
    return next(iter(roots)), list(images)


def _lists(settings: ConfigDict) -> Iterator[ReIDDataset]:
    """Yield the data set of these settings, then its test lists of other sizes that exist on disk."""
    settings = ConfigDict(settings, part_cache=None, num_parts=0, pipeline=[])
    dataset = DATASETS.build(settings)
    yield dataset
    sizes = dataset.TEST_SIZES if settings.get("split") == "test" else ()
    for size in sizes:
        other = DATASETS.build(ConfigDict(settings, test_size=size, lazy_init=True))
        if size != dataset.test_size and all(other.list_file(r).is_file() for r in other.roles()):
            other.full_init()
            yield other
