"""What tests of sweeps share: a network that costs nothing, and tools run in this process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
import torch

from detector.cache import Parts
from detector.cache.writer import PartCacheWriter
from pgan.registry import MODELS
from pgan.tools import test, train

ROOT = Path(__file__).resolve().parents[2]
PGAN, BASELINE = (
    str(next((ROOT / "configs/pgan").glob(f"{model}_r18-cpu_*_fleet-*.py")))
    for model in ("pgan", "baseline")
)
LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
SMALL = [
    "model.backbone.type=OneConvolution",
    "train_dataloader.batch_size=4",
    "train_dataloader.sampler.identities=2",
    "train_dataloader.sampler.images=2",
    "train_cfg.max_epochs=2",
    "train_cfg.val_interval=9",
    "visualizer.vis_backends=[]",
    *(f"{loader}.num_workers=0" for loader in LOADERS),
    "image_size=(32,32)",
]


@MODELS.register_module()
class OneConvolution(torch.nn.Conv2d):
    """A backbone that costs nothing, whatever its config says of a ResNet."""

    def __init__(self, **resnet: object) -> None:
        super().__init__(3, 16, 8, stride=8)


class Tools:
    """Runs tools in this process, and remembers what a sweep called."""

    def __init__(self) -> None:
        self.calls: list[list[str]] = []
        self.before: Callable[[list[str]], int | None] = lambda command: None

    def run(self, main: Callable[[], int], *words: object) -> int:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "argv", ["tool", *map(str, words)])
            return main()

    def command(self, command: list[str], log: Path, show, started, **options) -> int:
        """In place of pgan.experiments.steps.run_command, which would start Python anew each time."""
        self.calls.append(command)
        tool = {"train": train, "test": test}[Path(command[0]).stem]
        with log.open("a") as file, redirect_stdout(file), redirect_stderr(file):
            code = self.before(command)
            return self.run(tool.main, *command[1:]) if code is None else code

    def called(self) -> list[str]:
        names = [Path(command[0]).stem for command in self.calls]
        self.calls.clear()
        return names


def cache_two_parts(root: Path, out: Path) -> None:
    """Write a cache of two parts in each image below a folder."""
    images = sorted(p.relative_to(root).as_posix() for p in root.rglob("*.jpg"))
    writer = PartCacheWriter(out, images, {"classes": ["wheel"], "max_parts": 12})
    boxes = np.array([[5, 5, 20, 15], [0, 0, 9, 9]], np.float32)
    parts = Parts(boxes, np.array([1, 0.5], np.float32), np.zeros(2, int), (20, 30))
    writer.write(0, [parts] * len(images))
    writer.finish()
