"""The SSD head: it predicts the same top D boxes as mmdet for each image, and trains."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.registry import init_default_scope
from mmengine.structures import InstanceData
from torch import Tensor
from torchvision.ops import nms

from detector.common.errors import DetectorError
from detector.model.part_head import PartSSDHead
from detector.model.top_d import first_candidates, order_keys, select_candidates, top_survivors
from pgan.benchmarks.top_d import random_outputs, ssd300_head, top_d_benchmark
from tests.detector.parts_samples import paint

pytestmark = pytest.mark.slow

KEYS = ("bboxes", "scores", "labels")


@pytest.fixture
def stable_mmdet(monkeypatch: pytest.MonkeyPatch) -> None:
    """mmdet's own prediction with stable sorts; its sorts leave the order of ties undefined."""
    sort = torch.Tensor.sort

    def stable(self: Tensor, dim: int = -1, **kwargs: bool) -> tuple[Tensor, Tensor]:
        return sort(self, dim=dim, **kwargs | {"stable": True})

    class StableNMS:
        @staticmethod
        def apply(boxes: Tensor, scores: Tensor, threshold: float, *_: object) -> Tensor:
            # torchvision documents a stable order; mmcv compares in float32.
            return nms(boxes, scores, float(np.float32(threshold)))

    monkeypatch.setattr(torch.Tensor, "sort", stable)
    # The package re-exports a function with the name of its module.
    monkeypatch.setattr(sys.modules["mmcv.ops.nms"], "NMSop", StableNMS)


def assert_equal_boxes(ours: list[InstanceData], theirs: list[InstanceData]) -> None:
    assert len(ours) == len(theirs)
    for mine, other in zip(ours, theirs):
        for key in KEYS:
            torch.testing.assert_close(mine[key], other[key], rtol=0, atol=0)


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("max_parts", [1, 16, 200])
def test_predict_by_feat_equals_mmdet_on_random_outputs(max_parts: int, rescale: bool) -> None:
    head = ssd300_head(max_parts=max_parts)
    logits, deltas, metas = random_outputs(4, seed=max_parts)
    ours = head.predict_by_feat(logits, deltas, batch_img_metas=metas, rescale=rescale)
    theirs = head.predict_image_by_image(logits, deltas, metas, rescale=rescale)
    assert all(len(found) == max_parts for found in ours)
    assert_equal_boxes(ours, theirs)


@pytest.mark.usefixtures("stable_mmdet")
@pytest.mark.parametrize("seed", range(4))
def test_predict_by_feat_breaks_ties_by_level_position_and_class(seed: int) -> None:
    head = ssd300_head(max_parts=50)
    logits, deltas, metas = random_outputs(3, seed=seed)
    logits = [4.0 * (level > 2) for level in logits]  # few different scores, and many equal ones
    deltas = [level.round() for level in deltas]
    ours = head.predict_by_feat(logits, deltas, batch_img_metas=metas)
    assert any((found.scores.diff() == 0).any() for found in ours)
    assert_equal_boxes(ours, head.predict_image_by_image(logits, deltas, metas))


@pytest.mark.usefixtures("stable_mmdet")
def test_predict_by_feat_equals_mmdet_if_all_logits_are_equal() -> None:
    head = ssd300_head(max_parts=16)
    logits, deltas, metas = random_outputs(2)
    zeros = [torch.zeros_like(level) for level in logits]
    ours = head.predict_by_feat(zeros, deltas, batch_img_metas=metas)
    assert_equal_boxes(ours, head.predict_image_by_image(zeros, deltas, metas))
    assert ours[0].labels.tolist() == sorted(ours[0].labels.tolist())


@pytest.mark.parametrize(
    "change",
    [
        {"score_thr": 0.2},
        {"score_thr": 2},
        {"nms_pre": 7},
        {"min_bbox_size": 30},
        {"nms": {"type": "nms", "iou_threshold": 0.1}},
    ],
)
def test_predict_by_feat_follows_test_cfg(change: dict) -> None:
    head = ssd300_head(max_parts=40)
    cfg = ConfigDict(head.test_cfg, **change)
    logits, deltas, metas = random_outputs(3, seed=5)
    metas[1] |= {"img_shape": (250, 300), "scale_factor": (0.3, 2.0)}
    ours = head.predict_by_feat(logits, deltas, batch_img_metas=metas, cfg=cfg, rescale=True)
    theirs = head.predict_image_by_image(logits, deltas, metas, cfg, rescale=True)
    assert_equal_boxes(ours, theirs)


@pytest.fixture
def exhausted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """For each batch, the number of images that needed all their candidates."""
    seen: list[int] = []
    from_all = PartSSDHead._predict_from_all_candidates

    def count(self: PartSSDHead, maps: Any, cfg: ConfigDict) -> list[InstanceData]:
        seen.append(len(maps.logits))
        return from_all(self, maps, cfg)

    monkeypatch.setattr(PartSSDHead, "_predict_from_all_candidates", count)
    return seen


def test_first_candidates_suffice_for_an_ordinary_image(exhausted: list[int]) -> None:
    head = ssd300_head()
    logits, deltas, metas = random_outputs(4)
    assert_equal_boxes(
        head.predict_by_feat(logits, deltas, batch_img_metas=metas, rescale=True),
        head.predict_image_by_image(logits, deltas, metas, rescale=True),
    )
    cfg = ConfigDict(head.test_cfg, score_thr=0.97)
    found = head.predict_by_feat(logits, deltas, batch_img_metas=metas, cfg=cfg)
    assert 0 < len(found[0]) < 16
    assert_equal_boxes(found, head.predict_image_by_image(logits, deltas, metas, cfg))
    assert not exhausted


@pytest.mark.usefixtures("stable_mmdet")
def test_unusual_images_use_all_candidates(exhausted: list[int]) -> None:
    """Equal scores, many overlapping boxes, no box at the border, NaN, few candidates per level."""
    head = ssd300_head()
    logits, deltas, metas = random_outputs(5, seed=3)
    for level, change in zip(logits, deltas):
        level[0] = 0
        level[1] -= 5 * (torch.arange(len(level[1])) % 17 != 2)[:, None, None]
        change[1] = 0
        level[3, 5] = float("nan")
    metas[2] |= {"img_shape": (3000, 3000)}
    for settings in ({}, {"nms_pre": 7}, {"score_thr": 0.97}, {"min_bbox_size": 100}):
        cfg = ConfigDict(head.test_cfg, **settings)
        exhausted.clear()
        ours = head.predict_by_feat(logits, deltas, batch_img_metas=metas, cfg=cfg, rescale=True)
        assert_equal_boxes(ours, head.predict_image_by_image(logits, deltas, metas, cfg, True))
        assert settings or 0 < sum(exhausted) < 5


@pytest.mark.parametrize("seed", range(3))
def test_first_candidates_are_a_prefix_of_all_candidates(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    logits = torch.randint(0, 9, (3, 90, 5), generator=generator) / 2
    scores = logits.softmax(-1)[..., :-1]
    all_scores, all_index, valid = select_candidates([scores.flatten(1)], 0.1, 1000)
    for num_priors in (1, 10, 89, 90, 200):
        first, index, complete = first_candidates(logits, 0.1, num_priors)
        for image in range(3):
            number = int((first[image] >= 0).sum())
            assert torch.equal(first[image][:number], all_scores[image][:number])
            assert torch.equal(index[image][:number], all_index[image][:number])
            assert (first[image][number:] < 0).all()
            assert not complete[image] or number == valid[image].sum()
        assert complete.all() or num_priors < 90
    assert number == valid[2].sum()


def test_top_survivors_tries_all_boxes_if_few_suppress_the_others() -> None:
    """Of identical boxes of one class, one is kept, however many candidates must be tried."""
    boxes = torch.tensor([[10.0, 10, 30, 30]]).repeat(500, 1)
    boxes[-1] += 100
    assert top_survivors(boxes, torch.zeros(500).long(), 0.45, 2).tolist() == [0, 499]
    labels = torch.arange(500) % 3
    assert top_survivors(boxes, labels, 0.45, 5).tolist() == [0, 1, 2, 499]
    assert len(top_survivors(boxes[:0], labels[:0], 0.45, 5)) == 0


def literal_top_d(boxes: Tensor, labels: Tensor, threshold: float, number: int) -> list[int]:
    """Greedy suppression by its definition, box by box."""
    kept: list[int] = []
    for i in range(len(boxes)):
        for j in kept:
            if labels[i] != labels[j]:
                continue
            low, high = (
                torch.maximum(boxes[i, :2], boxes[j, :2]),
                torch.minimum(boxes[i, 2:], boxes[j, 2:]),
            )
            inter = (high - low).clamp(min=0).prod()
            areas = sum((boxes[k, 2:] - boxes[k, :2]).prod() for k in (i, j))
            if inter / (areas - inter) > threshold:
                break
        else:
            kept.append(i)
    return kept[:number]


@pytest.mark.parametrize("seed", range(3))
def test_top_survivors_equals_the_definition(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    low = torch.randint(0, 60, (150, 2), generator=generator)
    boxes = torch.cat([low, low + torch.randint(4, 40, (150, 2), generator=generator)], 1).float()
    labels = torch.randint(0, 3, (150,), generator=generator)
    for number in (1, 5, 150):
        found = top_survivors(boxes, labels, 0.4, number).tolist()
        assert found == literal_top_d(boxes, labels, 0.4, number)


def test_select_candidates_returns_the_order_of_a_stable_sort() -> None:
    generator = torch.Generator().manual_seed(0)
    levels = [torch.randint(0, 5, (2, n), generator=generator) / 4 for n in (300, 40, 8)]
    scores, index, valid = select_candidates(levels, threshold=0.2, per_level=30)
    for image in range(2):
        expected = []
        start = 0
        for level in levels:
            row = level[image].tolist()
            order = sorted((i for i in range(len(row)) if row[i] > 0.2), key=lambda i: -row[i])
            expected += [(-row[i], start + i) for i in order[:30]]
            start += len(row)
        expected.sort()
        assert index[image][valid[image]].tolist() == [i for _, i in expected]
        assert scores[image][valid[image]].tolist() == [-s for s, _ in expected]


def test_order_keys_orders_the_smallest_and_largest_floats() -> None:
    scores = torch.tensor([[0.0, 1e-45, 1e-38, 0.5, 0.5, 1.0, 3e38]])
    keys = order_keys(scores, 0.0)[0]
    assert keys.argsort(descending=True).tolist() == [6, 5, 3, 4, 2, 1, 0]
    assert keys[0] == -1


def test_predict_by_feat_decodes_half_precision_outputs_in_float32() -> None:
    head = ssd300_head()
    logits, deltas, metas = random_outputs(2)
    half = [[level.half() for level in levels] for levels in (logits, deltas)]
    found = head.predict_by_feat(*half, batch_img_metas=metas)
    assert found[0].bboxes.dtype == torch.float32
    assert_equal_boxes(found, head.predict_image_by_image(*half, metas))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nms": {"type": "soft_nms", "iou_threshold": 0.45}}, "type='nms'"),
        ({"nms": {"type": "nms", "iou_threshold": 0.45, "class_agnostic": True}}, "class_agnostic"),
        ({"nms": None}, "not None"),
        ({"nms_pre": -1}, "nms_pre"),
        ({"max_per_img": 0}, "max_per_img"),
    ],
)
def test_head_refuses_unsupported_test_cfg(change: dict, words: str) -> None:
    head = ssd300_head()
    cfg = ConfigDict(head.test_cfg, **change)
    logits, deltas, metas = random_outputs(1)
    with pytest.raises(DetectorError, match=words):
        head.predict_by_feat(logits, deltas, batch_img_metas=metas, cfg=cfg)
    anchors = {"type": "SSDAnchorGenerator", "strides": [8], "ratios": [[2]]}
    anchors |= {"min_sizes": [8], "max_sizes": [16]}
    with pytest.raises(DetectorError, match=words):
        PartSSDHead(in_channels=(8,), anchor_generator=anchors, test_cfg=cfg)


def test_top_d_benchmark_reports_a_ratio() -> None:
    result = top_d_benchmark(repeats=1, batch=2)
    assert result["ratio"] == pytest.approx(result["mmdet_s"] / result["ours_s"])
    assert result["ours_s"] > 0


def batch_of(seeds: range, classes: int = 2) -> dict:
    samples, inputs = [], []
    for seed in seeds:
        image, boxes = paint(seed)
        sample = DetDataSample(
            metainfo={"img_shape": (64, 64), "ori_shape": (64, 64), "scale_factor": (1.0, 1.0)}
        )
        sample.gt_instances = InstanceData(
            bboxes=torch.from_numpy(boxes), labels=torch.arange(classes)
        )
        samples.append(sample)
        inputs.append(torch.from_numpy(image).permute(2, 0, 1))
    return {"inputs": inputs, "data_samples": samples}


@pytest.fixture
def build(tiny_config: Config) -> Callable[[], torch.nn.Module]:
    def make() -> torch.nn.Module:
        init_default_scope("mmdet")
        torch.manual_seed(0)
        model = MODELS.build(tiny_config.model)
        model.init_weights()
        return model

    return make


@pytest.mark.slow
def test_ssdlite_learns_and_predicts(build: Callable[[], torch.nn.Module]) -> None:
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), 5e-3)
    losses = []
    for step in range(60):
        data = model.data_preprocessor(batch_of(range(8 * step, 8 * step + 8)), True)
        loss, _ = model.parse_losses(model(**data, mode="loss"))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 10)
        optimizer.step()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) / 3
    model.eval()
    with torch.no_grad():
        answers = model.test_step(batch_of(range(9000, 9008)))
    hits = 0
    for seed, answer in zip(range(9000, 9008), answers):
        found = answer.pred_instances
        assert len(found) == model.bbox_head.test_cfg.max_per_img
        for label, true in enumerate(torch.from_numpy(paint(seed)[1])):
            best = found.bboxes[found.labels == label][0]
            inter = (torch.minimum(best[2:], true[2:]) - torch.maximum(best[:2], true[:2])).clamp(0)
            hits += bool(inter.prod() > 0.5 * (true[2:] - true[:2]).prod())
    assert hits >= 10  # of 16


def test_loss_is_finite_for_images_without_parts(
    build: Callable[[], torch.nn.Module],
) -> None:
    model = build()
    data = batch_of(range(2))
    for sample in data["data_samples"]:
        sample.gt_instances = sample.gt_instances[:0]
    data = model.data_preprocessor(data, True)
    loss, _ = model.parse_losses(model(**data, mode="loss"))
    assert torch.isfinite(loss)
