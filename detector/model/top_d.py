"""The D most confident boxes of every image of a batch, exactly.

Per-class greedy non-maximum suppression keeps a box or not by the more confident boxes alone. So the D
best survivors are found among the most confident candidates: if the first k of them leave D survivors,
the others cannot matter; if not, take more. Candidates are in one stated order: descending score, ties
by ascending index (level, then place, then class), which is the order of a stable sort.

`first_candidates` are cheap and nearly always enough; `select_candidates` are all there are.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import nms

_NONE = -1  # key of what is no candidate
# More than the errors of a rough score, relative and absolute.
_ROUGH, _NOTHING = 1e-4, 1e-30


def order_keys(scores: Tensor, threshold: float) -> Tensor:
    """Integers whose descending order is the order of candidates; no two are equal.

    Args:
        scores: (B, N) float32, not negative.
        threshold: Scores that are not above it are no candidates.

    Returns:
        (B, N) int64, -1 for what is no candidate.
    """
    # Floats that are not negative are ordered as their bit patterns are.
    bits = scores.contiguous().view(torch.int32).long()
    reverse = torch.arange(scores.shape[1] - 1, -1, -1, device=scores.device)
    return torch.where(scores > threshold, (bits << 32) | reverse, _NONE)


def select_candidates(
    scores: list[Tensor], threshold: float, per_level: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The candidates of each level, joined and in order.

    Args:
        scores: For each level (B, N_l * C) float32.
        threshold: Scores that are not above it are no candidates.
        per_level: Candidates of one level at most.

    Returns:
        scores (B, M) float32, index (B, M) int64 into the joined levels, and valid (B, M) bool:
        the candidates come first.
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
    # Levels and their candidates are joined in order, so a stable sort keeps the order of ties.
    ordered, order = joined.sort(dim=1, descending=True, stable=True)
    return joined_scores.gather(1, order), index.gather(1, order), ordered >= 0


def first_candidates(
    logits: Tensor, threshold: float, places: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The candidates at the head of the order, of all levels together.

    They are sought at the places whose best class scores highest, and end above the best of all other places:
    so none is missing among them, and equal scores are never parted. There may be none.

    Args:
        logits: (B, N, C + 1) float32 of all places of all levels, background last; scores are their softmax.
        threshold: Scores that are not above it are no candidates.
        places: Places looked at in each image.

    Returns:
        scores (B, M) float32 in order, -1 behind the last candidate; index (B, M) int64 into the N * C; and
        complete (B,) bool, whether these are all candidates of the image.
    """
    number, classes = logits.shape[1], logits.shape[2] - 1
    top, place = _rough_best_scores(logits).topk(min(places + 1, number))
    bound = torch.full_like(top[:, :1], -1)
    if number > places:
        # A NaN here is above and below nothing: no candidate is sure.
        bound = top[:, -1:] * (1 + _ROUGH) + _NOTHING
    complete = bound[:, 0] <= threshold
    place = place[:, :places].sort(1).values
    picked = logits.gather(1, place[..., None].expand(-1, -1, classes + 1))
    scores = picked.softmax(-1)[..., :-1].flatten(1)
    scores = torch.where(scores > bound.clamp(min=threshold), scores, -1.0)
    ordered, order = scores.sort(dim=1, descending=True, stable=True)
    return ordered, place.gather(1, order // classes) * classes + order % classes, complete


def _rough_best_scores(logits: Tensor) -> Tensor:
    """The best class score of each place (B, N), but for a relative error of 1e-5 and what is below 1e-38.

    Most of the time of a softmax over few classes goes into its rows' ends; here there are none.
    """
    halves = logits[..., :-1]
    while (width := halves.shape[-1]) > 1:
        halves = torch.maximum(halves[..., : -(-width // 2)], halves[..., width // 2 :])
    # Not by a matrix product, which half or TF32 precision would make rougher.
    return 1 / (logits - halves).exp_().sum(-1)


def top_survivors(
    boxes: Tensor,
    labels: Tensor,
    iou_threshold: float,
    number: int,
    largest: Tensor | None = None,
) -> Tensor:
    """The first survivors of per-class non-maximum suppression.

    Args:
        boxes: (M, 4) float32 ``x1 y1 x2 y2`` in the order of candidates.
        labels: (M,) int64.
        iou_threshold: Of two boxes of a class that overlap more, the later goes.
        number: D.
        largest: The largest coordinate of all candidates, where ``boxes`` are the first of them.

    Returns:
        (at most D,) int64 indices, ascending.
    """
    if not len(boxes):
        return labels
    # Classes are moved apart as mmcv does it, for the same rounding.
    largest = boxes.max() if largest is None else largest
    apart = boxes + (labels.to(boxes) * (largest + 1))[:, None]
    # mmcv compares in float32, torchvision with a double.
    threshold = float(np.float32(iou_threshold))
    ranks = torch.arange(len(boxes), 0, -1, device=boxes.device, dtype=boxes.dtype)
    tried = 4 * number
    while True:
        kept = nms(apart[:tried], ranks[:tried], threshold)
        if len(kept) >= number or tried >= len(boxes):
            return kept[:number]
        tried *= 4
