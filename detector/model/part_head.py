"""An SSD head that works with mmdet 3.3 and predicts a whole batch at once.

Source: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016. The part detector of Zhang et al.
(arXiv 1909.06023, Section III-B) applies per-class NMS at 0.45, keeps every score, and takes the D most
confident boxes, whatever their labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from mmdet.models.dense_heads import SSDHead
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from detector.common.errors import DetectorError
from detector.model.top_d import first_candidates, select_candidates, top_survivors

# With a trained detector, four priors per box sufficed for 3 of 4 images, and eight for all of 160 images.
_PRIORS_PER_BOX = 8


@MODELS.register_module()
class PartSSDHead(SSDHead):
    """SSD head that predicts the exact D most confident boxes of each image.

    Keys of ``test_cfg``: ``nms=dict(type='nms', iou_threshold=0.45)``, ``score_thr=0``, ``nms_pre``
    (candidates per level), ``max_per_img`` (D) and ``min_bbox_size``.

    Raises:
        DetectorError: ``test_cfg`` requires another kind of suppression.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # SSDHead does not set it, but mmdet 3.3 reads it in prediction (mmdetection #11063).
        self.loss_cls = None
        self._priors: tuple[Any, Tensor] | None = None  # cached, since sizes rarely change
        if self.test_cfg:
            _check_test_cfg(self.test_cfg)

    def predict_by_feat(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        score_factors: None = None,
        batch_img_metas: Sequence[dict[str, Any]] = (),
        cfg: Any = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[InstanceData]:
        """Predict the boxes of a batch, bit for bit equal to those of `predict_image_by_image`.

        Args:
            cls_scores: One tensor of logits (B, priors * (classes + 1), H, W) per level, background last.
            bbox_preds: One tensor of deltas (B, priors * 4, H, W) per level.
            score_factors: Not used by SSD.
            batch_img_metas: ``img_shape`` of each image and, for ``rescale``, ``scale_factor``.
            cfg: Replaces ``test_cfg``.
            rescale: Whether to return boxes in pixels of the original image instead of the network's input.
            with_nms: Whether to suppress; without it, `predict_image_by_image` predicts.

        Returns:
            For each image ``bboxes`` (n, 4), ``scores`` (n,) and ``labels`` (n,), most confident first; ties
            are ordered by level, then position, then class.
        """
        cfg = self.test_cfg if cfg is None else cfg
        if not with_nms:
            return self.predict_image_by_image(
                cls_scores, bbox_preds, batch_img_metas, cfg, rescale, with_nms
            )
        _check_test_cfg(cfg)
        maps = self._join(cls_scores, bbox_preds, batch_img_metas, rescale)
        found = self._predict_from_first_candidates(maps, cfg)
        remaining = [i for i, boxes in enumerate(found) if boxes is None]
        if remaining:
            subset = maps if len(remaining) == len(found) else maps.select(remaining)
            for i, boxes in zip(remaining, self._predict_from_all_candidates(subset, cfg)):
                found[i] = boxes
        return found

    def _predict_from_first_candidates(self, maps: _Maps, cfg: Any) -> list[InstanceData | None]:
        """Boxes from the most confident candidates; None for an image whose boxes they do not determine."""
        threshold, number = cfg.get("score_thr", 0), cfg["max_per_img"]
        num_priors = _PRIORS_PER_BOX * number
        scores, index, complete = first_candidates(maps.logits, threshold, num_priors)
        # With at most nms_pre candidates in total, no level can exceed its limit of nms_pre.
        few = min(2 * num_priors, cfg["nms_pre"])
        complete = complete & (scores >= 0).sum(1).le(few)
        scores, index = scores[:, :few], index[:, :few]
        boxes = self._decode(maps, index // self.num_classes)
        valid = (scores >= 0) & _large(boxes, cfg)
        largest, known = self._largest_coordinate(maps, cfg)
        found: list[InstanceData | None] = []
        for i, (is_complete, is_known) in enumerate(zip(complete.tolist(), known.tolist())):
            kept = None
            if is_complete or is_known:
                bound = None if is_complete else largest[i]
                kept = self._suppress(boxes[i], scores[i], index[i], valid[i], cfg, bound)
            found.append(kept if is_complete or (kept and len(kept) == number) else None)
        return found

    def _largest_coordinate(self, maps: _Maps, cfg: Any) -> tuple[Tensor, Tensor]:
        """The largest coordinate of all candidates (B,), and whether it is known to be that (B,) bool.

        NMS shifts the classes apart by this coordinate, so its rounding affects which boxes overlap too much.
        The coordinate equals the longer side of the image if one candidate touches that end of the image.
        Coarse levels have few priors and are searched first.
        """
        largest = (maps.limits if maps.factors is None else maps.limits * maps.factors).amax((1, 2))
        known = torch.zeros_like(largest, dtype=torch.bool)
        end = maps.logits.shape[1]
        for count in reversed(maps.counts if self.bbox_coder.clip_border else []):
            scores = maps.logits[:, end - count : end].softmax(-1)[..., :-1]
            end -= count
            prior = torch.arange(end, end + count, device=scores.device)
            boxes = self._decode(maps, prior.expand(len(scores), -1))
            touching = (boxes[..., 2:] == largest[:, None, None]).any(-1) & _large(boxes, cfg)
            best = torch.where(touching, scores.amax(-1), -1.0).amax(1)
            ahead = (scores >= best[:, None, None]).sum((1, 2))
            known |= (best > cfg.get("score_thr", 0)) & (ahead <= cfg["nms_pre"])
            if known.all():
                break
        return largest, known

    def _predict_from_all_candidates(self, maps: _Maps, cfg: Any) -> list[InstanceData]:
        """Boxes from all candidates."""
        scores = maps.logits.softmax(-1)[..., :-1]
        levels = [level.flatten(1) for level in scores.split(maps.counts, 1)]
        scores, index, valid = select_candidates(levels, cfg.get("score_thr", 0), cfg["nms_pre"])
        boxes = self._decode(maps, index // self.num_classes)
        valid = valid & _large(boxes, cfg)
        return [self._suppress(*image, cfg) for image in zip(boxes, scores, index, valid)]

    def _join(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        metas: Sequence[dict[str, Any]],
        rescale: bool,
    ) -> _Maps:
        # Boxes and scores are computed in full precision even if the network ran in half precision.
        levels = [_flat(level, self.cls_out_channels) for level in cls_scores]
        logits = torch.cat(levels, 1)
        deltas = torch.cat([_flat(level, 4) for level in bbox_preds], 1)
        sizes = tuple(tuple(level.shape[-2:]) for level in cls_scores)
        last = self._priors
        if last is None or last[0] != (sizes, deltas.device):
            # One assignment, since several threads may predict at once.
            self._priors = last = (sizes, deltas.device), self._grid_priors(sizes, deltas)
        factors = None
        if rescale:
            inverse = [[1 / factor for factor in meta["scale_factor"]] * 2 for meta in metas]
            factors = deltas.new_tensor(inverse)[:, None]
        limits = deltas.new_tensor([[*meta["img_shape"][1::-1]] * 2 for meta in metas])[:, None]
        counts = [level.shape[1] for level in levels]
        return _Maps(logits, deltas, last[1], counts, limits, factors)

    def _decode(self, maps: _Maps, prior: Tensor) -> Tensor:
        """Boxes (B, M, 4) of the priors with the given indices (B, M), clipped to their images."""
        deltas = maps.deltas.gather(1, prior[..., None].expand(-1, -1, 4))
        boxes = self._boxes(maps.priors[prior], deltas, maps.limits)
        return boxes if maps.factors is None else boxes * maps.factors

    def _boxes(self, priors: Tensor, deltas: Tensor, limits: Tensor) -> Tensor:
        """Boxes (B, M, 4) in pixels of the network's input, clipped to it."""
        boxes = self.bbox_coder.decode(priors.flatten(0, 1), deltas.flatten(0, 1)).view_as(deltas)
        return torch.minimum(boxes.clamp(min=0), limits) if self.bbox_coder.clip_border else boxes

    def _grid_priors(self, levels: Sequence[Sequence[int]], like: Tensor) -> Tensor:
        priors = self.prior_generator.grid_priors(levels, dtype=like.dtype, device=like.device)
        return torch.cat(priors)

    def decode_all(
        self, levels: list[Tensor], bbox_preds: list[Tensor], image_size: Sequence[int]
    ) -> Tensor:
        """Boxes (B, N, 4) of all N priors in pixels of the network's input, clipped to it."""
        deltas = torch.cat([_flat(level, 4) for level in bbox_preds], 1)
        priors = self._grid_priors([level.shape[-2:] for level in levels], deltas)
        height, width = (int(length) for length in image_size)
        limits = deltas.new_tensor([width, height] * 2)
        return self._boxes(priors.expand_as(deltas), deltas, limits)

    def candidate_scores(self, levels: list[Tensor]) -> Tensor:
        """Scores (B, N, classes) of all priors, 0 for scores outside the ``nms_pre`` best of their level."""
        kept = []
        for level in levels:
            scores = _flat(level, self.cls_out_channels).softmax(-1)[..., :-1]
            best, index = scores.flatten(1).topk(min(self.test_cfg["nms_pre"], scores[0].numel()))
            candidates = torch.zeros_like(scores).flatten(1).scatter(1, index, best)
            kept.append(candidates.view_as(scores))
        return torch.cat(kept, 1)

    def _suppress(
        self,
        boxes: Tensor,
        scores: Tensor,
        index: Tensor,
        valid: Tensor,
        cfg: Any,
        largest: Tensor | None = None,
    ) -> InstanceData:
        """The D most confident boxes of one image; see `detector.model.top_d.top_survivors`."""
        valid = valid.nonzero()[:, 0]
        boxes, labels = boxes[valid], index[valid] % self.num_classes
        threshold, number = cfg["nms"]["iou_threshold"], cfg["max_per_img"]
        kept = top_survivors(boxes, labels, threshold, number, largest)
        return InstanceData(bboxes=boxes[kept], scores=scores[valid[kept]], labels=labels[kept])

    def predict_image_by_image(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_img_metas: Sequence[dict[str, Any]],
        cfg: Any = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[InstanceData]:
        """Predict with mmdet's own post-processing, the reference for `predict_by_feat`.

        Arguments and return value are those of `predict_by_feat`.
        """
        return super().predict_by_feat(
            [level.float() for level in cls_scores],
            [level.float() for level in bbox_preds],
            None,
            list(batch_img_metas),
            self.test_cfg if cfg is None else cfg,
            rescale,
            with_nms,
        )


@dataclass(frozen=True)
class _Maps:
    """The network's outputs for a batch, with the N priors of all levels concatenated.

    Attributes:
        logits: (B, N, classes + 1) float32, background last.
        deltas: (B, N, 4) float32.
        priors: (N, 4) float32.
        counts: Number of priors of each level.
        limits: (B, 1, 4) float32, width, height, width, height of the network's input.
        factors: (B, 1, 4) float32 that scale boxes to the stored image, or None to keep them.
    """

    logits: Tensor
    deltas: Tensor
    priors: Tensor
    counts: list[int]
    limits: Tensor
    factors: Tensor | None

    def select(self, images: list[int]) -> _Maps:
        """The outputs for some of the images."""
        factors = None if self.factors is None else self.factors[images]
        return _Maps(
            self.logits[images],
            self.deltas[images],
            self.priors,
            self.counts,
            self.limits[images],
            factors,
        )


def _large(boxes: Tensor, cfg: Any) -> Tensor:
    """Whether boxes (..., 4) are larger than ``min_bbox_size``, (...) bool."""
    smallest = cfg.get("min_bbox_size", -1)
    return (boxes[..., 2:] - boxes[..., :2] > (smallest if smallest >= 0 else -torch.inf)).all(-1)


def _flat(level: Tensor, channels: int) -> Tensor:
    """Reshape (B, priors * channels, H, W) to (B, H * W * priors, channels) float32."""
    return level.detach().float().permute(0, 2, 3, 1).reshape(level.shape[0], -1, channels)


def _check_test_cfg(cfg: Any) -> None:
    suppression = dict(cfg.get("nms") or {})
    if suppression.keys() != {"type", "iou_threshold"} or suppression["type"] != "nms":
        raise DetectorError(
            "test_cfg.nms of PartSSDHead must be dict(type='nms', iou_threshold=...), "
            f"not {suppression or None}"
        )
    for key in ("nms_pre", "max_per_img"):
        if cfg.get(key, 0) < 1:
            raise DetectorError(f"test_cfg.{key} of PartSSDHead must be at least 1")
