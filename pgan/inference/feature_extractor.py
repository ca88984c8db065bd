"""From an image and its parts to its feature: the one route, for files and pixels, programs and galleries."""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope

from detector.cache import Parts
from detector.cache.masks import overlap_masks
from detector.common.device import usable_device
from pgan.apis import load_matching_weights
from pgan.datasets import collate_reid
from pgan.errors import ConfigError
from pgan.models import ReIDModel
from pgan.registry import MODELS, TRANSFORMS

Image = str | os.PathLike[str] | np.ndarray


@dataclass(frozen=True, eq=False)
class Embedded:
    """The feature of an image, with the parts and attention weights behind it.

    Attributes:
        feature: (C,) float32, L2-normalised: vehicles are compared by squared Euclidean distance.
        parts: Parts that the model used, most confident first; None for a model without part boxes.
        weights: (n,) float32 attention weight of each part; None for a model without part boxes.
        classes: Names of the parts' labels.
    """

    feature: np.ndarray
    parts: Parts | None = None
    weights: np.ndarray | None = None
    classes: tuple[str, ...] = ()

    def attention(self, size: tuple[int, int]) -> np.ndarray:
        """Return the attention map ``sum_i w_i M_i`` (PGAN, Eq. 3), all zero without parts.

        Args:
            size: Rows h and columns w of the map.

        Returns:
            (h, w) float32.
        """
        if self.parts is None or self.weights is None:
            return np.zeros(size, np.float32)
        rows, columns = (np.arange(length) for length in size)
        masks = overlap_masks(self.parts.boxes, self.parts.image_size, rows, columns)
        return np.tensordot(self.weights, masks.astype(np.float32), 1)


class SamplePipeline:
    """The test pipeline of a config: an image and its parts become a sample for the model.

    It holds no network, so that data loader workers can take it along.

    Args:
        steps: The transforms of ``test_dataloader.dataset.pipeline``.
        num_parts: D, slots of part boxes.
        needs_parts: Whether the model takes part boxes. True even for a model with D = 0 slots.
    """

    def __init__(self, steps: Sequence[dict], num_parts: int, needs_parts: bool) -> None:
        self.num_parts, self.needs_parts = num_parts, needs_parts
        self._transform = Compose([TRANSFORMS.build(step) for step in steps])

    def __call__(self, image: Image, parts: Parts | np.ndarray | None = None) -> dict[str, Any]:
        """Prepare one image.

        Args:
            image: File, or (H, W, 3) uint8 RGB pixels.
            parts: Its parts, or (D, h, w) bool part masks; None for no part.

        Returns:
            ``inputs`` (3, H, W) float32 and ``data_samples``, a `pgan.structures.ReIDSample`.

        Raises:
            ImageError: The image cannot be read.
        """
        sample: dict[str, Any] = {"image_file": image, "img_path": ""}
        if isinstance(parts, np.ndarray):
            sample["part_masks"] = parts
        elif self.needs_parts:
            empty = np.zeros((self.num_parts, 4), np.float32)
            sample["part_boxes"] = empty if parts is None else parts.slots(self.num_parts)
        return self._transform(sample)


class FeatureExtractor:
    """A trained model with its test pipeline.

    Args:
        cfg: Config of a re-identification model, loaded by `pgan.apis.load_reid_config`.
        checkpoint: Weights of the model.
        device: ``'cpu'``, ``'cuda'``, ``'cuda:1'``, …; None for a GPU if there is one.

    Attributes:
        cfg: The config.
        model: In evaluation mode, on its device.
        num_parts: D; 0 for a model without part boxes.
        pipeline: Prepares the samples of `extract`.

    Raises:
        CheckpointError: The weights cannot be read, or are those of another model.
        ConfigError: The device cannot be used.
    """

    def __init__(self, cfg: Config, checkpoint: str, device: str | None = None) -> None:
        self.cfg = cfg
        self.model = load_reid_model(cfg, checkpoint, device)
        settings = cfg.test_dataloader.dataset
        needs_parts = self.model.needs_parts()
        self.num_parts: int = (settings.get("num_parts") or 0) if needs_parts else 0
        with _scope(cfg):
            self.pipeline = SamplePipeline(settings.pipeline, self.num_parts, needs_parts)

    @torch.inference_mode()
    def extract(
        self,
        samples: Sequence[dict[str, Any]],
        parts: Sequence[Parts | None],
        classes: tuple[str, ...] = (),
    ) -> list[Embedded]:
        """Run the model on a batch.

        Args:
            samples: Prepared by `pipeline`.
            parts: Parts of each image, None where it has masks or the model uses none.
            classes: Names of the parts' labels.
        """
        embedded = []
        for sample, found in zip(self.model.test_step(collate_reid(list(samples))), parts):
            feature = sample.feature.numpy()
            if found is None:
                embedded.append(Embedded(feature))
            else:
                weights = sample.part_weights.numpy()[: len(found)]
                embedded.append(Embedded(feature, found, weights, classes))
        return embedded


def load_reid_model(cfg: Config, checkpoint: str, device: str | None = None) -> ReIDModel:
    """Build the model of a config with trained weights, in evaluation mode.

    Args:
        cfg: Config of a re-identification model, loaded by `pgan.apis.load_reid_config`.
        checkpoint: Weights of the model.
        device: ``'cpu'``, ``'cuda'``, …; None for a GPU if there is one.

    Raises:
        CheckpointError: The weights cannot be read, or are those of another model.
        ConfigError: The device cannot be used.
    """
    target = usable_device(device, ConfigError)
    with _scope(cfg):
        model: ReIDModel = MODELS.build({**cfg.model, "num_vehicles": None})
    load_matching_weights(model, checkpoint)
    return model.to(target).eval()


def _scope(cfg: Config) -> AbstractContextManager[None]:
    """Build objects in the config's scope; mmengine takes the scope that was set last, a detector's maybe."""
    return DefaultScope.overwrite_default_scope(cfg.get("default_scope", "pgan"))
