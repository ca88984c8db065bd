"""Convert checkpoints between the layout of the authors' release and ours, by renaming tensors.

Their ``model_best.pth`` is PGAN on a ResNet-50. Each of its tensors corresponds to one of ours, unchanged.
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
# The model of `model_best.pth`.
RELEASED_MODEL = {"type": "PGAN", "backbone": {"type": "TorchvisionBackbone", "name": "resnet50"}}
# Prefix of a name in our checkpoints -> in theirs.
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
        tensors: Number of tensors in it.
        num_vehicles: Number of vehicles of its classifier.
        left_out: Keys of the source that were not converted, such as ``optimizer``.
    """

    path: Path
    tensors: int
    num_vehicles: int
    left_out: tuple[str, ...]


def authors_name(name: str) -> str:
    """Return the authors' name for one of our tensors.

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
        state: State dict in the authors' layout, or in ours for ``to='authors'``; names may start with
            ``module.``.
        model: The PGAN whose names and shapes the state dict must match.
        to: ``'ours'`` or ``'authors'``.

    Returns:
        The same tensors under their new names, in the model's order.

    Raises:
        CheckpointError: A tensor is missing, unexpected or of another shape; the message names the first.
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
    """Convert a checkpoint of the authors into one for ``tools/test.py`` and training, or back.

    Their checkpoint is a state dict, plain or under ``state_dict``; ours has it under ``state_dict``. For the
    authors' program, a plain state dict is written in the format that its PyTorch 1.0 can read.

    Args:
        source: Checkpoint of tensors and plain values; nothing in it is executed.
        target: File to write atomically; it must not exist yet.
        to: Layout to convert to, ``'ours'`` or ``'authors'``.
        model: Config of the PGAN, if it is not the released one; the number of vehicles is taken from the
            classifier.

    Raises:
        CheckpointError: The source is unreadable, belongs to another model, or contains NaN or infinity; or
            the target exists already.
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
        _refuse_non_finite(converted)
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
    """Strip the prefix ``module.``, which parallel training adds to names."""
    plain = {name.removeprefix("module."): value for name, value in state.items()}
    if len(plain) < len(state):
        twice = next(name for name in state if f"module.{name}" in state)
        raise CheckpointError(f"holds {twice!r} twice, with and without 'module.' before it")
    return plain


def _num_vehicles(state: Mapping[str, Tensor]) -> int:
    """Number of vehicles in either layout; 1 without a classifier, which is refused later."""
    names = ("classifier.weight", authors_name("classifier.weight"))
    return next((len(state[name]) for name in names if name in state and state[name].ndim), 1)


def _refuse_non_finite(state: Mapping[str, Tensor]) -> None:
    """Detect damage, as far as possible in the authors' format, which has no checksums."""
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
