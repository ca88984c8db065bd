"""Features of the images that a model was trained on, as it sees images at test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config, ConfigDict
from torch.utils.data import Subset

from pgan.apis import ConfigError, build_tester
from pgan.evaluation import FeatureSet, load_features
from pgan.registry import DATASETS


@DATASETS.register_module()
class RandomSubset(Subset):
    """Some images of a data set, drawn without replacement, in its order.

    Args:
        dataset: Its config.
        images: How many at most; None for all.
        seed: Of the draw.
    """

    def __init__(self, dataset: dict, images: int | None = None, seed: int = 0) -> None:
        whole = DATASETS.build(dataset)
        rows = np.random.default_rng(seed).permutation(len(whole))[:images]
        super().__init__(whole, np.sort(rows).tolist())

    @property
    def metainfo(self) -> dict[str, Any]:
        """Of the whole."""
        return self.dataset.metainfo


def training_features(
    cfg: Config, checkpoint: str, work_dir: str, images: int | None = None, seed: int = 0
) -> FeatureSet:
    """Run a model on its training images, with the transforms of the test.

    Args:
        cfg: Of :func:`pgan.apis.load_reid_config`; it is changed.
        checkpoint: Weights of the model.
        work_dir: Where its log and the features, ``features.npz``, go.
        images: How many to draw at most; None for all.
        seed: Of the draw.

    Raises:
        ConfigError: The config trains on nothing.
        CheckpointError, DatasetError, CacheError: See there.
    """
    if not cfg.get("train_dataloader"):
        raise ConfigError(f"{cfg.filename}: has no train_dataloader, so no training images")
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
