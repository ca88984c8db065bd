"""Average precision of parts by the rules of VOC and COCO."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from detector.model.metric import PartsMetric, coco_average_precisions, voc_average_precision

BOX = [10.0, 10.0, 30.0, 30.0]


def found(boxes: list, scores: list, labels: list) -> dict[str, torch.Tensor]:
    return {
        "bboxes": torch.tensor(boxes, dtype=torch.float32).reshape(-1, 4),
        "scores": torch.tensor(scores, dtype=torch.float32),
        "labels": torch.tensor(labels, dtype=torch.int64),
    }


def sample(predicted: dict, true: dict, difficult: dict | None = None) -> dict:
    nothing = found([], [], [])
    return {
        "pred_instances": predicted,
        "gt_instances": true,
        "ignored_instances": difficult or nothing,
    }


def evaluate(samples: list[dict]) -> dict[str, float]:
    metric = PartsMetric()
    metric.dataset_meta = {"classes": ("wheel", "plate", "logo")}
    metric.process(None, samples)
    return metric.evaluate(len(samples))


def test_perfect_boxes_score_one_and_absent_attributes_have_no_key() -> None:
    true = found([BOX, [40, 40, 50, 60]], [1, 1], [0, 1])
    scores = evaluate([sample(found(true["bboxes"].tolist(), [0.9, 0.8], [0, 1]), true)])
    assert scores == pytest.approx(
        {
            "parts/mAP": 1,
            "parts/COCO_AP": 1,
            "parts/AP50_wheel": 1,
            "parts/COCO_AP_wheel": 1,
            "parts/AP50_plate": 1,
            "parts/COCO_AP_plate": 1,
        }
    )


def test_false_positives_of_an_absent_attribute_do_not_count() -> None:
    true = found([BOX], [1], [0])
    scores = evaluate([sample(found([BOX, BOX], [0.5, 0.9], [0, 2]), true)])
    assert scores["parts/mAP"] == 1
    assert "parts/AP50_logo" not in scores


def test_no_prediction_scores_zero() -> None:
    scores = evaluate([sample(found([], [], []), found([BOX], [1], [0]))])
    assert scores == {
        "parts/mAP": 0,
        "parts/COCO_AP": 0,
        "parts/AP50_wheel": 0,
        "parts/COCO_AP_wheel": 0,
    }


def test_difficult_boxes_are_ignored() -> None:
    true, difficult = found([BOX], [1], [0]), found([[50, 50, 60, 60]], [1], [0])
    predicted = found([[50, 50, 60, 60], BOX], [0.9, 0.8], [0, 0])
    scores = evaluate([sample(predicted, true, difficult)])
    assert scores["parts/mAP"] == 1
    assert scores["parts/COCO_AP"] == pytest.approx(1)


def test_iou_uses_end_exclusive_boxes() -> None:
    """A shift of 4 in 20 pixels: IoU 16 / 24, a hit at 0.50 to 0.65 of COCO's ten thresholds."""
    shifted = [14.0, 10.0, 34.0, 30.0]
    scores = evaluate([sample(found([shifted], [0.9], [0]), found([BOX], [1], [0]))])
    assert scores["parts/AP50_wheel"] == 1
    assert scores["parts/COCO_AP_wheel"] == pytest.approx(0.4)


def literal_ap(results: list[dict], label: int) -> float:
    """Pascal VOC's definition: rank all boxes, match greedily, integrate the interpolated curve."""
    ranked = sorted(
        (
            (-score, image, box)
            for image, r in enumerate(results)
            for box, score, kind in zip(*(r["found"][k] for k in ("bboxes", "scores", "labels")))
            if kind == label
        ),
        key=lambda item: item[0],
    )
    true = [r["true"]["bboxes"][r["true"]["labels"] == label] for r in results]
    total, taken = sum(map(len, true)), set()
    hits = []
    for _, image, box in ranked:
        overlaps = []
        for other in true[image]:
            low, high = np.maximum(box[:2], other[:2]), np.minimum(box[2:], other[2:])
            inter = np.prod(np.clip(high - low, 0, None))
            area = np.prod(box[2:] - box[:2]) + np.prod(other[2:] - other[:2])
            overlaps.append(inter / (area - inter))
        best = int(np.argmax(overlaps)) if overlaps else -1
        hit = best >= 0 and overlaps[best] >= 0.5 and (image, best) not in taken
        taken |= {(image, best)} if hit else set()
        hits.append(hit)
    recall = np.cumsum(hits) / total
    precision = np.cumsum(hits) / np.arange(1, len(hits) + 1)
    area, last = 0.0, 0.0
    for k in range(len(hits)):
        area += (recall[k] - last) * precision[k:].max()
        last = recall[k]
    return area


@pytest.mark.parametrize("seed", range(5))
def test_voc_average_precision_equals_the_definition(seed: int) -> None:
    rng = np.random.default_rng(seed)
    results = []
    for _ in range(12):
        true = rng.integers(0, 60, (4, 2))
        true = np.concatenate([true, true + rng.integers(8, 30, (4, 2))], 1).astype(np.float32)
        guesses = np.concatenate([true + rng.integers(-3, 4, true.shape), true[:2] + 7])
        results.append(
            {
                "found": {
                    "bboxes": guesses.astype(np.float32),
                    "scores": rng.permutation(100)[:6].astype(np.float32),
                    "labels": rng.integers(0, 2, 6),
                },
                "true": {"bboxes": true, "labels": rng.integers(0, 2, 4)},
                "difficult": {"bboxes": true[:0], "labels": np.zeros(0, int)},
            }
        )
    for image, result in enumerate(results):
        result["found"]["scores"] += image / 100  # no ties: their order is undefined
    for label in range(2):
        assert voc_average_precision(results, label) == pytest.approx(literal_ap(results, label))
    coco = coco_average_precisions(results, 3)
    assert all(0 < value < 1 for value in coco[:2])
    assert coco[2] is None
    assert voc_average_precision(results, 2) is None
