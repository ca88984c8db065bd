"""Average precision of a part detector by the rules of Pascal VOC and COCO, in total and per attribute."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmdet.evaluation.functional.mean_ap import average_precision, tpfp_default
from mmdet.registry import METRICS
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

Boxes = dict[str, np.ndarray]


@METRICS.register_module()
class PartsMetric(BaseMetric):
    """Average precision of parts.

    Keys: ``parts/mAP`` (VOC, area under the curve at IoU 0.5), ``parts/AP50_<attribute>``,
    ``parts/COCO_AP`` (mean over IoU 0.50:0.05:0.95) and ``parts/COCO_AP_<attribute>``. An attribute
    without annotated boxes has no key and does not enter the means. Boxes marked difficult are ignored,
    detected or not. Boxes are right and bottom exclusive, so ``x2 - x1`` here is VOC's ``x2 - x1 + 1``.
    """

    default_prefix = "parts"

    def process(self, data_batch: Any, data_samples: Sequence[dict[str, Any]]) -> None:
        """Collect the predicted and the annotated boxes of a batch, in pixels of the original image."""
        for sample in data_samples:
            self.results.append(
                {
                    "found": _arrays(sample["pred_instances"], ("bboxes", "scores", "labels")),
                    "true": _arrays(sample["gt_instances"], ("bboxes", "labels")),
                    "difficult": _arrays(sample["ignored_instances"], ("bboxes", "labels")),
                }
            )

    def compute_metrics(self, results: list[dict[str, Boxes]]) -> dict[str, float]:
        """Compute the metrics from all images and log a table."""
        classes = self.dataset_meta["classes"]
        voc = [voc_average_precision(results, label) for label in range(len(classes))]
        coco = coco_average_precisions(results, len(classes))
        counts = np.bincount(
            np.concatenate([r["true"]["labels"] for r in results]), minlength=len(classes)
        )
        present = [
            (label, voc_ap, coco_ap)
            for label, (voc_ap, coco_ap) in enumerate(zip(voc, coco))
            if voc_ap is not None and coco_ap is not None
        ]
        metrics = {
            "mAP": float(np.mean([voc_ap for _, voc_ap, _ in present])) if present else 0.0,
            "COCO_AP": float(np.mean([coco_ap for *_, coco_ap in present])) if present else 0.0,
        }
        rows = [f"{'attribute':14}{'boxes':>7}{'AP50':>8}{'COCO AP':>9}"]
        for label, voc_ap, coco_ap in present:
            name = classes[label]
            metrics[f"AP50_{name}"], metrics[f"COCO_AP_{name}"] = voc_ap, coco_ap
            rows.append(f"{name:14}{counts[label]:7d}{voc_ap:8.3f}{coco_ap:9.3f}")
        rows.append(f"{'mean':14}{counts.sum():7d}{metrics['mAP']:8.3f}{metrics['COCO_AP']:9.3f}")
        print_log("\n".join(rows), logger="current")
        return metrics


def voc_average_precision(
    results: Sequence[dict[str, Boxes]], label: int, iou: float = 0.5
) -> float | None:
    """Average precision of one class by Pascal VOC's rule: area under the interpolated curve.

    Source: Everingham et al., "The Pascal Visual Object Classes Challenge", IJCV 2010, as computed by mmdet.

    Args:
        results: One dict per image: ``found`` (bboxes, scores, labels), ``true`` and ``difficult`` (bboxes,
            labels), as arrays of shapes (n, 4), (n,) and (n,).
        label: The class.
        iou: Minimum IoU of a true positive.

    Returns:
        The average precision, or None if no image has a box of the class that is not difficult.

    >>> box, none = np.array([[0, 0, 9, 9]], np.float32), np.zeros((0, 4), np.float32)
    >>> found = {"bboxes": box, "scores": np.array([0.9], np.float32), "labels": np.array([0])}
    >>> true = {"bboxes": box, "labels": np.array([0])}
    >>> difficult = {"bboxes": none, "labels": np.zeros(0, int)}
    >>> voc_average_precision([{"found": found, "true": true, "difficult": difficult}], label=0)
    1.0
    """
    hits, misses, scores, total = [], [], [], 0
    for result in results:
        found, true, difficult = (result[key] for key in ("found", "true", "difficult"))
        chosen = found["labels"] == label
        boxes = np.hstack([found["bboxes"][chosen], found["scores"][chosen, None]])
        counted = true["bboxes"][true["labels"] == label]
        ignored = difficult["bboxes"][difficult["labels"] == label]
        total += len(counted)
        hit, miss = tpfp_default(boxes, counted, ignored, iou)
        hits.append(hit[0])
        misses.append(miss[0])
        scores.append(found["scores"][chosen])
    if not total:
        return None
    order = np.argsort(-np.concatenate(scores), kind="stable")
    hit, miss = (np.cumsum(np.concatenate(flags)[order]) for flags in (hits, misses))
    return float(average_precision(hit / total, hit / np.maximum(hit + miss, 1e-9)))


def coco_average_precisions(
    results: Sequence[dict[str, Boxes]], num_classes: int
) -> list[float | None]:
    """COCO's AP of each class (IoU 0.50:0.05:0.95, all areas, 100 boxes per image), by pycocotools.

    Args:
        results: As for `voc_average_precision`.
        num_classes: Number of classes.

    Returns:
        The AP of each class, or None if no image has a box of the class that is not difficult.
    """
    truth, found = [], []
    for image, result in enumerate(results):
        for key in ("true", "difficult"):
            for box, label in zip(result[key]["bboxes"], result[key]["labels"]):
                truth.append(_coco(image, box, label) | {"iscrowd": int(key == "difficult")})
                truth[-1]["id"] = len(truth)
        for box, label, score in zip(*(result["found"][k] for k in ("bboxes", "labels", "scores"))):
            found.append(_coco(image, box, label) | {"score": float(score)})
    if not truth or not found:
        present = {item["category_id"] for item in truth if not item["iscrowd"]}
        return [0.0 if label in present else None for label in range(num_classes)]
    categories = [{"id": label} for label in range(num_classes)]
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {
            "info": {},
            "images": [{"id": image} for image in range(len(results))],
            "categories": categories,
            "annotations": truth,
        }
        coco.createIndex()
        evaluation = COCOeval(coco, coco.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
    precision = evaluation.eval["precision"][:, :, :, 0, 2]  # (IoU, recall, class)
    return [
        float(values.mean()) if (values > -1).all() else None
        for values in np.moveaxis(precision, 2, 0)
    ]


def _coco(image: int, box: np.ndarray, label: int) -> dict[str, Any]:
    x1, y1, x2, y2 = (float(value) for value in box)
    return {
        "image_id": image,
        "category_id": int(label),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
        "area": (x2 - x1) * (y2 - y1),
    }


def _arrays(instances: Any, keys: Sequence[str]) -> Boxes:
    return {key: np.asarray(instances[key].cpu()) for key in keys}
