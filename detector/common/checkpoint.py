"""Read checkpoints of tensors and built-in types, without running code that they hold."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def read_checkpoint(
    path: str | os.PathLike[str],
    error_type: type[ValueError],
    map_location: str | torch.device | None = "cpu",
) -> dict[str, Any]:
    """Read a state dict, or a checkpoint with a state dict under ``state_dict``.

    The checksums of torch's zip archives are verified, which `torch.load` does not do. Files in torch's older
    format have no checksums.

    Args:
        path: The file.
        error_type: Exception to raise if the file cannot be read.
        map_location: Device of the tensors, see `torch.load`.

    Returns:
        The content of the file. `weights_of` returns its tensors. ``meta``, if present, is a dict or None;
        everything else has any of Python's built-in types.

    Raises:
        ValueError: An ``error_type``: the file is missing or damaged, holds no state dict, or holds objects
            of other types.

    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     torch.save({"state_dict": {"module.bias": torch.ones(2)}, "meta": {}}, f"{folder}/a.pth")
    ...     weights_of(read_checkpoint(f"{folder}/a.pth", ValueError))
    {'bias': tensor([1., 1.])}
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise error_type(f"{path}: no such checkpoint; check the path, or train first")
    if _is_archive(file) and not is_whole(file):
        raise error_type(f"{path}: damaged: a checksum in it is wrong; use another checkpoint")
    try:
        content = torch.load(file, map_location=map_location, weights_only=True)
    except PermissionError as error:
        raise error_type(f"{path}: cannot be read: permission denied") from error
    except Exception as error:  # torch raises many types for a broken file
        # Torch's own message advises to run the code in the file.
        raise error_type(
            f"{path}: not a checkpoint of tensors and built-in types ({type(error).__name__}): it is "
            "damaged, or holds other objects, which are not opened, since that would run their code: save "
            "it again with torch.save(model.state_dict(), path)"
        ) from error
    if not _holds_state_dict(content):
        raise error_type(
            f"{path}: holds no state dict of tensors by name; save it again with "
            "torch.save(model.state_dict(), path)"
        )
    if not isinstance(content.get("meta"), dict | None):
        raise error_type(f"{path}: its meta is not a dict: save the state_dict alone")
    return content


def _holds_state_dict(content: Any) -> bool:
    if not isinstance(content, dict):
        return False
    state = content.get("state_dict", content)
    return (
        isinstance(state, dict)
        and len(state) > 0
        and all(isinstance(name, str) and _is_dense(value) for name, value in state.items())
    )


def _is_dense(value: Any) -> bool:
    """Whether a value is a tensor that stores each of its numbers."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and not (value.is_meta or value.is_quantized)
    )


def _is_archive(file: Path) -> bool:
    try:
        return zipfile.is_zipfile(file)
    except zipfile.BadZipFile:  # an archive with a damaged end
        return True


def is_whole(path: str | os.PathLike[str]) -> bool:
    """Whether a file is a zip archive of torch whose checksums are all correct."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # zipfile raises many types for a broken file
        return False


def weights_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by name, without the prefix ``module.`` of parallel training.

    Args:
        checkpoint: Content of a checkpoint, see `read_checkpoint`.
    """
    state = checkpoint.get("state_dict", checkpoint)
    return {name.removeprefix("module."): value for name, value in state.items()}


def mismatches(model: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Names of the tensors that do not fit a model, by kind of mismatch; empty if all fit.

    Args:
        model: State dict of the model.
        weights: Tensors to load, see `weights_of`.

    >>> mismatches({"a": torch.ones(1), "b": torch.ones(2)}, {"b": torch.ones(3), "c": torch.ones(1)})
    {'missing': ['a'], 'of another shape': ['b'], 'unexpected': ['c']}
    """
    shared = model.keys() & weights.keys()
    found = {
        "missing": sorted(model.keys() - shared),
        "of another shape": sorted(n for n in shared if model[n].shape != weights[n].shape),
        "unexpected": sorted(weights.keys() - shared),
    }
    return {kind: names for kind, names in found.items() if names}


def describe_mismatches(found: Mapping[str, list[str]]) -> str:
    """Describe the result of `mismatches` for an error message.

    >>> describe_mismatches({"missing": ["conv1.weight", "fc.bias"], "unexpected": ["x"]})
    '2 tensors missing (first: conv1.weight), 1 tensor unexpected (first: x)'
    """
    return ", ".join(
        f"{len(names)} tensor{'s' * (len(names) > 1)} {kind} (first: {names[0]})"
        for kind, names in found.items()
    )
