"""A small training run for the crash test: noise images, the first stages of a ResNet, a few steps."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib.pyplot  # noqa: F401  (mmengine's visualizer would import it in each forked run)
import numpy as np
import torch
from mmengine.config import Config

from detector.common.files import temporary_files, write_atomically
from pgan.apis import build_runner, load_config
from pgan.benchmarks.crash_test.images import png, write_once
from pgan.benchmarks.crash_test.kills import Job
from pgan.engine import load_plain

CONFIG = "configs/pgan/baseline_r18-cpu_1xb64-30e_csv-128x128.py"
_LOADERS = ("train_dataloader", "val_dataloader", "test_dataloader")
_SIDE = 32
# Times, folders and the checked-out commit differ between runs.
_MOMENTARY = {
    "meta": ("time", "cfg", "experiment_name", "mmengine_version"),
    "message_hub": ("runtime_info",),
}


def training(data_root: Path, epochs: int = 3, workers: int = 2, config: str = CONFIG) -> Job:
    """Return a training run of 6 steps per epoch, with a checkpoint every other step and after each epoch.

    The model is validated after each epoch.

    Args:
        data_root: Folder for the images; existing ones are kept.
        epochs: Number of epochs.
        workers: Data loader workers of the training images.
        config: A config that reads its images by CSV.
    """
    _draw(data_root)
    cfg = load_config(config, _options(data_root, epochs, workers))  # imports its custom modules
    # Every checkpoint holds the config's text; formatting it takes longer than a training step.
    cfg = Config(cfg.to_dict(), filename=cfg.filename, format_python_code=False)

    def run(work_dir: Path) -> None:
        torch.set_num_threads(1)
        build_runner(cfg, str(work_dir), resume=True).train()

    return Job(run, temporary_files, content)


def content(work_dir: Path) -> dict[str, str]:
    """Return digests of the checkpoints of a run and of its log, without times, by file and key."""
    digests = {}
    for file in sorted(work_dir.glob("*.pth")):
        checkpoint = load_plain(str(file))
        for part, keys in _MOMENTARY.items():
            for key in keys:
                checkpoint[part].pop(key, None)
        logged = checkpoint["message_hub"]["log_scalars"]
        for name in [name for name in logged if name.endswith(("time", "memory"))]:
            del logged[name]
        for key, value in checkpoint.items():
            digests[f"{file.name}: {key}"] = _digest(value)
    return digests


def _digest(value: Any) -> str:
    if isinstance(value, torch.Tensor):
        data = value.contiguous().numpy()
        return hashlib.sha256(f"{data.dtype}{data.shape}".encode() + data.tobytes()).hexdigest()
    if isinstance(value, Mapping):
        value = sorted((str(key), _digest(item)) for key, item in value.items())
    elif isinstance(value, (list, tuple)):
        value = [_digest(item) for item in value]
    return hashlib.sha256(repr(value).encode()).hexdigest()


def _draw(root: Path, vehicles: int = 12, images: int = 8) -> None:
    """Draw noise images of ``vehicles`` vehicles for training, and of a third as many for testing."""
    rows = ["path,vehicle_id,camera_id,split"]
    rng = np.random.default_rng(0)
    for vehicle in range(vehicles + vehicles // 3):
        for image in range(images):
            path = f"images/{vehicle:03}_{image:03}.png"
            split = "train" if vehicle < vehicles else "query" if image == 0 else "gallery"
            rows.append(f"{path},{vehicle},{image},{split}")
            write_once(root / path, png(rng, _SIDE))
    text = "\n".join(rows) + "\n"
    write_atomically(root / "index.csv", lambda file: file.write(text.encode()))


def _options(data_root: Path, epochs: int, workers: int) -> dict[str, Any]:
    no_workers = {f"{loader}.num_workers": 0 for loader in _LOADERS}
    return no_workers | {
        "image_size": (_SIDE, _SIDE),
        "data_root": str(data_root),
        "train_dataloader.num_workers": workers,
        "train_dataloader.batch_size": 16,
        "train_dataloader.sampler.identities": 4,
        "model.backbone.out": "layer2",
        "train_cfg.max_epochs": epochs,
        "train_cfg.val_interval": 1,
        "default_hooks.checkpoint.iter_interval": 2,
        "default_hooks.logger.interval": 1,
        "visualizer.vis_backends": [],
    }
