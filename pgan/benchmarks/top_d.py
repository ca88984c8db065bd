"""Post-processing of a batch at once against mmdet's image-by-image path."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import torch
from mmengine.config import ConfigDict
from mmengine.registry import init_default_scope
from torch import Tensor

from detector.model.part_head import PartSSDHead

# SSD300's levels: side of the feature map and priors at each place, 8,732 in all.
SSD300_LEVELS = ((38, 4), (19, 6), (10, 6), (5, 6), (3, 4), (1, 4))


def ssd300_head(num_classes: int = 16, max_parts: int = 16) -> PartSSDHead:
    """The head of ``configs/detector/ssd300_vgg16_parts.py``, keeping `max_parts` boxes."""
    init_default_scope("mmdet")
    return PartSSDHead(
        num_classes=num_classes,
        in_channels=(512, 1024, 512, 256, 256, 256),
        anchor_generator={
            "type": "SSDAnchorGenerator",
            "scale_major": False,
            "input_size": 300,
            "basesize_ratio_range": (0.15, 0.9),
            "strides": [8, 16, 32, 64, 100, 300],
            "ratios": [[2], [2, 3], [2, 3], [2, 3], [2], [2]],
        },
        bbox_coder={
            "type": "DeltaXYWHBBoxCoder",
            "target_means": [0.0, 0.0, 0.0, 0.0],
            "target_stds": [0.1, 0.1, 0.2, 0.2],
        },
        test_cfg=ConfigDict(
            nms_pre=1000,
            nms={"type": "nms", "iou_threshold": 0.45},
            min_bbox_size=0,
            score_thr=0,
            max_per_img=max_parts,
        ),
    ).eval()


def random_outputs(
    batch: int, num_classes: int = 16, seed: int = 0
) -> tuple[list[Tensor], list[Tensor], list[dict[str, Any]]]:
    """What a trained SSD300's convolutions might give: mostly background, some confident places.

    Returns:
        Class logits and deltas of each level, as `PartSSDHead.forward` gives them, and the images'
        metas.
    """
    generator = torch.Generator().manual_seed(seed)
    logits, deltas = [], []
    for side, priors in SSD300_LEVELS:
        level = 2 * torch.randn(batch, priors, num_classes + 1, side, side, generator=generator)
        level[:, :, -1] += 6
        logits.append(level.flatten(1, 2))
        deltas.append(torch.randn(batch, priors * 4, side, side, generator=generator))
    metas = [{"img_shape": (300, 300), "scale_factor": (1.5, 1.25)} for _ in range(batch)]
    return logits, deltas, metas


def top_d_benchmark(repeats: int = 5, batch: int = 16, max_parts: int = 16) -> dict[str, float]:
    """Time both ways on the same random outputs of SSD300, taking turns.

    Args:
        repeats: Times each is run, after one run that is not timed.
        batch: Images.
        max_parts: D.

    Returns:
        ``ours_s`` and ``mmdet_s``, medians in seconds for the batch, and ``ratio``, how many times
        faster ours is.

    Raises:
        RuntimeError: The two do not give the same boxes.
    """
    head = ssd300_head(max_parts=max_parts)
    logits, deltas, metas = random_outputs(batch)
    ways: dict[str, Callable[..., Any]] = {
        "ours_s": head.predict_by_feat,
        "mmdet_s": head.predict_image_by_image,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(repeats + 1):
        answers = []
        for name, way in ways.items():
            start = time.perf_counter()
            answers.append(way(logits, deltas, batch_img_metas=metas, rescale=True))
            if turn:
                times[name].append(time.perf_counter() - start)
        for ours, theirs in zip(*answers):
            if not all(torch.equal(ours[k], theirs[k]) for k in ("bboxes", "scores", "labels")):
                raise RuntimeError("the batch's boxes differ from mmdet's image-by-image path")
    medians = {name: statistics.median(values) for name, values in times.items()}
    return medians | {"ratio": medians["mmdet_s"] / medians["ours_s"]}
