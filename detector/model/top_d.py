"""The D most confident boxes of each image after non-maximum suppression (NMS), exactly.

Greedy per-class NMS decides about a box by the more confident boxes only. If NMS of the k most confident
candidates keeps D boxes, the remaining candidates cannot change the result; otherwise k grows. Candidates are
ordered by descending score, ties by ascending index (level, then position, then class), as by a stable sort.

`first_candidates` is cheap and nearly always sufficient; `select_candidates` returns all candidates.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import nms

_NONE = -1  # key of a score that is not a candidate
# Upper bounds of the relative and the absolute error of an approximate score.
_RELATIVE_ERROR, _ABSOLUTE_ERROR = 1e-4, 1e-30


def order_keys(scores: Tensor, threshold: float) -> Tensor:
    """Distinct integers whose descending order is the order of the candidates.

    Args:
        scores: (B, N) float32, not negative.
        threshold: Only scores above the threshold are candidates.

    Returns:
        (B, N) int64, -1 for scores that are not candidates.

    >>> order_keys(torch.tensor([[0.5, 0.9, 0.1, 0.9]]), threshold=0.2).argsort(descending=True)
    tensor([[1, 3, 0, 2]])
    """
    # Non-negative floats have the same order as their bit patterns.
    bits = scores.contiguous().view(torch.int32).long()
    reverse = torch.arange(scores.shape[1] - 1, -1, -1, device=scores.device)
    return torch.where(scores > threshold, (bits << 32) | reverse, _NONE)


def select_candidates(
    scores: list[Tensor], threshold: float, per_level: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The candidates of all levels in order.

    Args:
        scores: One (B, N_l * C) float32 tensor per level.
        threshold: Only scores above the threshold are candidates.
        per_level: Maximum number of candidates per level.

    Returns:
        scores (B, M) float32, index (B, M) int64 into the concatenated levels, and valid (B, M) bool. The
        candidates come first and are valid.

    >>> scores, index, valid = select_candidates([torch.tensor([[0.3, 0.8]]), torch.tensor([[0.5]])], 0.4, 2)
    >>> index[valid]
    tensor([1, 2])
    """
    kept_scores, kept_index, kept_keys = [], [], []
    start = 0
    for level in scores:
        count = level.shape[1]
        keys, index = order_keys(level, threshold).topk(min(per_level, count))
        kept_scores.append(level.gather(1, index))
        kept_index.append(index + start)
        kept_keys.append(keys)
        start += count
    joined_scores, index = torch.cat(kept_scores, 1), torch.cat(kept_index, 1)
    joined = torch.where(torch.cat(kept_keys, 1) == _NONE, -1.0, joined_scores)
    # Levels and their candidates are concatenated in order, so a stable sort keeps the order of ties.
    ordered, order = joined.sort(dim=1, descending=True, stable=True)
    return joined_scores.gather(1, order), index.gather(1, order), ordered >= 0


def first_candidates(
    logits: Tensor, threshold: float, num_priors: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The most confident candidates of all levels together, without gaps.

    Only the priors with the highest best-class scores are examined, and only candidates that score above the
    best class of every other prior are returned. So no candidate is missing in between, and equal scores are
    returned together or not at all. There may be no such candidate.

    Args:
        logits: (B, N, C + 1) float32 of all priors of all levels, background last; the scores are their
            softmax.
        threshold: Only scores above the threshold are candidates.
        num_priors: Number of priors to examine per image.

    Returns:
        scores (B, M) float32 in order, -1 after the last candidate; index (B, M) int64 into the N * C scores;
        and complete (B,) bool, whether these are all candidates of the image.
    """
    number, classes = logits.shape[1], logits.shape[2] - 1
    top, prior = _approximate_best_scores(logits).topk(min(num_priors + 1, number))
    bound = torch.full_like(top[:, :1], -1)
    if number > num_priors:
        # If this is NaN, no score compares above it, so no candidate is returned.
        bound = top[:, -1:] * (1 + _RELATIVE_ERROR) + _ABSOLUTE_ERROR
    complete = bound[:, 0] <= threshold
    prior = prior[:, :num_priors].sort(1).values
    picked = logits.gather(1, prior[..., None].expand(-1, -1, classes + 1))
    scores = picked.softmax(-1)[..., :-1].flatten(1)
    scores = torch.where(scores > bound.clamp(min=threshold), scores, -1.0)
    ordered, order = scores.sort(dim=1, descending=True, stable=True)
    return ordered, prior.gather(1, order // classes) * classes + order % classes, complete


def _approximate_best_scores(logits: Tensor) -> Tensor:
    """The best class score of each prior (B, N), with a relative error of 1e-5; below 1e-38 it is 0.

    A softmax over few classes spends most of its time on the reduction of short rows; element-wise maxima of
    halves avoid that.
    """
    halves = logits[..., :-1]
    while (width := halves.shape[-1]) > 1:
        halves = torch.maximum(halves[..., : -(-width // 2)], halves[..., width // 2 :])
    # A matrix product would be less exact in half or TF32 precision.
    return 1 / (logits - halves).exp_().sum(-1)


def top_survivors(
    boxes: Tensor,
    labels: Tensor,
    iou_threshold: float,
    number: int,
    largest: Tensor | None = None,
) -> Tensor:
    """The first D boxes that per-class non-maximum suppression keeps.

    Args:
        boxes: (M, 4) float32 ``x1 y1 x2 y2`` in the order of the candidates.
        labels: (M,) int64.
        iou_threshold: If two boxes of a class overlap by more, the later one is suppressed.
        number: D, the number of boxes to keep.
        largest: Largest coordinate of all candidates, required if ``boxes`` are only the first of them.

    Returns:
        (at most D,) int64 indices into ``boxes``, ascending.

    >>> boxes = torch.tensor([[0.0, 0, 9, 9], [1, 0, 9, 9], [20, 20, 30, 30]])
    >>> top_survivors(boxes, torch.tensor([0, 0, 0]), iou_threshold=0.45, number=2)
    tensor([0, 2])
    """
    if not len(boxes):
        return labels
    # Boxes of different classes are shifted apart as in mmcv, for the same rounding.
    largest = boxes.max() if largest is None else largest
    apart = boxes + (labels.to(boxes) * (largest + 1))[:, None]
    # mmcv compares with a float32 threshold, torchvision with a float64.
    threshold = float(np.float32(iou_threshold))
    ranks = torch.arange(len(boxes), 0, -1, device=boxes.device, dtype=boxes.dtype)
    tried = 4 * number
    while True:
        kept = nms(apart[:tried], ranks[:tried], threshold)
        if len(kept) >= number or tried >= len(boxes):
            return kept[:number]
        tried *= 4
