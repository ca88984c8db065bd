"""SSD's head with a prediction that works on mmdet 3.3 and is made for a whole batch at once.

Source: Liu et al., "SSD: Single Shot MultiBox Detector", ECCV 2016. The part detector of Zhang et al.
(arXiv 1909.06023, section III-B) suppresses per class at 0.45, keeps every score, and takes the D most
confident boxes whatever their label.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import SSDHead
from mmdet.registry import MODELS
from mmengine.structures import InstanceData
from torch import Tensor

from detector.errors import DetectorError
from detector.top_d import select_candidates, top_survivors


@MODELS.register_module()
class PartSSDHead(SSDHead):
    """SSD head whose prediction is the exact top-D of a batch.

    ``test_cfg``: ``nms=dict(type='nms', iou_threshold=0.45)``, ``score_thr=0``, ``nms_pre``
    (candidates a level), ``max_per_img`` (D), ``min_bbox_size``.

    Raises:
        DetectorError: ``test_cfg`` asks for another suppression.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # SSDHead never sets it, and mmdet 3.3 reads it when predicting (mmdetection #11063).
        self.loss_cls = None
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
        """Boxes of a batch; the same, bit for bit, as `predict_image_by_image` gives.

        Args:
            cls_scores: For each level (B, priors * (classes + 1), H, W) logits, background last.
            bbox_preds: For each level (B, priors * 4, H, W) deltas.
            score_factors: Not used by SSD.
            batch_img_metas: For each image ``img_shape`` and, to rescale, ``scale_factor``.
            cfg: In place of ``test_cfg``.
            rescale: Boxes in pixels of the original image, not of the network's input.
            with_nms: Without suppression, mmdet's own path answers.

        Returns:
            For each image ``bboxes`` (n, 4), ``scores`` (n,) and ``labels`` (n,), most confident
            first, equal scores by level, then place, then class.
        """
        cfg = self.test_cfg if cfg is None else cfg
        if not with_nms:
            return self.predict_image_by_image(
                cls_scores, bbox_preds, batch_img_metas, cfg, rescale, with_nms
            )
        _check_test_cfg(cfg)
        logits = [_flat(level, self.cls_out_channels) for level in cls_scores]
        # Boxes and scores are worth full precision, whatever the network ran in.
        scores = [level.softmax(-1)[..., :-1].flatten(1) for level in logits]
        deltas = torch.cat([_flat(level, 4) for level in bbox_preds], 1)
        found, index, valid = select_candidates(scores, cfg.get("score_thr", 0), cfg["nms_pre"])
        place, labels = index // self.num_classes, index % self.num_classes
        boxes = self._decode(cls_scores, deltas, place, batch_img_metas, rescale)
        if (smallest := cfg.get("min_bbox_size", -1)) >= 0:
            valid = valid & (boxes[..., 2:] - boxes[..., :2] > smallest).all(-1)
        return [
            self._survivors(boxes[i][valid[i]], found[i][valid[i]], labels[i][valid[i]], cfg)
            for i in range(len(batch_img_metas))
        ]

    def _decode(
        self,
        levels: list[Tensor],
        deltas: Tensor,
        place: Tensor,
        metas: Sequence[dict[str, Any]],
        rescale: bool,
    ) -> Tensor:
        """Boxes (B, M, 4) at the given places (B, M), clipped to their images."""
        priors = torch.cat(
            self.prior_generator.grid_priors(
                [level.shape[-2:] for level in levels], dtype=deltas.dtype, device=deltas.device
            )
        )
        picked = deltas.gather(1, place[..., None].expand(-1, -1, 4))
        decoded = self.bbox_coder.decode(priors[place.flatten()], picked.flatten(0, 1))
        boxes = decoded.view(*place.shape, 4)
        limits = boxes.new_tensor([[*meta["img_shape"][1::-1]] * 2 for meta in metas])[:, None]
        if self.bbox_coder.clip_border:
            boxes = torch.minimum(boxes.clamp(min=0), limits)
        if rescale:
            factors = [[1 / factor for factor in meta["scale_factor"]] * 2 for meta in metas]
            boxes = boxes * boxes.new_tensor(factors)[:, None]
        return boxes

    def decode_all(
        self, levels: list[Tensor], bbox_preds: list[Tensor], image_size: Sequence[int]
    ) -> Tensor:
        """Boxes (B, N, 4) of all N priors in pixels of the network's input, clipped to it."""
        deltas = torch.cat([_flat(level, 4) for level in bbox_preds], 1)
        place = torch.arange(deltas.shape[1], device=deltas.device).expand(deltas.shape[0], -1)
        meta = {"img_shape": tuple(int(length) for length in image_size)}
        return self._decode(levels, deltas, place, [meta], False)

    def candidate_scores(self, levels: list[Tensor]) -> Tensor:
        """Scores (B, N, classes) of all priors, 0 for what is no candidate of its level."""
        kept = []
        for level in levels:
            scores = _flat(level, self.cls_out_channels).softmax(-1)[..., :-1]
            best, index = scores.flatten(1).topk(min(self.test_cfg["nms_pre"], scores[0].numel()))
            candidates = torch.zeros_like(scores).flatten(1).scatter(1, index, best)
            kept.append(candidates.view_as(scores))
        return torch.cat(kept, 1)

    def _survivors(self, boxes: Tensor, scores: Tensor, labels: Tensor, cfg: Any) -> InstanceData:
        threshold, number = cfg["nms"]["iou_threshold"], cfg["max_per_img"]
        kept = top_survivors(boxes, labels, threshold, number)
        return InstanceData(bboxes=boxes[kept], scores=scores[kept], labels=labels[kept])

    def predict_image_by_image(
        self,
        cls_scores: list[Tensor],
        bbox_preds: list[Tensor],
        batch_img_metas: Sequence[dict[str, Any]],
        cfg: Any = None,
        rescale: bool = False,
        with_nms: bool = True,
    ) -> list[InstanceData]:
        """The reference: mmdet's own post-processing, with mmcv's suppression.

        Args and returns as `predict_by_feat`.
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


def _flat(level: Tensor, channels: int) -> Tensor:
    """(B, priors * channels, H, W) of any precision to (B, H * W * priors, channels) float32."""
    return level.detach().float().permute(0, 2, 3, 1).reshape(level.shape[0], -1, channels)


def _check_test_cfg(cfg: Any) -> None:
    suppression = dict(cfg.get("nms") or {})
    if suppression.keys() != {"type", "iou_threshold"} or suppression["type"] != "nms":
        raise DetectorError(
            "test_cfg.nms of PartSSDHead is dict(type='nms', iou_threshold=...), "
            f"not {suppression or None}"
        )
    for key in ("nms_pre", "max_per_img"):
        if cfg.get(key, 0) < 1:
            raise DetectorError(f"test_cfg.{key} of PartSSDHead must be at least 1")
