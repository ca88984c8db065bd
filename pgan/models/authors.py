"""The checkpoints of the authors' release, there and back by renaming alone.

Their ``model_best.pth`` is PGAN on a ResNet-50: every tensor in it has one place in ours, and none is
changed on the way.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from detector.common.files import write_atomically
from pgan.engine.checkpoint import CheckpointError, load_plain
from pgan.registry import MODELS

OURS, AUTHORS = "ours", "authors"
# What `model_best.pth` is a checkpoint of.
RELEASED_MODEL = {"type": "PGAN", "backbone": {"type": "TorchvisionBackbone", "name": "resnet50"}}
# How names begin in our checkpoints -> in theirs.
_PREFIXES = {
    "backbone.": "base.",
    "neck.": "bottleneck.0.",
    "classifier.": "classifier.0.",
    "attention.": "attention.0.",
    "refine_fusion.se.": "refine_concat.0.0.",
    "refine_fusion.bottleneck.": "refine_concat.0.1.",
    "refine_part.se.": "refine_prop.0.0.",
    "refine_part.bottleneck.": "refine_prop.0.1.",
    "refine_global.se.": "refine_base.0.0.",
    "refine_global.bottleneck.": "refine_base.0.1.",
}


@dataclass(frozen=True)
class Conversion:
    """A converted checkpoint.

    Attributes:
        path: The file written.
        tensors: How many tensors it holds.
        num_vehicles: Vehicles that its classifier tells apart.
        left_out: What the source held besides, such as ``optimizer``.
    """

    path: Path
    tensors: int
    num_vehicles: int
    left_out: tuple[str, ...]


def authors_name(name: str) -> str:
    """The authors' name of a tensor of ours.

    >>> authors_name("refine_fusion.bottleneck.conv1.weight")
    'refine_concat.0.1.conv1.weight'

    Raises:
        CheckpointError: Their layout has no such tensor.
    """
    for ours, theirs in _PREFIXES.items():
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    raise CheckpointError(f"the authors' layout has no place for {name!r}")


def convert_state(state: Mapping[str, Tensor], model: nn.Module, to: str) -> dict[str, Tensor]:
    """Rename the tensors of a state dict; none is copied or changed.

    Args:
        state: Of the authors' layout, or of ours for ``to='authors'``; ``module.`` may stand before a name.
        model: The PGAN that it is a state of: its names and shapes are the ones required.
        to: ``'ours'`` or ``'authors'``.

    Returns:
        The same tensors under their new names, in the model's order.

    Raises:
        CheckpointError: A tensor is missing, one too many, or of another shape; it names the first.
    """
    state = _without_module(state)
    expected = model.state_dict()
    pairs = [(authors_name(name), name) for name in expected]
    places = dict(pairs) if to == OURS else {ours: theirs for theirs, ours in pairs}
    if not places.keys() & state.keys() and set(places.values()) & state.keys():
        other = AUTHORS if to == OURS else OURS
        raise CheckpointError(f"is in the layout of {to!r} already: convert it to {other!r}")
    shapes = {source: expected[source if to == AUTHORS else places[source]] for source in places}
    _refuse_faults(state, {source: tuple(value.shape) for source, value in shapes.items()})
    return {target: state[source] for source, target in places.items()}


def convert_checkpoint(
    source: str | Path, target: str | Path, to: str = OURS, model: dict[str, Any] | None = None
) -> Conversion:
    """Convert a file: the authors' into one for ``tools/test.py`` and training, or back.

    Theirs is a state dict, alone or under ``state_dict``; ours has it under ``state_dict``. What is written
    for them is a plain state dict in the format that PyTorch 1.0, which they used, can read.

    Args:
        source: Checkpoint of tensors and plain values; nothing in it is executed.
        target: File to write, in one step; there must be none yet.
        to: Layout to convert to, ``'ours'`` or ``'authors'``.
        model: Config of the PGAN, if it is not the released one; the number of vehicles is read off the
            classifier.

    Raises:
        CheckpointError: The source cannot be read, is of another model, or holds NaN or infinity; or the
            target is there already.
    """
    source, target = Path(source), Path(target)
    if target.exists():
        raise CheckpointError(f"{target} is there already: give another name, or delete it first")
    content = load_plain(str(source))
    try:
        state = _without_module(content.get("state_dict", content))
        num_vehicles = _num_vehicles(state)
        built = MODELS.build({**(model or RELEASED_MODEL), "num_vehicles": num_vehicles})
        converted = convert_state(state, built, to)
        _refuse_no_numbers(converted)
    except CheckpointError as error:
        raise CheckpointError(f"{source}: {error}") from None
    if to == OURS:
        meta = {"converted_from": source.name, "num_vehicles": num_vehicles}
        whole: dict[str, Any] = {"state_dict": converted, "meta": meta}
    else:
        whole = converted
    write_atomically(
        target, lambda file: torch.save(whole, file, _use_new_zipfile_serialization=to == OURS)
    )
    left_out = tuple(content) if "state_dict" in content else ()
    return Conversion(
        target, len(converted), num_vehicles, tuple(k for k in left_out if k != "state_dict")
    )


def _without_module(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Names without the ``module.`` that parallel training puts before them."""
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    if len(plain) < len(state):
        twice = next(name for name in state if f"module.{name}" in state)
        raise CheckpointError(f"holds {twice!r} twice, with and without 'module.' before it")
    return plain


def _num_vehicles(state: Mapping[str, Tensor]) -> int:
    """Vehicles of a checkpoint in either layout; 1 where it has no classifier, to be refused as such."""
    names = ("classifier.weight", authors_name("classifier.weight"))
    return next((len(state[name]) for name in names if name in state and state[name].ndim), 1)


def _refuse_no_numbers(state: Mapping[str, Tensor]) -> None:
    """The authors' format has no checksums: this much of damage shows."""
    for name, value in state.items():
        if not torch.isfinite(value).all():
            raise CheckpointError(f"{name!r} holds NaN or infinity: is it damaged, or diverged?")


def _refuse_faults(state: Mapping[str, Tensor], shapes: Mapping[str, tuple[int, ...]]) -> None:
    missing = [name for name in shapes if name not in state]
    surplus = [name for name in state if name not in shapes]
    reshaped = [n for n in shapes if n in state and tuple(state[n].shape) != shapes[n]]
    faults = []
    if missing:
        faults.append(f"lacks {len(missing)} of {len(shapes)} tensors, the first is {missing[0]!r}")
    if surplus:
        faults.append(f"has {len(surplus)} tensors too many, the first is {surplus[0]!r}")
    if reshaped:
        name = reshaped[0]
        faults.append(
            f"has {len(reshaped)} tensors of other shapes, the first is {name!r} with "
            f"{tuple(state[name].shape)} where the model has {shapes[name]}"
        )
    if faults:
        raise CheckpointError(
            f"is of another model: it {' and it '.join(faults)}; name its config with --config"
        )
