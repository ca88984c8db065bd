"""What a GPU computes equals what a CPU computes, within the precision that is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from detector.common.device import usable_device
from pgan.benchmarks.attention_reference import literal_part_guidance
from pgan.benchmarks.models import random_part_boxes
from pgan.evaluation import FeatureSet, Refinement, evaluate
from pgan.models.part_attention import PartAttention, guide_features
from pgan.models.part_masks import part_masks
from pgan.registry import MODELS
from pgan.structures import ReIDSample
from tests.pgan.tiny_models import tiny_detector

SIDE = 48


@pytest.fixture(autouse=True)
def full_precision() -> None:
    """Compare in float32: TF32 would differ by 1e-3."""
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False


def model(name: str, channels_last: bool = False) -> nn.Module:
    torch.manual_seed(0)
    backbone = {
        "type": "TorchvisionBackbone",
        "name": "resnet18",
        "out": "layer1",
        "last_stride": 2,
    }
    config = {"type": name, "backbone": backbone, "feature_dim": 16, "num_vehicles": 2}
    return MODELS.build({**config, "channels_last": channels_last})


def batch() -> tuple[torch.Tensor, list[ReIDSample]]:
    torch.manual_seed(1)
    boxes = random_part_boxes(4, 3, SIDE)
    samples = [ReIDSample(part_boxes=b, vehicle_label=i // 2) for i, b in enumerate(boxes)]
    return torch.randn(4, 3, SIDE, SIDE), samples


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("name", ["Baseline", "PGAN"])
def test_features_equal_those_of_the_cpu(
    device: torch.device, name: str, channels_last: bool
) -> None:
    inputs, samples = batch()
    with torch.inference_mode():
        expected = model(name).eval()(inputs, samples, mode="tensor")
        found = model(name, channels_last).to(device).eval()(inputs.to(device), samples)
    torch.testing.assert_close(found.cpu(), expected, atol=1e-4, rtol=0)


def test_part_attention_equals_the_paper_s_equations(device: torch.device) -> None:
    torch.manual_seed(0)
    features = torch.randn(2, 16, 6, 6, device=device)
    masks = part_masks(random_part_boxes(2, 3, 96), (96, 96), (6, 6)).to(device)
    attention = PartAttention(16).to(device)
    weights = attention(features, masks)
    expected_weights, expected = literal_part_guidance(features, masks, attention)
    torch.testing.assert_close(weights, expected_weights, atol=1e-5, rtol=0)
    guided = guide_features(features, masks, weights)
    torch.testing.assert_close(guided, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("refinement", [None, Refinement(rerank=True, k1=5, k2=2)])
def test_metrics_equal_those_of_the_cpu(
    device: torch.device, refinement: Refinement | None
) -> None:
    rng = np.random.default_rng(0)
    features = rng.standard_normal((60, 8)).astype(np.float32)
    roles = np.array(["query"] * 12 + ["gallery"] * 48)
    names = np.array([f"{row}.jpg" for row in range(60)])
    test = FeatureSet(features, rng.integers(0, 6, 60), rng.integers(0, 3, 60), roles, names)
    found, expected = (
        evaluate(test, "cross-camera", refinement=refinement, device=where).metrics()
        for where in (str(device), "cpu")
    )
    assert found == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("amp", [False, True])
def test_training_steps_are_finite_and_reduce_the_loss(device: torch.device, amp: bool) -> None:
    inputs, samples = batch()
    trained = model("PGAN", channels_last=True).to(device).train()
    optimizer = torch.optim.Adam(trained.parameters(), 1e-3)
    scaler = torch.amp.GradScaler(device.type, enabled=amp and device.type == "cuda")
    dtype = torch.float16 if device.type == "cuda" else torch.bfloat16
    losses = []
    for _ in range(6):
        optimizer.zero_grad()
        with torch.autocast(device.type, dtype=dtype, enabled=amp):
            parts = trained(inputs.to(device), samples, mode="loss")
            loss = sum(value for name, value in parts.items() if "loss" in name)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert np.isfinite(losses).all()
    assert losses[-1] < losses[0]


@pytest.mark.slow
def test_detected_parts_equal_those_of_the_cpu(device: torch.device, tmp_path: Path) -> None:
    from mmengine.dataset import Compose

    from detector.extraction.loading import load_detector
    from pgan.apis import load_config

    config, checkpoint = tiny_detector(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60, 3), dtype=np.uint8)
    found = {}
    for where, amp in (("cpu", False), (str(device), False), (str(device), True)):
        if amp and device.type == "cpu":
            continue
        detector = load_detector(load_config(config), checkpoint, 4, device=where, amp=amp)
        item = Compose(detector.pipeline)({"img_path": pixels, "img_id": 0})
        found[where, amp] = detector.detect([item])[0]
    expected = found["cpu", False]
    for (_, amp), parts in found.items():
        tolerance = 1.0 if amp else 1e-2
        np.testing.assert_allclose(parts.boxes, expected.boxes, atol=tolerance)
        np.testing.assert_allclose(parts.scores, expected.scores, atol=tolerance / 10)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU, and torch sees none")
def test_default_device_is_the_gpu() -> None:
    assert usable_device(None, ValueError).type == "cuda"
