"""Images in; parts, features and attention out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope, init_default_scope

from detector.cache import Parts
from detector.cache.masks import overlap_masks
from detector.common.checkpoint import weights_of
from detector.common.device import usable_device
from detector.common.images import ImageError, read_image
from pgan.apis import ConfigError, load_config, load_reid_config, refuse_foreign_weights
from pgan.datasets import collate_reid
from pgan.engine import load_plain
from pgan.models import ReIDModel
from pgan.registry import MODELS, TRANSFORMS

Image = str | os.PathLike[str] | np.ndarray
_CACHED_PARTS = 16  # those that tools/extract_parts.py keeps of an image


@dataclass(frozen=True, eq=False)
class Embedded:
    """An image as a model sees it.

    Attributes:
        feature: (C,) float32, L2-normalised: the squared Euclidean distance tells vehicles apart.
        parts: What the model looked at, most confident first; None for a model without part boxes.
        weights: (n,) float32 attention weight of each; None likewise.
        classes: Names of the parts' labels.
    """

    feature: np.ndarray
    parts: Parts | None = None
    weights: np.ndarray | None = None
    classes: tuple[str, ...] = ()

    def attention(self, size: tuple[int, int]) -> np.ndarray:
        """The attention map ``sum_i w_i M_i`` (PGAN, Eq. 3) over h rows and w columns: (h, w) float32.

        All zero without parts.
        """
        if self.parts is None:
            return np.zeros(size, np.float32)
        rows, columns = (np.arange(length) for length in size)
        masks = overlap_masks(self.parts.boxes, self.parts.image_size, rows, columns)
        return np.tensordot(self.weights, masks.astype(np.float32), 1)


class VehicleReID:
    """A trained model, and the part detector before it where the model needs one.

    >>> reid = VehicleReID(CONFIG, CHECKPOINT, detector=(CONFIG, CHECKPOINT))     # doctest: +SKIP
    >>> a, b = reid(["a.jpg", "b.jpg"])                                           # doctest: +SKIP
    >>> ((a.feature - b.feature) ** 2).sum(), a.parts.boxes, a.weights            # doctest: +SKIP

    Args:
        config: File of its config.
        checkpoint: Its weights.
        detector: Config and checkpoint of the part detector; not needed for a model without part boxes.
        options: Config keys to override, ``{"num_parts": 8}``.
        device: ``'cpu'``, ``'cuda'`` … for both; None for a GPU where there is one.

    Attributes:
        cfg: The config.
        model: In evaluation mode.
        num_parts: D; 0 for a model without part boxes.

    Raises:
        ConfigError, CheckpointError, DetectorError: See there.
    """

    def __init__(
        self,
        config: str,
        checkpoint: str,
        detector: tuple[str, str] | None = None,
        options: dict[str, Any] | None = None,
        device: str | None = None,
    ) -> None:
        self.cfg = load_reid_config(config, options)
        self.model = load_reid_model(self.cfg, checkpoint, device)
        settings = self.cfg.test_dataloader.dataset
        parts = settings.get("num_parts") or 0
        self.num_parts = int(parts) if self.model.needs_parts() else 0
        self._prepare = Compose([TRANSFORMS.build(step) for step in settings.pipeline])
        self._finder = _Finder(detector, self.num_parts, device) if detector else None

    def __call__(self, images: Sequence[Image], batch_size: int = 16) -> list[Embedded]:
        """Look at images.

        Args:
            images: Files, or pixels as `detector.common.images.read_image` gives them: (H, W, 3) uint8 RGB.
            batch_size: Images at once.

        Returns:
            For each image what the model sees.

        Raises:
            ImageError: One cannot be read; `stream` goes on to the next.
            ConfigError: The model needs parts, and there is no detector; ``images`` is a single one;
                ``batch_size`` is no whole number of 1 or more.
        """
        found = []
        for seen in self.stream(images, batch_size):
            if isinstance(seen, ImageError):
                raise seen
            found.append(seen)
        return found

    def stream(
        self, images: Iterable[Image], batch_size: int = 16
    ) -> Iterator[Embedded | ImageError]:
        """Look at any number of images, a batch at a time; what cannot be read gives its error in its place.

        Args and Raises as in a call.
        """
        if isinstance(images, str | os.PathLike) or getattr(images, "ndim", 4) < 4:
            raise ConfigError(
                "images are a list of files or pixels: write [image] for a single one"
            )
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise ConfigError(f"batch_size={batch_size!r}: look at 1 or more images at once")
        if self.num_parts and self._finder is None:
            raise ConfigError(
                f"{type(self.model).__name__} needs the parts of an image: give VehicleReID a "
                "detector=(CONFIG, CHECKPOINT), or the option num_parts=0 to look at none"
            )
        images = iter(images)
        while batch := [_read(image) for image in islice(images, batch_size)]:
            pixels = [image for image in batch if not isinstance(image, ImageError)]
            seen = iter(self._see(pixels) if pixels else [])
            yield from (image if isinstance(image, ImageError) else next(seen) for image in batch)

    def _see(self, images: list[np.ndarray]) -> Iterator[Embedded]:
        parts: list[Parts | None] = [None] * len(images)
        classes = ()
        if self.num_parts:
            parts = [found.first(self.num_parts) for found in self._finder(images)]
            classes = self._finder.classes
        packed = []
        for pixels, found in zip(images, parts):
            sample = {"image_file": pixels, "img_path": ""}
            if self.model.needs_parts():
                empty = np.zeros((0, 4), np.float32)
                sample["part_boxes"] = empty if found is None else found.slots(self.num_parts)
            packed.append(self._prepare(sample))
        yield from self._embed_batch(packed, parts, classes)

    @torch.inference_mode()
    def _embed_batch(
        self,
        packed: list[dict[str, Any]],
        parts: Sequence[Parts | None],
        classes: tuple[str, ...] = (),
    ) -> Iterator[Embedded]:
        """Run the model on what its pipeline has packed, with the parts of each."""
        for sample, found in zip(self.model.test_step(collate_reid(packed)), parts):
            feature = sample.feature.numpy()
            if found is None:
                yield Embedded(feature)
            else:
                weights = sample.part_weights.numpy()[: len(found)]
                yield Embedded(feature, found, weights, classes)


class _Finder:
    """The part detector on pixels in memory."""

    def __init__(self, files: Sequence[str], num_parts: int, device: str | None) -> None:
        if isinstance(files, str) or not isinstance(files, Sequence) or len(files) != 2:
            raise ConfigError(f"detector={files!r}: give two files, detector=(CONFIG, CHECKPOINT)")
        path, checkpoint = files
        config = load_config(path)
        if "data_preprocessor" not in config.get("model", {}) or "test_dataloader" not in config:
            raise ConfigError(f"{path} is not a detector config: see configs/detector")
        # mmdet takes seconds to import, and models without parts need none of it.
        from detector.extraction.extractor import load_detector

        max_parts = max(_CACHED_PARTS, num_parts)
        # mmengine builds by the scope that was set last.
        with DefaultScope.overwrite_default_scope("mmdet"):
            self._detector = load_detector(config, checkpoint, max_parts, device=device)
            self._prepare = Compose(self._detector.pipeline)
        self.classes = self._detector.classes

    def __call__(self, images: Sequence[np.ndarray]) -> list[Parts]:
        items = [self._prepare({"img_path": pixels, "img_id": 0}) for pixels in images]
        return self._detector.detect(items)


def load_reid_model(cfg: Config, checkpoint: str, device: str | None = None) -> ReIDModel:
    """The trained model of a config, in evaluation mode.

    Args:
        cfg: Of `pgan.apis.load_reid_config`.
        checkpoint: Its weights.
        device: ``'cpu'``, ``'cuda'`` …; None for a GPU where there is one.

    Raises:
        CheckpointError: The weights are of another model, or cannot be read.
        ConfigError: The device cannot be used.
    """
    target = usable_device(device, ConfigError)
    init_default_scope(cfg.get("default_scope", "pgan"))
    model: ReIDModel = MODELS.build({**cfg.model, "num_vehicles": None})
    refuse_foreign_weights(model, checkpoint)
    model.load_state_dict(weights_of(load_plain(checkpoint)), strict=False)
    return model.to(target).eval()


def _read(image: Image) -> np.ndarray | ImageError:
    try:
        return read_image(image)
    except ImageError as error:
        return error
