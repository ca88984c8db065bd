"""Exported ONNX files compute what the library computes, for any batch size, and carry metadata."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
import torchvision
from torchvision.models import VisionTransformer

from detector.common.errors import DetectorError
from pgan.apis import ConfigError, load_config
from pgan.inference.export import ExportError, export, read_metadata
from pgan.inference.feature_extractor import load_reid_model
from pgan.inference.onnx_networks import load_network
from pgan.registry import TRANSFORMS
from pgan.structures import ReIDSample
from pgan.tools.export import main
from tests.pgan.tiny_models import CLASSES, tiny_detector, tiny_reid

pytestmark = pytest.mark.slow


@TRANSFORMS.register_module()
class Square:
    """A transform that is not a normalisation."""

    def __call__(self, results: dict) -> dict:
        results["image"] = (results["image"].float() / 255) ** 2
        return results


def run(path: Path, **inputs: np.ndarray) -> list[np.ndarray]:
    return onnxruntime.InferenceSession(str(path)).run(None, inputs)


def test_export_of_pgan_equals_its_prediction(tmp_path: Path) -> None:
    files = tiny_reid(tmp_path)
    done = export(*files, tmp_path / "pgan.onnx")
    assert max(done.distances.values()) < 1e-5
    images = np.random.default_rng(0).normal(size=(5, 3, 32, 32)).astype(np.float32)
    boxes = np.zeros((5, 4, 4), np.float32)
    boxes[1:, 0], boxes[2:, 1], boxes[3:, 2] = (0, 0, 32, 32), (3, 4, 9, 30), (31.5, 0, 32, 0.5)
    boxes[4, 3] = (-50, -9, 80, 7)  # boxes may reach beyond the image
    features, weights = run(tmp_path / "pgan.onnx", images=images, parts=boxes)
    model = load_reid_model(load_config(files.config), files.checkpoint, "cpu")
    samples = [ReIDSample(part_boxes=box) for box in boxes]
    with torch.no_grad():
        seen = model(torch.from_numpy(images), samples, mode="predict")
    np.testing.assert_allclose(features, torch.stack([s.feature for s in seen]), atol=1e-5)
    np.testing.assert_allclose(weights, torch.stack([s.part_weights for s in seen]), atol=1e-5)
    assert weights[0].tolist() == [0] * 4
    assert np.linalg.norm(features, axis=1) == pytest.approx(1, abs=1e-5)
    about = read_metadata(done.path)
    assert about["task"] == "re-identification"
    assert about["input_size"] == [32, 32]
    assert about["mean"] == pytest.approx([123.675, 116.28, 103.53])
    assert about["std"] == pytest.approx([58.395, 57.12, 57.375])
    assert (about["num_parts"], about["feature_dim"]) == (4, 16)


def test_export_of_models_without_part_boxes_takes_images_only(tmp_path: Path) -> None:
    done = export(*tiny_reid(tmp_path, "baseline"), tmp_path / "baseline.onnx")
    assert set(done.distances) == {"features"}
    assert run(done.path, images=np.zeros((1, 3, 32, 32), np.float32))[0].shape == (1, 16)
    grid = {"model.attention": "grid"}
    done = export(*tiny_reid(tmp_path, **grid), tmp_path / "grid.onnx")
    weights = run(done.path, images=np.zeros((2, 3, 32, 32), np.float32))[1]
    assert weights.sum(1) == pytest.approx(1, abs=1e-5)


def tiny_vit(name: str, weights: None = None) -> VisionTransformer:
    assert (name, weights) == ("vit_b_16", None)
    return VisionTransformer(
        image_size=32, patch_size=8, num_layers=2, num_heads=2, hidden_dim=16, mlp_dim=32
    )


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ssrnet", {"model.graph": {"out_channels": 16}}),
        ("baseline", {"model.backbone": {"name": "vit_b_16", "out": None, "last_stride": 2}}),
        # ONNX cannot interpolate the patch positions, so they are exported as constants.
        (
            "pgan",
            {
                "model.backbone": {"name": "vit_b_16", "out": None, "last_stride": 2},
                "image_size": (24, 48),
            },
        ),
        ("baseline", {"model.pooling": "gem"}),
    ],
)
def test_export_of_other_models_and_backbones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, options: dict
) -> None:
    if "vit_b_16" in str(options):
        monkeypatch.setattr(torchvision.models, "get_model", tiny_vit)
    done = export(*tiny_reid(tmp_path, name, **options), tmp_path / "model.onnx")
    assert max(done.distances.values()) < 1e-5
    images = np.random.default_rng(0).normal(size=(2, 3, *done.metadata["input_size"]))
    boxes = {"parts": np.tile(np.float32([2, 3, 20, 19]), (2, 4, 1))} if name == "pgan" else {}
    features = run(done.path, images=images.astype(np.float32), **boxes)[0]
    assert features.shape == (2, done.metadata["feature_dim"])
    assert not np.allclose(*features, atol=1e-3)  # the images matter


def test_export_of_detector_equals_its_prediction(tmp_path: Path) -> None:
    files = tiny_detector(tmp_path)
    done = export(*files, tmp_path / "parts.onnx", max_parts=6)
    assert max(done.distances.values()) < 1e-4
    network = load_network(*files, max_parts=6)
    images = network.make(4, torch.Generator().manual_seed(5))
    with torch.no_grad():
        boxes, scores, labels = (tensor.numpy() for tensor in network.reference(*images))
    found = run(done.path, images=images[0].numpy())
    np.testing.assert_allclose(found[0], boxes, atol=1e-2)
    np.testing.assert_allclose(found[1], scores, atol=1e-5)
    np.testing.assert_array_equal(found[2], labels)
    assert (scores > 0).all()
    about = read_metadata(done.path)
    assert about["classes"] == list(CLASSES)
    assert (about["input_size"], about["num_parts"]) == ([64, 64], 6)
    assert about["mean"] == pytest.approx([123.675, 116.28, 103.53])


def test_detector_network_leaves_slots_empty_below_score_threshold(tmp_path: Path) -> None:
    network = load_network(*tiny_detector(tmp_path), max_parts=6)
    images = network.make(2, torch.Generator().manual_seed(5))
    with torch.no_grad():
        scores = network.module(*images)[1]
        network.module.model.bbox_head.test_cfg["score_thr"] = float(scores[0, 2])
        boxes, found, labels = network.module(*images)
        expected = network.reference(*images)
    assert (found > 0).sum(1)[0] == 2
    assert not boxes[found == 0].any()
    assert not labels[found == 0].any()
    torch.testing.assert_close(found, expected[1])


def test_export_writes_no_file_above_tolerance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out" / "pgan.onnx"
    words = [*tiny_reid(tmp_path), "--out", str(out), "--tolerance", "-1"]
    monkeypatch.setattr(sys, "argv", ["export", *words])
    assert main() == 1
    assert "is not written" in capsys.readouterr().err
    assert not out.parent.exists()
    monkeypatch.setattr(sys, "argv", ["export", *words[:-2]])
    assert main() == 0
    assert "features: at most" in capsys.readouterr().out
    assert [file.name for file in out.parent.iterdir()] == ["pgan.onnx"]


def test_export_raises_when_detector_finds_nothing(tmp_path: Path) -> None:
    config, checkpoint = tiny_detector(tmp_path)
    content = torch.load(checkpoint, weights_only=True)
    biases = [
        value
        for name, value in content["state_dict"].items()
        if "cls_convs" in name and value.ndim == 1 and len(value) % (len(CLASSES) + 1) == 0
    ]
    for bias in biases:
        bias.view(-1, len(CLASSES) + 1)[:, -1] = 1e6  # the background
    torch.save(content, checkpoint)
    with pytest.raises(ExportError, match=f"{checkpoint} finds nothing in any of the images"):
        export(config, checkpoint, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()


def test_export_raises_for_diverged_detector(tmp_path: Path) -> None:
    config, checkpoint = tiny_detector(tmp_path)
    content = torch.load(checkpoint, weights_only=True)
    for value in content["state_dict"].values():
        value.copy_(torch.full_like(value, math.nan) if value.is_floating_point() else value)
    torch.save(content, checkpoint)
    with pytest.raises(DetectorError, match=f"{checkpoint}: .* tensors hold NaN or infinity"):
        export(config, checkpoint, tmp_path / "x.onnx")


def test_export_raises_for_unsupported_models(tmp_path: Path) -> None:
    reid = tiny_reid(tmp_path)
    with pytest.raises(ExportError, match="num_parts"):
        export(*reid, tmp_path / "x.onnx", {"num_parts": 0})
    with pytest.raises(ExportError, match="more to an image"):
        export(*reid, tmp_path / "x.onnx", {"test_dataloader.dataset.pipeline.2.type": "Square"})
    study = Path(__file__).parents[3] / "configs/study/fleet_cpu.py"
    with pytest.raises(ConfigError, match="neither"):
        export(str(study), reid.checkpoint, tmp_path / "x.onnx")
    turning = tiny_reid(tmp_path, "ssrnet", **{"model.attention": "stn"})
    with pytest.raises(ExportError, match=r"this SSRNet cannot be exported: .*affine_grid"):
        export(*turning, tmp_path / "x.onnx")
    assert not (tmp_path / "x.onnx").exists()
