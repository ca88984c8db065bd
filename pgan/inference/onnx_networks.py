"""The networks that can be exported to ONNX, each with the PyTorch model it must agree with."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from pgan.apis import load_config
from pgan.datasets.image_list import ImageList
from pgan.errors import ConfigError
from pgan.inference.feature_extractor import load_reid_model
from pgan.structures import ReIDSample

Size = tuple[int, int]


class ExportError(ValueError):
    """The network cannot be exported, or the exported graph computes something else."""


@dataclass(frozen=True)
class Network:
    """A network to export, and the reference that its graph is compared with.

    Attributes:
        module: Takes the input tensors and returns the output tensors; this is exported.
        reference: The same function, computed by the model as the library runs it.
        distances: Takes the outputs of the reference and of the graph; returns the greatest distance of
            each output by its name.
        make: Draws a random batch: number of images and generator -> input tensors.
        inputs: Names of the inputs.
        outputs: Names of the outputs.
        metadata: Stored in the file as JSON values.
    """

    module: nn.Module
    reference: Callable[..., Sequence[Tensor]]
    distances: Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], dict[str, float]]
    make: Callable[[int, torch.Generator], tuple[Tensor, ...]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    metadata: dict[str, Any]


def load_network(
    config: str, checkpoint: str, options: dict[str, Any] | None = None, max_parts: int = 16
) -> Network:
    """Load the network of a re-identification or part detector config.

    Args:
        config: Config file.
        checkpoint: Weights of the model.
        options: Config keys to override.
        max_parts: D of a detector; that of a re-identification model is ``num_parts`` of its config.

    Raises:
        ConfigError: The config is of neither kind.
        ExportError: The model or its pipeline cannot be exported.
        CheckpointError: The weights of a re-identification model cannot be used.
        DetectorError: The weights of a detector cannot be used.
    """
    cfg = load_config(config, options)
    if "ReIDMetric" in str(cfg.get("test_evaluator")):
        return _reid_network(cfg, checkpoint)
    if "PartSSDHead" in str(cfg.get("model")):
        return _detector_network(cfg, checkpoint, max_parts)
    raise ConfigError(
        f"{config}: is a config neither of re-identification nor of a part detector: see configs/pgan "
        "and configs/detector"
    )


class _ReIDGraph(nn.Module):
    """``model.infer`` as a module; outputs that the model does not have are left out."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
        return tuple(tensor for tensor in self.model.infer(*tensors) if tensor is not None)


def _reid_network(cfg: Config, checkpoint: str) -> Network:
    model = load_reid_model(cfg, checkpoint, "cpu")
    model.channels_last = False  # a graph has no memory format
    dataset = cfg.test_dataloader.dataset
    prepare = ImageList([], data_root=".", pipeline=dataset.pipeline, lazy_init=True).pipeline
    size, mean, std = _normalisation(
        lambda pixels: prepare({"image_file": pixels, "img_path": ""})["inputs"]
    )
    with_boxes = model.needs_parts()
    num_parts = int(dataset.get("num_parts") or 0) if with_boxes else 0
    if with_boxes and not num_parts:
        raise ExportError(
            "num_parts is 0: give the number of boxes per image, e.g. --cfg-options num_parts=8"
        )

    def make(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        images = torch.randn(count, 3, *size, generator=generator)
        return (
            (images, _random_boxes(count, num_parts, size, generator)) if with_boxes else (images,)
        )

    network = _ReIDGraph(model).eval()
    with torch.no_grad():
        example = network(*make(1, torch.Generator()))
    outputs: tuple[str, ...] = ("features", "part_weights")[: len(example)]

    def reference(images: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        samples = [ReIDSample(part_boxes=boxes) for boxes in parts[0]] if parts else None
        predicted = model(images, samples, mode="predict")
        fields = ("feature", "part_weights")[: len(outputs)]
        return tuple(torch.stack([sample.get(field) for sample in predicted]) for field in fields)

    return Network(
        module=network,
        reference=reference,
        distances=lambda a, b: {n: _distance(x, y) for n, x, y in zip(outputs, a, b)},
        make=make,
        inputs=("images", "parts")[: 1 + with_boxes],
        outputs=outputs,
        metadata={
            "task": "re-identification",
            "model": type(model).__name__,
            **_input_metadata(size, mean, std),
            "num_parts": num_parts,
            "feature_dim": example[0].shape[1],
        },
    )


def _detector_network(cfg: Config, checkpoint: str, max_parts: int) -> Network:
    # mmdet takes seconds to import, and re-identification does not need it.
    from detector.extraction.loading import load_detector
    from detector.model.onnx_graph import DetectorNetwork

    with DefaultScope.overwrite_default_scope("mmdet"):
        detector = load_detector(cfg, checkpoint, max_parts, device="cpu")
        prepare = Compose(detector.pipeline)
    model = detector.model.to(memory_format=torch.contiguous_format)

    def inputs(pixels: np.ndarray) -> Tensor:
        item = prepare({"img_path": pixels, "img_id": 0})
        data = {key: [value] for key, value in item.items()}
        return model.data_preprocessor(data, False)["inputs"][0]

    size, mean, std = _normalisation(inputs)
    network = DetectorNetwork(model).eval()

    def reference(images: Tensor) -> tuple[Tensor, ...]:
        metas = [{"img_shape": size, "scale_factor": (1.0, 1.0)}] * len(images)
        levels = model.bbox_head(model.extract_feat(images))
        predicted = model.bbox_head.predict_by_feat(*levels, batch_img_metas=metas)
        padded = [torch.zeros(len(predicted), max_parts, *tail) for tail in ((4,), (), ())]
        for row, detections in enumerate(predicted):
            for slots, name in zip(padded, ("bboxes", "scores", "labels")):
                slots[row, : len(detections)] = detections[name]
        return tuple(padded)

    def make(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        coarse = torch.randn(count, 3, 12, 12, generator=generator)
        smooth = nn.functional.interpolate(coarse, size, mode="bicubic")
        return (smooth + 0.1 * torch.randn(count, 3, *size, generator=generator),)

    return Network(
        module=network,
        reference=reference,
        distances=lambda a, b: _detection_distances(a, b, size),
        make=make,
        inputs=("images",),
        outputs=("boxes", "scores", "labels"),
        metadata={
            "task": "part detection",
            "model": type(model).__name__,
            **_input_metadata(size, mean, std),
            "num_parts": max_parts,
            "classes": list(detector.classes),
        },
    )


def _normalisation(
    prepare: Callable[[np.ndarray], Tensor],
) -> tuple[Size, list[float], list[float]]:
    """Measure the input size (height, width) and the pixel mean and std of a pipeline.

    A black and a white image determine mean and std of ``(rgb - mean) / std``; a grey image checks that the
    pipeline does nothing else.
    """
    black, grey, white = (
        prepare(np.full((40, 60, 3), level, np.uint8)).double() for level in (0, 100, 255)
    )
    std = 255 / (white - black).mean((1, 2))
    mean = -black.mean((1, 2)) * std
    expected = ((100 - mean) / std)[:, None, None].expand_as(grey)
    if not torch.allclose(grey, expected, atol=1e-4):
        raise ExportError(
            "test_dataloader.dataset.pipeline does more to an image than resizing and normalising it, "
            "which cannot be exported"
        )
    height, width = grey.shape[1:]
    return (height, width), mean.tolist(), std.tolist()


def _input_metadata(size: Size, mean: list[float], std: list[float]) -> dict[str, Any]:
    return {
        "input_size": list(size),
        "mean": [round(value, 4) for value in mean],
        "std": [round(value, 4) for value in std],
        "channels": "RGB",
    }


def _random_boxes(count: int, slots: int, size: Size, generator: torch.Generator) -> Tensor:
    """Draw boxes in an input of that size; some slots are empty, and all those of the first image."""
    limits = torch.tensor([size[1], size[0]])
    corners = torch.rand(count, slots, 2, 2, generator=generator).sort(2).values * limits
    boxes = corners.flatten(2)
    boxes[torch.rand(count, slots, generator=generator) < 0.3] = 0
    boxes[0] = 0
    return boxes


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b).max()) if a.shape == b.shape else float("inf")


def _detection_distances(
    expected: Sequence[np.ndarray], found: Sequence[np.ndarray], size: Size
) -> dict[str, float]:
    """Compare scores by rank, and each box with the nearest one: near-equal scores may swap ranks."""
    scores = _distance(expected[1], found[1])
    sides = np.array([size[1], size[0]] * 2)
    box_distance = label_distance = 0.0
    for boxes, score, labels, other_boxes, other_labels in zip(*expected, found[0], found[2]):
        # Of boxes that tie at the last rank, either may be the one that is kept.
        kept = score > score.min() + 1e-4
        for box, label in zip(boxes[kept], labels[kept]):
            apart = np.abs((other_boxes - box) / sides).max(1)
            nearest = apart <= apart.min() + 1e-6
            box_distance = max(box_distance, float(apart.min()))
            label_distance = max(label_distance, float(not (other_labels[nearest] == label).any()))
    return {"boxes": box_distance, "scores": scores, "labels": label_distance}
