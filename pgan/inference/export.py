"""Trained networks as ONNX files, each compared with PyTorch before it is written.

Both files take ``images`` (B, 3, H, W) float32, ``(rgb - mean) / std`` of pixels from 0 to 255, and any B:

- *re-identification*: with ``parts`` (B, D, 4) float32 boxes in pixels of that input, zeros in empty slots,
  to ``features`` (B, C), L2-normalised, and ``part_weights`` (B, D). A model without part boxes takes images
  alone, and one without parts gives features alone.
- *part detector*: to ``boxes`` (B, D, 4) in pixels of that input, ``scores`` (B, D) and ``labels`` (B, D),
  most confident first, zeros in empty slots: after suppression.

What a program needs to know besides is in the file's metadata, as JSON values.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from detector.common.files import write_atomically
from pgan.apis import ConfigError, load_config
from pgan.datasets.image_list import ImageList
from pgan.inference.feature_extractor import load_reid_model
from pgan.structures import ReIDSample

_OPSET = 17
_BATCHES = (3, 1, 2)  # the graph is drawn with the first, compared with all


class ExportError(ValueError):
    """A network that cannot be exported, or whose file does not compute what it does."""


@dataclass(frozen=True)
class Network:
    """What is exported, and what it is compared with.

    Attributes:
        module: Tensors in, tensors out.
        reference: The model as the library runs it, likewise.
        distances: From its outputs and the file's to the greatest distance of each.
        make: Examples of a batch, by a number of images and a generator.
        inputs: Names.
        outputs: Names.
        metadata: JSON values.
    """

    module: nn.Module
    reference: Callable[..., Sequence[Tensor]]
    distances: Callable[[Sequence[np.ndarray], Sequence[np.ndarray]], dict[str, float]]
    make: Callable[[int, torch.Generator], tuple[Tensor, ...]]
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    metadata: dict[str, Any]


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: Where it is.
        distances: Greatest distance between its outputs and PyTorch's, by output.
        metadata: As the file has it.
    """

    path: Path
    distances: dict[str, float]
    metadata: dict[str, Any]


def export(
    config: str,
    checkpoint: str,
    out: str | os.PathLike[str],
    options: dict[str, Any] | None = None,
    max_parts: int = 16,
    tolerance: float = 1e-4,
    seed: int = 0,
) -> Exported:
    """Write a trained model of either stage as an ONNX file.

    Args:
        config: Of re-identification or of a part detector.
        checkpoint: Its weights.
        out: The file.
        options: Config keys to override.
        max_parts: D of a detector; that of re-identification is the config's ``num_parts``.
        tolerance: Greatest distance from PyTorch's outputs: of features of length 1, weights and scores as
            they are, of boxes in shares of the input's side.
        seed: Of the images and boxes that are compared.

    Raises:
        ExportError: onnxruntime is not there, the file computes something else, or a detector finds nothing
            that could be compared: none is left then.
        ConfigError, CheckpointError, DetectorError: See there.
    """
    runtime = _onnxruntime()
    network = load_network(config, checkpoint, options, max_parts)
    generator = torch.Generator().manual_seed(seed)
    data = _draw(network, generator)
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    distances = dict.fromkeys(network.outputs, 0.0)
    any_seen = False
    for count in _BATCHES:
        batch = network.make(count, generator)
        with torch.no_grad():
            expected = [tensor.numpy() for tensor in network.reference(*batch)]
        any_seen |= bool(expected[0].any())
        fed = dict(zip(network.inputs, (tensor.numpy() for tensor in batch)))
        found = session.run(list(network.outputs), fed)
        for name, distance in network.distances(expected, found).items():
            distances[name] = max(distances[name], distance)
    if bad := [name for name, distance in distances.items() if not distance <= tolerance]:
        raise ExportError(
            f"{out} is not written: its {bad[0]} differ from PyTorch's by {distances[bad[0]]:.2g}, more than "
            f"{tolerance:g}: say a larger --tolerance if that is near enough"
        )
    if not any_seen:
        raise ExportError(
            f"{out} is not written: in none of the images {checkpoint} finds anything, so that nothing was "
            "compared: is it trained?"
        )
    write_atomically(out, lambda file: file.write(data))
    return Exported(Path(out), distances, network.metadata)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What `export` has written into a file, its JSON values read."""
    session = _onnxruntime().InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    found = session.get_modelmeta().custom_metadata_map
    return {key: json.loads(value) for key, value in found.items()}


def load_network(
    config: str, checkpoint: str, options: dict[str, Any] | None = None, max_parts: int = 16
) -> Network:
    """The network of a config of either stage.

    Raises:
        ConfigError: It is of neither. See `export` too.
    """
    cfg = load_config(config, options)
    if "ReIDMetric" in str(cfg.get("test_evaluator")):
        return _of_reid(cfg, checkpoint)
    if "PartSSDHead" in str(cfg.get("model")):
        return _of_detector(cfg, checkpoint, max_parts)
    raise ConfigError(
        f"{config}: is a config neither of re-identification nor of a part detector: see configs/pgan "
        "and configs/detector"
    )


def _of_reid(cfg: Config, checkpoint: str) -> Network:
    model = load_reid_model(cfg, checkpoint, "cpu")
    model.channels_last = False  # a matter of speed, which a graph does not know
    dataset = cfg.test_dataloader.dataset
    prepare = ImageList([], data_root=".", pipeline=dataset.pipeline, lazy_init=True).pipeline
    size, mean, std = _normalisation(
        lambda pixels: prepare({"image_file": pixels, "img_path": ""})["inputs"]
    )
    with_boxes = model.needs_parts()
    num_parts = int(dataset.get("num_parts") or 0) if with_boxes else 0
    if with_boxes and not num_parts:
        raise ExportError(
            "num_parts is 0: say how many boxes of an image, --cfg-options num_parts=8"
        )

    def make(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        images = torch.randn(count, 3, *size, generator=generator)
        return (images, _boxes(count, num_parts, size, generator)) if with_boxes else (images,)

    class Infer(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, *tensors: Tensor) -> tuple[Tensor, ...]:
            return tuple(tensor for tensor in model.infer(*tensors) if tensor is not None)

    def reference(images: Tensor, *parts: Tensor) -> tuple[Tensor, ...]:
        samples = [ReIDSample(part_boxes=boxes) for boxes in parts[0]] if parts else None
        seen = model(images, samples, mode="predict")
        fields = ("feature", "part_weights")[: len(outputs)]
        return tuple(torch.stack([sample.get(field) for sample in seen]) for field in fields)

    network = Infer().eval()
    outputs = ("features", "part_weights")
    with torch.no_grad():
        made = network(*make(1, torch.Generator()))
    outputs = outputs[: len(made)]
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
            **_about_images(size, mean, std),
            "num_parts": num_parts,
            "feature_dim": made[0].shape[1],
        },
    )


def _of_detector(cfg: Config, checkpoint: str, max_parts: int) -> Network:
    # mmdet takes seconds to import, and re-identification alone needs none of it.
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
        found = model.bbox_head.predict_by_feat(*levels, batch_img_metas=metas)
        padded = [torch.zeros(len(found), max_parts, *tail) for tail in ((4,), (), ())]
        for row, of_image in enumerate(found):
            for slots, name in zip(padded, ("bboxes", "scores", "labels")):
                slots[row, : len(of_image)] = of_image[name]
        return tuple(padded)

    def make(count: int, generator: torch.Generator) -> tuple[Tensor, ...]:
        coarse = torch.randn(count, 3, 12, 12, generator=generator)
        return (nn.functional.interpolate(coarse, size, mode="bicubic") + 0.1 * torch.randn(
            count, 3, *size, generator=generator
        ),)  # fmt: skip

    return Network(
        module=network,
        reference=reference,
        distances=lambda a, b: _box_distances(a, b, size),
        make=make,
        inputs=("images",),
        outputs=("boxes", "scores", "labels"),
        metadata={
            "task": "part detection",
            "model": type(model).__name__,
            **_about_images(size, mean, std),
            "num_parts": max_parts,
            "classes": list(detector.classes),
        },
    )


def _draw(network: Network, generator: torch.Generator) -> bytes:
    """The graph as the bytes of a file."""
    import onnx

    buffer = io.BytesIO()
    free = {name: {0: "batch"} for name in (*network.inputs, *network.outputs)}
    with warnings.catch_warnings():
        # Of the exporter: it warns of constants, which the comparison is for, and of its successor, which
        # takes ten times as long.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                network.module,
                network.make(_BATCHES[0], generator),
                buffer,
                input_names=list(network.inputs),
                output_names=list(network.outputs),
                dynamic_axes=free,
                opset_version=_OPSET,
                dynamo=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error).partition("\n")[0].partition(". ")[0]
            name = network.metadata["model"]
            raise ExportError(f"this {name} is not exported: ONNX lacks it ({reason})") from None
    graph = onnx.load_model_from_string(buffer.getvalue())
    texts = {key: json.dumps(value) for key, value in network.metadata.items()}
    onnx.helper.set_model_props(graph, texts)
    onnx.checker.check_model(graph)
    return graph.SerializeToString()


def _normalisation(
    prepare: Callable[[np.ndarray], Tensor],
) -> tuple[tuple[int, int], list[float], list[float]]:
    """Size (height, width) of a network's input, mean and std of its pixels: asked of the pipeline itself.

    A black and a white image tell the two numbers of ``(rgb - mean) / std``; a third, that it is so.
    """
    black, grey, white = (
        prepare(np.full((40, 60, 3), level, np.uint8)).double() for level in (0, 100, 255)
    )
    std = 255 / (white - black).mean((1, 2))
    mean = -black.mean((1, 2)) * std
    expected = ((100 - mean) / std)[:, None, None].expand_as(grey)
    if not torch.allclose(grey, expected, atol=1e-4):
        raise ExportError(
            "test_dataloader.dataset.pipeline does more to an image than to resize and normalise it: that "
            "is not exported"
        )
    return tuple(grey.shape[1:]), mean.tolist(), std.tolist()


def _about_images(size: tuple[int, int], mean: list[float], std: list[float]) -> dict[str, Any]:
    return {
        "input_size": list(size),
        "mean": [round(value, 4) for value in mean],
        "std": [round(value, 4) for value in std],
        "channels": "RGB",
    }


def _boxes(count: int, slots: int, size: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Boxes in an input of that size, some slots empty, and all of the first image's."""
    limits = torch.tensor([size[1], size[0]])
    corners = torch.rand(count, slots, 2, 2, generator=generator).sort(2).values * limits
    boxes = corners.flatten(2)
    boxes[torch.rand(count, slots, generator=generator) < 0.3] = 0
    boxes[0] = 0
    return boxes


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.abs(a.astype(np.float64) - b).max()) if a.shape == b.shape else float("inf")


def _box_distances(
    expected: Sequence[np.ndarray], found: Sequence[np.ndarray], size: tuple[int, int]
) -> dict[str, float]:
    """Scores by rank; each box against the nearest one: near-equal scores may change places."""
    scores = _distance(expected[1], found[1])
    sides = np.array([size[1], size[0]] * 2)
    boxes = labels = 0.0
    for mine, score, label, theirs, their_label in zip(*expected, found[0], found[2]):
        # At the last place, one of near-equals is in and the other out.
        for box, name in zip(mine[score > score.min() + 1e-4], label[score > score.min() + 1e-4]):
            apart = np.abs((theirs - box) / sides).max(1)
            boxes = max(boxes, float(apart.min()))
            labels = max(
                labels, float(not (their_label[apart <= apart.min() + 1e-6] == name).any())
            )
    return {"boxes": boxes, "scores": scores, "labels": labels}


def _onnxruntime() -> Any:
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise ExportError(f"{error}: run `pip install 'pgan[export]'`") from None
    return onnxruntime
