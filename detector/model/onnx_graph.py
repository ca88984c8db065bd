"""The part detector as one function of tensors, with its suppression: what an ONNX file holds."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from detector.common.errors import DetectorError
from detector.model.part_head import PartSSDHead


class DetectorNetwork(nn.Module):
    """Images in, the D most confident boxes of each out: `PartSSDHead` for a graph without loops.

    Args:
        model: mmdet's detector with a `PartSSDHead`; its ``test_cfg`` holds D and the rest.

    Raises:
        DetectorError: It has another head.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        if not isinstance(getattr(model, "bbox_head", None), PartSSDHead):
            raise DetectorError(
                "model.bbox_head is not a PartSSDHead: no other head is exported; see configs/detector"
            )
        self.model = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find parts.

        Args:
            images: (B, 3, H, W) float32, normalised.

        Returns:
            boxes (B, D, 4) float32 ``x1 y1 x2 y2`` in pixels of the input, right and bottom exclusive; scores
            (B, D) float32, most confident first; labels (B, D) int64. Empty slots are zero in all.
        """
        head = self.model.bbox_head
        levels, deltas = head(self.model.extract_feat(images))
        boxes = head.decode_all(levels, deltas, images.shape[2:])
        scores = head.candidate_scores(levels)
        cfg = head.test_cfg
        if (smallest := cfg.get("min_bbox_size", -1)) >= 0:
            large = (boxes[..., 2:] - boxes[..., :2] > smallest).all(-1, keepdim=True)
            scores = scores * large
        kept = _Suppress.apply(
            boxes,
            scores.transpose(1, 2),
            cfg["max_per_img"],
            cfg["nms"]["iou_threshold"],
            cfg.get("score_thr", 0),
        )
        classes = scores.shape[2]
        best, index = (scores * kept.transpose(1, 2)).flatten(1).topk(cfg["max_per_img"])
        place = (index // classes)[..., None].expand(-1, -1, 4)
        found = best > 0
        return boxes.gather(1, place) * found[..., None], best, index % classes * found


class _Suppress(torch.autograd.Function):
    """Suppression per image and class; in ONNX, its NonMaxSuppression."""

    @staticmethod
    def forward(
        ctx: Any, boxes: Tensor, scores: Tensor, number: int, iou: float, threshold: float
    ) -> Tensor:
        """Boxes (B, N, 4), scores (B, C, N) -> (B, C, N) float32, 1 for a survivor."""
        kept = torch.zeros_like(scores)
        for image, of_image in enumerate(scores):
            labels, places = (of_image > threshold).nonzero(as_tuple=True)
            chosen = batched_nms(boxes[image][places], of_image[labels, places], labels, iou)
            kept[image, labels[chosen], places[chosen]] = 1
        return kept

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, number: int, iou: float, threshold: float) -> Any:
        """Scatter a one to the place of each survivor that the operator names."""

        def constant(value: Any, dtype: torch.dtype) -> Any:
            return g.op("Constant", value_t=torch.tensor(value, dtype=dtype))

        limits = [constant([number], torch.int64)]
        limits += [constant([value], torch.float32) for value in (iou, threshold)]
        survivors = g.op("NonMaxSuppression", boxes, scores, *limits)  # (K, 3): image, class, place
        zeros = g.op(
            "ConstantOfShape", g.op("Shape", scores), value_t=torch.zeros(1, dtype=torch.float32)
        )
        first = [constant([value], torch.int64) for value in (0, 1)]
        ones = g.op(
            "ConstantOfShape",
            g.op("Slice", g.op("Shape", survivors), *first),
            value_t=torch.ones(1, dtype=torch.float32),
        )
        return g.op("ScatterND", zeros, survivors, ones).setType(scores.type())
