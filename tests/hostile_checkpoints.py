"""Kinds of checkpoints that are corrupted at random: how each is written, and how it is read."""

from __future__ import annotations

import zlib
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torchvision.models import get_model

from detector.extraction.loading import load_detector
from pgan.apis import load_config
from pgan.engine import load_plain
from pgan.models import TorchvisionBackbone
from pgan.models.authors import convert_checkpoint
from pgan.registry import MODELS
from tests.pgan.tiny_models import tiny_detector


def make_checkpoint(folder: Path) -> Path:
    folder.mkdir()
    torch.save({"state_dict": {"w": torch.arange(5.0)}, "meta": {"epoch": 3}}, folder / "a.pth")
    return folder


def read_checkpoint(folder: Path) -> Any:
    found = load_plain(str(folder / "a.pth"))
    return found["state_dict"]["w"].numpy(), found["meta"]


def make_detector(folder: Path) -> Path:
    tiny_detector(folder)
    return folder


def read_detector(folder: Path) -> Any:
    found = load_detector(
        load_config(str(folder / "detector.py")), folder / "detector.pth", 4, device="cpu"
    )
    return found.classes, checksums(found.model.state_dict())


def make_backbone(folder: Path, archive: bool) -> Path:
    folder.mkdir()
    state = get_model("squeezenet1_1", weights=None).features[:4].state_dict()
    named = {f"features.{name}": value for name, value in state.items()}
    torch.save(named, folder / "a.pth", _use_new_zipfile_serialization=archive)
    return folder


def read_backbone(folder: Path) -> Any:
    weights = str(folder / "a.pth")
    backbone = TorchvisionBackbone("squeezenet1_1", 2, out="3", weights=weights)
    backbone.init_weights()
    return checksums(backbone.state_dict())


def checksums(state: dict[str, torch.Tensor]) -> dict[str, int]:
    return {key: zlib.crc32(tensor.numpy().tobytes()) for key, tensor in state.items()}


_SMALL_PGAN = {
    "type": "PGAN",
    "backbone": {
        **{"type": "TorchvisionBackbone", "name": "resnet18"},
        **{"out": "layer1", "last_stride": 2},
    },
    "feature_dim": 16,
    "attention_channels": 8,
}


def make_authors_checkpoint(folder: Path) -> Path:
    """Checkpoints in the authors' layout, in torch's old format without checksums, and in our layout."""
    model = MODELS.build({**_SMALL_PGAN, "num_vehicles": 3})
    folder.mkdir()
    torch.save({"state_dict": model.state_dict()}, folder / "made.pth")
    convert_checkpoint(folder / "made.pth", folder / "theirs.pth", "authors", _SMALL_PGAN)
    convert_checkpoint(folder / "theirs.pth", folder / "ours.pth", "ours", _SMALL_PGAN)
    return folder


def convert(folder: Path, name: str, to: str) -> Any:
    """Convert a checkpoint; all tensors of the result are finite."""
    with TemporaryDirectory(dir=folder.parent) as place:
        done = convert_checkpoint(folder / name, Path(place) / "a.pth", to, _SMALL_PGAN)
        state = load_plain(str(done.path))
        state = state.get("state_dict", state)
        assert all(torch.isfinite(tensor).all() for tensor in state.values())
        return checksums(state)
