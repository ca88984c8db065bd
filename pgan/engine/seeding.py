"""Random numbers that depend on the seed and the epoch, not on what ran before."""

from __future__ import annotations

import random
from typing import Any

import cv2
import numpy as np
import torch
from mmengine.dist import get_rank
from mmengine.hooks import Hook

from pgan.registry import FUNCTIONS, HOOKS


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed every training epoch from (seed, epoch, rank).

    mmengine's resume restores the seed but not the random state; with this hook a run that was
    interrupted after an epoch and resumed is the run that was not.
    """

    priority = "VERY_HIGH"

    def before_train_epoch(self, runner: Any) -> None:
        """Seed Python, NumPy and torch."""
        state = np.random.SeedSequence([runner.seed, runner.epoch, get_rank()]).generate_state(1)
        seed = int(state[0])
        random.seed(seed)
        np.random.seed(seed)
        torch.manual_seed(seed)


@FUNCTIONS.register_module()
def seed_worker(worker_id: int, **_: Any) -> None:
    """Seed a loader worker from torch's seed for it, and keep OpenCV to one thread.

    mmengine's own function gives each worker the same seed in every epoch, so the same augmentations;
    torch's differs from epoch to epoch.
    """
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)
    cv2.setNumThreads(0)
