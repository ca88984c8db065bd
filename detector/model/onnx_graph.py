"""The part detector as one function of tensors, including non-maximum suppression, for export to ONNX."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torchvision.ops import batched_nms

from detector.common.errors import DetectorError
from detector.model.part_head import PartSSDHead

if TYPE_CHECKING:
    from mmdet.models.detectors import BaseDetector


class DetectorNetwork(nn.Module):
    """A detector that returns the D most confident boxes of each image, as a graph without loops.

    Args:
        model: Detector of mmdet with a `PartSSDHead`. Its ``test_cfg`` states D (``max_per_img``), the
            thresholds and the number of candidates.

    Raises:
        DetectorError: The model has another head.
    """

    def __init__(self, model: BaseDetector) -> None:
        super().__init__()
        if not isinstance(getattr(model, "bbox_head", None), PartSSDHead):
            raise DetectorError(
                "model.bbox_head is not a PartSSDHead, the only head that can be exported: see "
                "configs/detector"
            )
        self.model: BaseDetector = model

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find parts.

        Args:
            images: (B, 3, H, W) float32, normalised.

        Returns:
            boxes (B, D, 4) float32 ``x1 y1 x2 y2`` in pixels of the input, right and bottom exclusive; scores
            (B, D) float32, most confident first; labels (B, D) int64. Empty slots are zero in all three.
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
        prior = (index // classes)[..., None].expand(-1, -1, 4)
        found = best > 0
        return boxes.gather(1, prior) * found[..., None], best, index % classes * found


class _Suppress(torch.autograd.Function):
    """Non-maximum suppression per image and class; exported as ONNX's NonMaxSuppression."""

    @staticmethod
    def forward(
        ctx: Any, boxes: Tensor, scores: Tensor, number: int, iou: float, threshold: float
    ) -> Tensor:
        """Map boxes (B, N, 4) and scores (B, C, N) to (B, C, N) float32, 1 for each box that is kept."""
        kept = torch.zeros_like(scores)
        for image, image_scores in enumerate(scores):
            labels, priors = (image_scores > threshold).nonzero(as_tuple=True)
            chosen = batched_nms(boxes[image][priors], image_scores[labels, priors], labels, iou)
            kept[image, labels[chosen], priors[chosen]] = 1
        return kept

    @staticmethod
    def symbolic(g: Any, boxes: Any, scores: Any, number: int, iou: float, threshold: float) -> Any:
        """Write 1 at the index of each box that the ONNX operator keeps."""

        def constant(value: Any, dtype: torch.dtype) -> Any:
            return g.op("Constant", value_t=torch.tensor(value, dtype=dtype))

        limits = [constant([number], torch.int64)]
        limits += [constant([value], torch.float32) for value in (iou, threshold)]
        kept = g.op("NonMaxSuppression", boxes, scores, *limits)  # (K, 3): image, class, prior
        zeros = g.op(
            "ConstantOfShape", g.op("Shape", scores), value_t=torch.zeros(1, dtype=torch.float32)
        )
        first = [constant([value], torch.int64) for value in (0, 1)]
        ones = g.op(
            "ConstantOfShape",
            g.op("Slice", g.op("Shape", kept), *first),
            value_t=torch.ones(1, dtype=torch.float32),
        )
        return g.op("ScatterND", zeros, kept, ones).setType(scores.type())
