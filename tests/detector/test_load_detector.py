"""Which checkpoints a detector is loaded from, and which are refused."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from detector.errors import DetectorError
from detector.extractor import load_detector


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda s: s["state_dict"].pop("backbone.conv1.weight"), "1 tensors missing"),
        (lambda s: s["state_dict"].update(x=torch.ones(1)), r"1 tensors too many \(first: x\)"),
        (
            lambda s: s["state_dict"].update({"backbone.conv1.weight": torch.ones(1)}),
            "1 tensors of other shapes",
        ),
        (lambda s: s["meta"]["dataset_meta"].update(classes=("wheel",)), "2 classes apart"),
        (lambda s: s["meta"]["dataset_meta"].update(classes=5), "classes are no names"),
        (lambda s: s["meta"].update(dataset_meta=[]), "classes are no names"),
        (lambda s: s["state_dict"]["backbone.conv1.weight"].fill_(math.nan), "1 tensors hold NaN"),
        (lambda s: s.update(history=Path("x")), "not a checkpoint of tensors"),
    ],
)
def test_a_checkpoint_of_something_else_is_refused(
    tiny_config: Config, checkpoint: Path, spoil: Callable[[dict], object], words: str
) -> None:
    state = torch.load(checkpoint, weights_only=True)
    spoil(state)
    torch.save(state, checkpoint)
    with pytest.raises(DetectorError, match=words):
        load_detector(tiny_config, checkpoint, 6, device="cpu")


def test_a_checkpoint_with_a_flipped_bit_is_refused(tiny_config: Config, checkpoint: Path) -> None:
    data = bytearray(checkpoint.read_bytes())
    weight = torch.load(checkpoint, weights_only=True)["state_dict"]["backbone.conv1.weight"]
    data[data.index(weight.numpy().tobytes())] ^= 1
    checkpoint.write_bytes(data)
    with pytest.raises(DetectorError, match=f"{checkpoint}: damaged"):
        load_detector(tiny_config, checkpoint, 6, device="cpu")
