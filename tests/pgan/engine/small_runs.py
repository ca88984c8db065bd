"""A training of a second or less that hangs on everything a resume may lose."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor

from pgan.engine import CheckedRunner

# mmengine keeps a log for each name, for as long as the process lives.
_NUMBERS = itertools.count()


class Noisy(BaseModel):
    """A model whose training depends on random numbers, running statistics, the order of data, momentum."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = torch.nn.Sequential(
            torch.nn.Conv1d(1, 4, 2), torch.nn.BatchNorm1d(4), torch.nn.ReLU(), torch.nn.Flatten()
        )
        self.dropout = torch.nn.Dropout(0.5)
        self.last = torch.nn.Linear(8, 1)

    def forward(self, inputs: Tensor, labels: Tensor, mode: str = "tensor") -> dict | list | Tensor:
        out = self.last(self.dropout(self.layers(inputs[:, None])))[:, 0]
        if mode == "predict":
            return [{"error": float(error)} for error in (out - labels).abs()]
        return {"loss": ((out - labels) ** 2).mean()} if mode == "loss" else out


class Numbers(torch.utils.data.Dataset):
    """Ten numbered vectors with noise drawn in the loader; notes which are read."""

    def __init__(self, noise: float = 1.0) -> None:
        self.noise = noise
        self.read: list[int] = []

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict:
        self.read.append(index)
        noise = torch.randn(3) + np.random.randn() + random.random()
        return {"inputs": self.noise * noise + index, "labels": torch.tensor(float(index))}


class KillAfter(Hook):
    """The user's Ctrl-C, after so many steps."""

    priority = "LOWEST"

    def __init__(self, steps: int) -> None:
        self.steps = steps

    def after_train_iter(self, runner: Runner, *args: object, **kwargs: object) -> None:
        if runner.iter + 1 == self.steps:
            raise KeyboardInterrupt


def make_runner(work_dir: Path, epochs: int, workers: int = 2, **kwargs) -> Runner:
    """Epochs of five steps; ``checkpoint`` changes the hook's options, ``hooks`` adds some.

    With ``sampler``, as many steps in a loop over steps.
    """
    torch.manual_seed(0)
    sampler = kwargs.pop("sampler", None)
    by_epoch = {"by_epoch": True, "max_epochs": epochs}
    by_step = {"by_epoch": False, "max_iters": 5 * epochs, **kwargs.pop("val", {})}
    checkpoint = {"interval": 1, "max_keep_ckpts": 1, **kwargs.pop("checkpoint", {})}
    return CheckedRunner(
        model=Noisy(),
        work_dir=str(work_dir),
        train_dataloader={
            "dataset": Numbers(),
            "batch_size": 2,
            "num_workers": workers,
            "sampler": {"type": sampler or "DefaultSampler", "shuffle": True},
            "collate_fn": {"type": "default_collate"},
            "worker_init_fn": {"type": "pgan.seed_worker"},
        },
        optim_wrapper={"optimizer": {"type": "Adam", "lr": 0.1}},
        param_scheduler=[
            {"type": "ExponentialLR", "gamma": 0.9},
            {"type": "LinearLR", "start_factor": 0.1, "by_epoch": False, "end": 12},
        ],
        train_cfg=by_step if sampler else by_epoch,
        default_hooks={"checkpoint": {"type": "pgan.AtomicCheckpointHook", **checkpoint}},
        custom_hooks=[{"type": "pgan.ExactResumeHook"}, *kwargs.pop("hooks", [])],
        randomness={"seed": 3},
        default_scope="mmengine",
        experiment_name=f"{work_dir.name}_{next(_NUMBERS)}",
        log_level="WARNING",
        **kwargs,
    )
