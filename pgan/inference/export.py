"""Export trained models as ONNX files, each compared with PyTorch before it is written.

Every file takes ``images`` (B, 3, H, W) float32, ``(rgb - mean) / std`` of pixels from 0 to 255, for any B:

- *re-identification* also takes ``parts`` (B, D, 4) float32, boxes in pixels of that input with zeros in
  empty slots. It returns ``features`` (B, C), L2-normalised, and ``part_weights`` (B, D). A model without
  part boxes takes images only, and a model without parts returns features only.
- *part detection* returns ``boxes`` (B, D, 4) in pixels of that input, ``scores`` (B, D) and ``labels``
  (B, D) after non-maximum suppression, most confident first, with zeros in empty slots.

Whatever else a program needs to know is stored in the file's metadata as JSON values.
"""

from __future__ import annotations

import io
import json
import os
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from detector.common.files import write_atomically
from pgan.inference.onnx_networks import ExportError, Network, load_network

__all__ = ["ExportError", "Exported", "export", "read_metadata"]

_OPSET = 17
_BATCHES = (3, 1, 2)  # the graph is traced with the first size and compared with all


@dataclass(frozen=True)
class Exported:
    """A file that was written.

    Attributes:
        path: The file.
        distances: Greatest distance between its outputs and PyTorch's, by name of the output.
        metadata: The metadata in the file.
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
    """Write a trained re-identification model or part detector as an ONNX file.

    Args:
        config: Config file of the model.
        checkpoint: Weights of the model.
        out: The file to write.
        options: Config keys to override.
        max_parts: D of a detector; that of a re-identification model is ``num_parts`` of its config.
        tolerance: Greatest accepted distance from PyTorch's outputs. Features of length 1, weights and scores
            are compared as they are, boxes as fractions of the input's sides.
        seed: Seed of the random images and boxes that are compared.

    Raises:
        ExportError: onnxruntime is not installed, the graph computes something else, or the detector finds
            nothing that could be compared. No file is written then.
        ConfigError: The config is of neither kind.
        CheckpointError: The weights of a re-identification model cannot be used.
        DetectorError: The weights of a detector cannot be used.

    Example:
        >>> done = export(CONFIG, CHECKPOINT, "pgan.onnx")  # doctest: +SKIP
        >>> done.metadata["feature_dim"], max(done.distances.values()) < 1e-4  # doctest: +SKIP
        (512, True)
    """
    runtime = _onnxruntime()
    network = load_network(config, checkpoint, options, max_parts)
    generator = torch.Generator().manual_seed(seed)
    data = _trace(network, generator)
    session = runtime.InferenceSession(data, providers=["CPUExecutionProvider"])
    distances = dict.fromkeys(network.outputs, 0.0)
    any_output = False
    for count in _BATCHES:
        batch = network.make(count, generator)
        with torch.no_grad():
            expected = [tensor.numpy() for tensor in network.reference(*batch)]
        any_output |= bool(expected[0].any())
        inputs = dict(zip(network.inputs, (tensor.numpy() for tensor in batch)))
        found = session.run(list(network.outputs), inputs)
        for name, distance in network.distances(expected, found).items():
            distances[name] = max(distances[name], distance)
    if bad := [name for name, distance in distances.items() if not distance <= tolerance]:
        raise ExportError(
            f"{out} is not written: its {bad[0]} differ from PyTorch's by {distances[bad[0]]:.2g}, more than "
            f"{tolerance:g}: give a larger --tolerance if that is close enough"
        )
    if not any_output:
        raise ExportError(
            f"{out} is not written: {checkpoint} finds nothing in any of the images, so there is nothing to "
            "compare: is it trained?"
        )
    write_atomically(out, lambda file: file.write(data))
    return Exported(Path(out), distances, network.metadata)


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the metadata that `export` stored in a file.

    Raises:
        ExportError: onnxruntime is not installed.
    """
    session = _onnxruntime().InferenceSession(os.fspath(path), providers=["CPUExecutionProvider"])
    found = session.get_modelmeta().custom_metadata_map
    return {key: json.loads(value) for key, value in found.items()}


def _trace(network: Network, generator: torch.Generator) -> bytes:
    """Trace the network; returns the content of the ONNX file."""
    import onnx

    buffer = io.BytesIO()
    batch_axis = {name: {0: "batch"} for name in (*network.inputs, *network.outputs)}
    with warnings.catch_warnings():
        # The exporter warns of constants, which the comparison covers, and of its successor, which takes ten
        # times as long.
        warnings.simplefilter("ignore")
        try:
            torch.onnx.export(
                network.module,
                network.make(_BATCHES[0], generator),
                buffer,  # type: ignore[arg-type]  # without dynamo, it writes into buffers too
                input_names=list(network.inputs),
                output_names=list(network.outputs),
                dynamic_axes=batch_axis,
                opset_version=_OPSET,
                dynamo=False,
            )
        except torch.onnx.OnnxExporterError as error:
            reason = str(error).partition("\n")[0].partition(". ")[0]
            name = network.metadata["model"]
            raise ExportError(
                f"this {name} cannot be exported: ONNX lacks an operator ({reason})"
            ) from None
    graph = onnx.load_model_from_string(buffer.getvalue())
    texts = {key: json.dumps(value) for key, value in network.metadata.items()}
    onnx.helper.set_model_props(graph, texts)
    onnx.checker.check_model(graph)
    return graph.SerializeToString()


def _onnxruntime() -> Any:
    try:
        import onnx  # noqa: F401
        import onnxruntime
    except ImportError as error:
        raise ExportError(f"{error}: run `pip install 'pgan[export]'`") from None
    return onnxruntime
