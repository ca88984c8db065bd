"""Images as a model sees them, and the weights of attributes, against their definitions."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from detector.cache import PartCache, Parts
from detector.cache.writer import PartCacheWriter
from pgan.benchmarks.attention_reference import literal_part_guidance
from pgan.datasets import transforms
from pgan.evaluation import FeatureSet
from pgan.models.part_masks import part_masks
from pgan.registry import MODELS
from pgan.visualization.attention import (
    CELLS,
    GLOBAL,
    GUIDED,
    attribute_weights,
    from_features,
    from_model,
)
from pgan.visualization.errors import VisualizationError
from pgan.visualization.image_reader import ImageReader
from tests.tools import tiny_sweeps  # noqa: F401  (registers OneConvolution)

CLASSES = ("plate", "wheel", "logo")
LABELS = {"a.png": [1, 1, 0], "b.png": [0], "c.png": [], "d.png": [1, 0, 1]}
PIPELINE = [
    {"type": "LoadReIDImage"},
    {"type": "torchvision/Resize", "size": (32, 32)},
    {"type": "ToFloat"},
    {"type": "PackReID"},
]


@pytest.fixture
def cache(tmp_path: Path) -> PartCache:
    """Four images of 40 x 60 pixels with 0 to 3 parts."""
    rng = np.random.default_rng(0)
    writer = PartCacheWriter(tmp_path / "parts", list(LABELS), {"classes": CLASSES, "max_parts": 4})
    found = []
    for name, labels in LABELS.items():
        cv2.imwrite(str(tmp_path / name), rng.integers(0, 256, (40, 60, 3), np.uint8))
        corners = rng.uniform(0, 20, (len(labels), 2))
        boxes = np.hstack([corners, corners + rng.uniform(5, 20, (len(labels), 2))])
        scores = np.linspace(1, 0.5, len(labels), dtype=np.float32)
        found.append(Parts(boxes.astype(np.float32), scores, np.array(labels, int), (40, 60)))
    writer.write(0, found)
    writer.finish()
    return PartCache.open(tmp_path / "parts")


def features(weights: list[list[float]] | None) -> FeatureSet:
    count = len(LABELS)
    arrays = np.eye(count, dtype=np.float32), np.arange(count), np.zeros(count, int)
    weights = None if weights is None else np.array(weights, np.float32)
    return FeatureSet(*arrays, np.full(count, "query"), np.array(list(LABELS)), weights)


WEIGHTS = [[0.2, 0.5, 0.3, 0], [1, 0, 0, 0], [0, 0, 0, 0], [0.4, 0.2, 0.4, 0]]


def test_attribute_weights_count_each_image_once_and_keep_each_box(cache: PartCache) -> None:
    plate, wheel, logo = attribute_weights(features(WEIGHTS), cache)
    assert (plate.name, wheel.name, logo.name) == CLASSES
    assert (plate.selected, wheel.selected, logo.selected) == (3 / 4, 2 / 4, 0)
    assert (plate.strongest, wheel.strongest, logo.strongest) == (1 / 4, 2 / 4, 0)
    assert plate.weights.tolist() == pytest.approx([0.3, 1, 0.2])
    assert wheel.weights.tolist() == pytest.approx([0.2, 0.5, 0.4, 0.4])
    assert len(logo.weights) == 0


def test_attribute_weights_count_each_of_equal_weights_as_the_largest(cache: PartCache) -> None:
    third = [1 / 3, 1 / 3, 1 / 3, 0]
    plate, wheel, _ = attribute_weights(features([third, WEIGHTS[1], WEIGHTS[2], third]), cache)
    assert (plate.strongest, wheel.strongest) == (3 / 4, 2 / 4)


def test_attribute_weights_raise_for_another_cache(cache: PartCache) -> None:
    foreign = [WEIGHTS[0], [0.5, 0.5, 0, 0], *WEIGHTS[2:]]
    with pytest.raises(
        VisualizationError, match=r"b\.png: .* more parts than the 1 in .*part_cache="
    ):
        attribute_weights(features(foreign), cache)


def test_from_features_returns_named_boxes_with_their_weights(
    cache: PartCache, tmp_path: Path
) -> None:
    reader = ImageReader(tmp_path, cache, 4)
    a, c = from_features(features(WEIGHTS), reader)(["a.png", "c.png"])
    assert a.labels == ["wheel", "wheel", "plate"]
    assert a.weights.tolist() == pytest.approx(WEIGHTS[0][:3])
    assert np.array_equal(a.boxes, cache.parts("a.png").boxes)
    assert (len(c.boxes), a.maps) == (0, {})
    (bare,) = from_features(features(None), reader)(["a.png"])
    assert bare.boxes is None


def build(name: str, **changes: object) -> torch.nn.Module:
    torch.manual_seed(0)
    channels = {"attention_channels": 16} if name == "PGAN" else {}
    backbone = {"type": "OneConvolution"}
    return MODELS.build(
        {"type": name, "backbone": backbone, "feature_dim": 32, **channels, **changes}
    )


def backbone_map(model: torch.nn.Module, path: Path) -> torch.Tensor:
    """F_g of an image that is resized as the pipeline does."""
    pixels = torch.from_numpy(cv2.imread(str(path))[..., ::-1].copy()).permute(2, 0, 1)[None]
    small = transforms.v2.functional.resize(pixels, [32, 32])
    return model.backbone(small.float() / 255)


def test_from_model_heat_map_is_the_mean_of_the_absolute_part_guided_map(
    cache: PartCache, tmp_path: Path
) -> None:
    model = build("PGAN")
    settings = {"part_cache": str(cache.path), "num_parts": 4, "pipeline": PIPELINE}
    view = from_model(model, ImageReader(tmp_path, cache, 4), settings)
    names = ["d.png", "c.png", "a.png"]
    for name, seen in zip(names, view(names)):
        maps = backbone_map(model, tmp_path / name)
        boxes = torch.zeros(1, 4, 4)
        found = cache.parts(name).boxes * np.tile([32 / 60, 32 / 40], 2).astype(np.float32)
        boxes[0, : len(found)] = torch.from_numpy(found)
        masks = part_masks(boxes, (32, 32), (4, 4))
        weights, guided = literal_part_guidance(maps, masks, model.attention)[:2]
        assert list(seen.maps) == [GUIDED]
        expected = guided.abs().mean(1)[0].detach().numpy()
        np.testing.assert_allclose(seen.maps[GUIDED], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(
            seen.weights, weights[0, : len(found)].detach(), rtol=1e-3, atol=1e-5
        )
        assert len(seen.boxes) == len(LABELS[name])


def test_from_model_with_uniform_attention_weighs_parts_equally(
    cache: PartCache, tmp_path: Path
) -> None:
    model = build("PGAN", attention="uniform")
    settings = {"part_cache": str(cache.path), "num_parts": 2, "pipeline": PIPELINE}
    view = from_model(model, ImageReader(tmp_path, cache, 2), settings)
    a, b, c = view(["a.png", "b.png", "c.png"])
    weights = [seen.weights.tolist() for seen in (a, b, c)]
    assert weights == [[0.5, 0.5], [1], []]
    bare = backbone_map(model, tmp_path / "c.png")[0].abs().mean(0).detach().numpy()
    np.testing.assert_allclose(c.maps[GUIDED], bare, rtol=1e-4, atol=1e-5)  # no part: F_p = F_g


def test_from_model_on_the_grid_returns_a_map_of_weights_without_boxes(
    cache: PartCache, tmp_path: Path
) -> None:
    model = build("PGAN", attention="grid")
    (seen,) = from_model(model, ImageReader(tmp_path), {"pipeline": PIPELINE})(["a.png"])
    assert list(seen.maps) == [CELLS, GUIDED]
    assert seen.maps[CELLS].shape == (4, 4)
    assert seen.maps[CELLS].sum() == pytest.approx(1)
    maps = backbone_map(model, tmp_path / "a.png")[0].abs().mean(0).detach().numpy()
    np.testing.assert_allclose(
        seen.maps[GUIDED], maps * (1 + seen.maps[CELLS]), rtol=1e-4, atol=1e-5
    )
    assert seen.boxes is None


def test_from_model_without_parts_returns_its_global_map(cache: PartCache, tmp_path: Path) -> None:
    model = build("Baseline")
    (seen,) = from_model(model, ImageReader(tmp_path), {"pipeline": PIPELINE})(["b.png"])
    maps = backbone_map(model, tmp_path / "b.png")[0].abs().mean(0).detach().numpy()
    assert list(seen.maps) == [GLOBAL]
    np.testing.assert_allclose(seen.maps[GLOBAL], maps, rtol=1e-4, atol=1e-5)
    assert seen.boxes is None
