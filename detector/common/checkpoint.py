"""Checkpoints of tensors and plain values: read whole or refused, and nothing in them is run."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor


def read_checkpoint(
    path: str | os.PathLike[str], refusal: type[ValueError], map_location: Any = "cpu"
) -> dict[str, Any]:
    """Read a state dict, or a checkpoint with one under ``state_dict``.

    Torch's archives hold checksums, which are compared: torch itself does not. Files in its older format hold
    none.

    Args:
        path: The file.
        refusal: Error of the caller.
        map_location: Of `torch.load`.

    Returns:
        What was saved. It has `weights_of` it, and its ``meta``, if any, is a dict or None; the rest is any
        plain values.

    Raises:
        ValueError: A ``refusal``: the file is missing or damaged, or holds other objects or something else.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise refusal(f"{path}: no such checkpoint; check the path, or train first")
    if _is_archive(file) and not is_whole(file):
        raise refusal(f"{path}: damaged: a checksum in it is wrong; use another checkpoint")
    try:
        content = torch.load(file, map_location=map_location, weights_only=True)
    except PermissionError as error:
        raise refusal(f"{path}: cannot be read: you have no permission to") from error
    except Exception as error:  # torch raises many kinds for a broken file
        # Torch's own words would advise to run what the file holds.
        raise refusal(
            f"{path}: not a checkpoint of tensors and plain values ({type(error).__name__}): it is damaged, "
            "or holds other objects, which are not opened, since that would run their code: save it anew "
            "with torch.save(model.state_dict(), path)"
        ) from error
    if not _holds_weights(content):
        raise refusal(
            f"{path}: holds no state dict of tensors by name; save it anew with "
            "torch.save(model.state_dict(), path)"
        )
    if not isinstance(content.get("meta"), dict | None):
        raise refusal(f"{path}: its meta is no dict: save the state_dict alone")
    return content


def _holds_weights(content: Any) -> bool:
    if not isinstance(content, dict):
        return False
    state = content.get("state_dict", content)
    return (
        isinstance(state, dict)
        and len(state) > 0
        and all(isinstance(name, str) and _is_plain(value) for name, value in state.items())
    )


def _is_plain(value: Any) -> bool:
    """Whether it is a tensor with numbers at each of its places."""
    return (
        isinstance(value, Tensor)
        and value.layout is torch.strided
        and not (value.is_meta or value.is_quantized)
    )


def _is_archive(file: Path) -> bool:
    try:
        return zipfile.is_zipfile(file)
    except zipfile.BadZipFile:  # one that is damaged at its end
        return True


def is_whole(path: str | os.PathLike[str]) -> bool:
    """Whether a file is one of torch's archives, with every byte as it was written, by its checksums."""
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.testzip() is None
    except Exception:  # zipfile raises many kinds for a broken file
        return False


def weights_of(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The tensors of a checkpoint, by name without the ``module.`` that parallel training puts before it.

    Args:
        checkpoint: Of `read_checkpoint`.
    """
    state = checkpoint.get("state_dict", checkpoint)
    return {name.removeprefix("module."): value for name, value in state.items()}


def misfits(model: Mapping[str, Tensor], weights: Mapping[str, Tensor]) -> dict[str, list[str]]:
    """Names of tensors that do not fit a model, by what is wrong with them; empty where all fit.

    Args:
        model: Its state dict.
        weights: Of `weights_of`.

    >>> misfits({"a": torch.ones(1), "b": torch.ones(2)}, {"b": torch.ones(3), "c": torch.ones(1)})
    {'missing': ['a'], 'of other shapes': ['b'], 'too many': ['c']}
    """
    shared = model.keys() & weights.keys()
    found = {
        "missing": sorted(model.keys() - shared),
        "of other shapes": sorted(n for n in shared if model[n].shape != weights[n].shape),
        "too many": sorted(weights.keys() - shared),
    }
    return {fault: names for fault, names in found.items() if names}


def in_words(found: Mapping[str, list[str]]) -> str:
    """Of `misfits`, such as ``2 tensors missing (first: conv1.weight)``."""
    return ", ".join(
        f"{len(names)} tensors {fault} (first: {names[0]})" for fault, names in found.items()
    )
