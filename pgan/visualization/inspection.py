"""Look inside a trained model: show its test set, or any images, as figures and a page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from detector.cache import PartCache
from detector.common.images import list_images
from pgan.apis import build_tester, load_reid_config
from pgan.evaluation import FeatureSet, load_features
from pgan.visualization.attention import Viewer, from_features, from_model
from pgan.visualization.errors import VisualizationError
from pgan.visualization.image_reader import ImageReader
from pgan.visualization.model_page import write_images, write_test_set

if TYPE_CHECKING:
    from mmengine.config import Config, ConfigDict


@dataclass
class Inspection:
    """Shows what a config's model does.

    Args:
        config: File of a re-identification config.
        options: Config keys to override.
        out: Folder for figures and page; the model's features and its log are written there, too.
        formats: ``'png'``, and ``'pdf'`` if that is wanted, too.
        command: The command that creates the page again.

    Raises:
        ConfigError: It is no re-identification config.
    """

    config: str
    options: dict[str, Any] | None
    out: str
    formats: Sequence[str] = ("png",)
    command: str = ""
    cfg: Config = field(init=False)

    def __post_init__(self) -> None:
        self.cfg = load_reid_config(self.config, self.options)

    def of_test_set(self, checkpoint: str, queries: int = 6, top: int = 5) -> Path:
        """Run a model on the config's test set, show what it does, and return the page's path.

        Args:
            checkpoint: Weights of the model.
            queries: Queries to show, and as many errors.
            top: Results per query.

        Raises:
            CheckpointError: The checkpoint is missing, damaged, or of another model.
            DatasetError, CacheError: The test set or its part cache cannot be read.
            RankingError: The features cannot be ranked.
        """
        dump = Path(self.out) / "features.npz"
        self.cfg.test_evaluator.dump = str(dump)
        runner = build_tester(self.cfg, str(Path(self.out) / "log"), checkpoint)
        runner.test()
        view = from_model(runner.model, self._reader(), self._settings)
        made = self._provenance(Checkpoint=checkpoint)
        return self._write(load_features(dump), view, made, queries, top)

    def of_features(self, path: str, queries: int = 6, top: int = 5) -> Path:
        """Show what a model did from the features of its test, without heat maps; return the page's path.

        Args:
            path: The feature file.
            queries: Queries to show, and as many errors.
            top: Results per query.

        Raises:
            FeatureSetError, CacheError: The features or the part cache cannot be read.
            RankingError: The features cannot be ranked.
            VisualizationError: The features have another number of parts than the config.
        """
        features = load_features(path)
        weights, count = features.part_weights, self._settings.get("num_parts")
        if self._cache and weights is not None and weights.shape[1] != count:
            raise VisualizationError(
                f"{path} has the weights of {weights.shape[1]} parts per image, but the config has "
                f"num_parts={count}: add --cfg-options num_parts={weights.shape[1]}"
            )
        view = from_features(features, self._reader())
        return self._write(features, view, self._provenance(Features=path), queries, top)

    def of_images(self, checkpoint: str, images: Sequence[str]) -> Path:
        """Show how a model sees some images, and return the page's path.

        Args:
            checkpoint: Weights of the model.
            images: Files and folders, below the config's ``data_root``.

        Raises:
            VisualizationError: An image is missing, or not in the part cache.
            CheckpointError: The checkpoint is missing, damaged, or of another model.
            CacheError, ImageError: The part cache or an image cannot be read.
        """
        names = self._names([file for image in images for file in _files(image)])
        runner = build_tester(self.cfg, str(Path(self.out) / "log"), checkpoint)
        view = from_model(runner.model, self._reader(), self._settings)
        return write_images(
            self.out, names, view, self._provenance(Checkpoint=checkpoint), self.formats
        )

    @property
    def _settings(self) -> ConfigDict:
        return self.cfg.test_dataloader.dataset

    @cached_property
    def _cache(self) -> PartCache | None:
        """The part cache, if the model uses boxes of it."""
        settings = self._settings
        on_grid = self.cfg.model.get("attention") == "grid"
        if on_grid or not settings.get("num_parts") or not settings.get("part_cache"):
            return None
        cache = PartCache.open(settings.part_cache)
        return None if cache.mask_size else cache

    def _reader(self) -> ImageReader:
        return ImageReader(self._settings.data_root, self._cache, self._settings.get("num_parts"))

    def _names(self, files: Sequence[str]) -> list[str]:
        """The files' paths relative to the data root, as the part cache has them."""
        root = os.path.abspath(self._settings.data_root)
        names = [Path(os.path.relpath(os.path.abspath(file), root)).as_posix() for file in files]
        fix = (
            "run `python tools/extract_parts.py DETECTOR_CONFIG CHECKPOINT --images FOLDER --out CACHE` and "
            "add --cfg-options data_root=FOLDER part_cache=CACHE"
        )
        outside = [file for file, name in zip(files, names) if name.startswith("../")]
        if self._cache and outside:
            raise VisualizationError(
                f"{outside[0]} is not below data_root={self._settings.data_root}, but a part cache names "
                f"images by their paths below it: {fix}"
            )
        cache = self._cache
        missing = [name for name in names if cache and name not in cache]
        if cache and missing:
            raise VisualizationError(
                f"{missing[0]} is not in the part cache {cache.path} ({len(missing)} of {len(names)} "
                f"images are missing): {fix}"
            )
        return list(dict.fromkeys(names))

    def _provenance(self, **source: str) -> dict[str, str]:
        made = {"Model": self.cfg.model.type, "Config": self.config, **source}
        return {**made, "Command": self.command} if self.command else made

    def _write(
        self, features: FeatureSet, view: Viewer, made: dict[str, str], queries: int, top: int
    ) -> Path:
        cache, formats = self._cache, self.formats
        return write_test_set(self.out, features, view, cache, made, queries, top, formats)


def _files(path: str) -> list[str]:
    """Return an image, or all images in a folder."""
    if Path(path).is_dir():
        return [str(Path(path) / name) for name in list_images(path)]
    if not Path(path).is_file():
        raise VisualizationError(f"{path}: no such image or folder")
    return [path]
