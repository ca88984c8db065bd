"""Features of the images that a model was trained on, prepared by the test pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from mmengine.dataset import BaseDataset
from torch.utils.data import Subset

from pgan.apis import build_tester
from pgan.errors import ConfigError
from pgan.evaluation import FeatureSet, load_features
from pgan.registry import DATASETS


@DATASETS.register_module()
class RandomSubset(Subset):
    """A random subset of a data set, drawn without replacement, in the order of the data set.

    Args:
        dataset: Config of the data set.
        images: Number of images to draw at most; None for all.
        seed: Seed of the draw.
    """

    dataset: BaseDataset

    def __init__(self, dataset: dict, images: int | None = None, seed: int = 0) -> None:
        whole = DATASETS.build(dataset)
        rows = np.random.default_rng(seed).permutation(len(whole))[:images]
        super().__init__(whole, np.sort(rows).tolist())

    @property
    def metainfo(self) -> dict[str, Any]:
        """The metainfo of the full data set."""
        return self.dataset.metainfo


def training_features(
    cfg: Config, checkpoint: str, work_dir: str, images: int | None = None, seed: int = 0
) -> FeatureSet:
    """Compute the features of a model's training images with the test pipeline.

    Args:
        cfg: Config loaded by `pgan.apis.load_reid_config`; it is changed.
        checkpoint: Weights of the model.
        work_dir: Folder for the log and the features, ``features.npz``.
        images: Number of images to draw at most; None for all.
        seed: Seed of the draw.

    Raises:
        ConfigError: The config has no training images.
        CheckpointError: The weights cannot be read, or are those of another model.
        DatasetError: The data set is missing or damaged.
        CacheError: The part cache is missing or damaged.
    """
    if not cfg.get("train_dataloader"):
        raise ConfigError(f"{cfg.filename}: it has no train_dataloader, and so no training images")
    pipeline = cfg.test_dataloader.dataset.pipeline
    training = ConfigDict({**cfg.train_dataloader.dataset, "pipeline": pipeline})
    cfg.test_dataloader.dataset = {
        "type": "RandomSubset",
        "dataset": training,
        "images": images,
        "seed": seed,
    }
    file = Path(work_dir) / "features.npz"
    cfg.test_evaluator.update(dump=str(file), projection=None)
    build_tester(cfg, work_dir, checkpoint).test()
    return load_features(file)
