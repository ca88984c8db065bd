"""Two processes train as one with their global batch."""

from __future__ import annotations

import multiprocessing
import os
import socket
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from pgan.apis import build_runner, load_config
from pgan.registry import MODELS
from tests.pgan.datasets.layouts import draw, write_xml
from tests.tools.tiny_sweeps import PGAN, cache_two_parts

pytestmark = pytest.mark.slow

STEPS = 20
# A forked process has everything imported.
PROCESSES = multiprocessing.get_context("fork")


@MODELS.register_module()
class ConvolutionAndNorm(nn.Sequential):
    """A backbone with batch normalisation that costs nothing, whatever its config says of a ResNet."""

    out_channels = 16

    def __init__(self, **resnet: object) -> None:
        super().__init__(nn.Conv2d(3, 16, 8, stride=8, bias=False), nn.BatchNorm2d(16), nn.ReLU())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight vehicles of ten images in VeRi-776's layout, with parts."""
    root = tmp_path_factory.mktemp("vehicles")
    names = [f"{v:04}_c{c:03}_{10 * v + c:08}_0.jpg" for v in range(1, 9) for c in range(10)]
    for split in ("train", "test", "query"):
        (root / f"name_{split}.txt").write_text("\n".join(names))
        draw(root, [f"image_{split}/{name}" for name in names])
    for split in ("train", "test"):
        write_xml(root / f"{split}_label.xml", names)
    cache_two_parts(root, root / "parts")
    return root


def options(place: Path, identities: int) -> dict:
    """Config keys of a run of 20 steps with batches of ``identities`` x 2."""
    return {
        "image_size": (32, 32),
        "train_dataloader.num_workers": 0,
        "visualizer.vis_backends": [],
        "data_root": str(place),
        "part_cache": str(place / "parts"),
        "num_parts": 2,
        "model.backbone.type": "ConvolutionAndNorm",
        "model.loss_weights": {"loss_global": 1.0, "loss_part": 1.0},
        "train_dataloader.batch_size": 2 * identities,
        "train_dataloader.sampler.identities": identities,
        "train_dataloader.sampler.images": 2,
        "train_cfg.max_epochs": 2,
        # Adam makes steps of full length of rounding errors where a gradient is near 0.
        "optim_wrapper.optimizer": {"type": "SGD", "lr": 1e-3, "_delete_": True},
        "default_hooks.global_batch.batch_norm": True,
    }


def losses_of(work_dir: Path, cfg_options: dict, rank: int | None, port: int) -> None:
    """Train, and leave the loss of each step."""
    torch.set_num_threads(1)
    if rank is not None:
        os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    cfg = load_config(PGAN, cfg_options)
    cfg.log_level = "ERROR"
    launcher = "none" if rank is None else "pytorch"
    runner = build_runner(cfg, str(work_dir), launcher=launcher)
    runner.train()
    history = runner.message_hub.log_scalars["train/loss"].data[0]
    np.save(f"{work_dir}_{rank}.npy", history)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def test_two_processes_have_the_losses_of_one(place: Path, tmp_path: Path) -> None:
    port = free_port()
    runs = [("one", 4, None), ("two", 2, 0), ("two", 2, 1)]
    processes = [
        PROCESSES.Process(
            target=losses_of, args=(tmp_path / name, options(place, identities), rank, port)
        )
        for name, identities, rank in runs
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    one, first, second = (np.load(tmp_path / f"{name}_{rank}.npy") for name, _, rank in runs)
    assert len(one) == STEPS
    assert np.array_equal(first, second)  # the log tells of all processes
    np.testing.assert_allclose(first, one, rtol=0, atol=1e-5)
