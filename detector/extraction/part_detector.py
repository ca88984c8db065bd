"""A trained part detector that is ready to predict."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from detector.cache import Parts

if TYPE_CHECKING:
    from mmdet.models.detectors import BaseDetector
    from mmdet.structures import DetDataSample


@dataclass(frozen=True)
class PartDetector:
    """A trained part detector; `detector.extraction.loading.load_detector` builds it.

    Attributes:
        model: The MMDetection model on its device, in evaluation mode, with folded batch norms
            (`detector.model.batch_norm_folding`).
        pipeline: The test pipeline of the config without annotations (`detector.model.preprocessing`).
        classes: Names of the labels.
        identity: Everything that the boxes depend on, as JSON values.
        config: The resolved config as text.
        device: Device of the model.
        amp: Whether the model runs in half precision.
    """

    model: BaseDetector
    pipeline: list[dict[str, Any]]
    classes: tuple[str, ...]
    identity: dict[str, Any]
    config: str
    device: torch.device
    amp: bool

    def detect(self, batch: Sequence[dict[str, Any]]) -> list[Parts]:
        """Find the parts of images that `pipeline` has prepared.

        Args:
            batch: Results of the pipeline, each with ``inputs`` (3, H, W) uint8 and ``data_samples``.

        Returns:
            The parts of each image, in pixels of the stored image and clipped to it.
        """
        precision = torch.autocast(self.device.type) if self.amp else nullcontext()
        data = {key: [item[key] for item in batch] for key in ("inputs", "data_samples")}
        with torch.inference_mode(), precision:
            samples = self.model.test_step(data)
        return [_to_parts(sample) for sample in samples]


def _to_parts(sample: DetDataSample) -> Parts:
    """The predicted boxes of one image, clipped to the image; empty boxes are dropped."""
    found = sample.pred_instances
    height, width = (int(length) for length in sample.ori_shape)
    boxes = found.bboxes.float().cpu().numpy()
    boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    kept = (boxes[:, :2] < boxes[:, 2:]).all(1)
    scores, labels = found.scores.float().cpu().numpy(), found.labels.cpu().numpy()
    return Parts(boxes[kept], scores[kept], labels[kept].astype(np.int64), (height, width))
