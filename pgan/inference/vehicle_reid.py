"""Images in; parts, features and attention out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np

from detector.cache import Parts
from detector.common.images import ImageError, read_image
from pgan.apis import load_reid_config
from pgan.errors import ConfigError
from pgan.inference.feature_extractor import Embedded, FeatureExtractor, Image
from pgan.inference.part_finder import PartFinder


class VehicleReID:
    """A trained model, and the part detector before it if the model uses parts.

    Args:
        config: Config file of the model.
        checkpoint: Weights of the model.
        detector: Config and checkpoint of the part detector; not needed by a model without part boxes.
        options: Config keys to override, such as ``{"num_parts": 8}``.
        device: ``'cpu'``, ``'cuda'``, … for both networks; None for a GPU if there is one.

    Attributes:
        cfg: The config.
        model: The model, in evaluation mode.
        num_parts: D; 0 for a model without part boxes.

    Raises:
        ConfigError: A config or the device cannot be used.
        CheckpointError: The checkpoint cannot be read, or is that of another model.
        DetectorError: The detector's checkpoint cannot be used.

    Example:
        >>> reid = VehicleReID(CONFIG, CHECKPOINT, detector=(CONFIG, CHECKPOINT))  # doctest: +SKIP
        >>> a, b = reid(["a.jpg", "b.jpg"])  # doctest: +SKIP
        >>> ((a.feature - b.feature) ** 2).sum(), a.parts.boxes, a.weights  # doctest: +SKIP
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
        self._extractor = FeatureExtractor(self.cfg, checkpoint, device)
        self.model = self._extractor.model
        self.num_parts = self._extractor.num_parts
        self._finder = PartFinder(detector, self.num_parts, device) if detector else None

    def __call__(self, images: Sequence[Image], batch_size: int = 16) -> list[Embedded]:
        """Embed images.

        Args:
            images: Files, or (H, W, 3) uint8 RGB pixels as returned by `detector.common.images.read_image`.
            batch_size: Images per batch.

        Returns:
            Feature, parts and attention weights of each image.

        Raises:
            ImageError: An image cannot be read; `stream` continues with the next one.
            ConfigError: The model needs parts and there is no detector, ``images`` is a single image, or
                ``batch_size`` is not a positive integer.
        """
        embedded = []
        for result in self.stream(images, batch_size):
            if isinstance(result, ImageError):
                raise result
            embedded.append(result)
        return embedded

    def stream(
        self, images: Iterable[Image], batch_size: int = 16
    ) -> Iterator[Embedded | ImageError]:
        """Embed any number of images, batch by batch; an unreadable image yields its error.

        Args and Raises are those of `__call__`.
        """
        if isinstance(images, str | os.PathLike) or getattr(images, "ndim", 4) < 4:
            raise ConfigError(
                "images are a list of files or pixels: write [image] for a single one"
            )
        if not isinstance(batch_size, int | np.integer) or batch_size < 1:
            raise ConfigError(f"batch_size={batch_size!r} must be a positive integer")
        if self.num_parts and self._finder is None:
            raise ConfigError(
                f"{type(self.model).__name__} needs the parts of an image: give VehicleReID a "
                "detector=(CONFIG, CHECKPOINT), or the option num_parts=0 to use no parts"
            )
        return embed_images(self._extractor, self._finder, images, batch_size)


def embed_images(
    extractor: FeatureExtractor,
    finder: PartFinder | None,
    images: Iterable[Image],
    batch_size: int = 16,
) -> Iterator[Embedded | ImageError]:
    """Embed images whose parts are not known yet; an unreadable image yields its error.

    Args:
        extractor: The model.
        finder: The part detector; needed if the model uses parts.
        images: Files or pixels.
        batch_size: Images per batch.
    """
    images = iter(images)
    while batch := [_read(image) for image in islice(images, batch_size)]:
        pixels = [image for image in batch if not isinstance(image, ImageError)]
        embedded = iter(_embed_pixels(extractor, finder, pixels) if pixels else ())
        yield from (image if isinstance(image, ImageError) else next(embedded) for image in batch)


def _embed_pixels(
    extractor: FeatureExtractor, finder: PartFinder | None, images: list[np.ndarray]
) -> list[Embedded]:
    parts: list[Parts | None] = [None] * len(images)
    if extractor.num_parts and finder is not None:
        parts = [found.first(extractor.num_parts) for found in finder(images)]
    samples = [extractor.pipeline(pixels, found) for pixels, found in zip(images, parts)]
    return extractor.extract(samples, parts, finder.classes if finder else ())


def _read(image: Image) -> np.ndarray | ImageError:
    try:
        return read_image(image)
    except ImageError as error:
        return error
