"""Random numbers that depend on the seed and the place in the training, not on what ran before."""

from __future__ import annotations

import random
from typing import Any

import cv2
import numpy as np
import torch

from pgan.registry import FUNCTIONS


def seed_all(*numbers: int) -> None:
    """Seed Python, NumPy and torch, on every device, from numbers that are 0 or more."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    # What torch.manual_seed does, without noting down the stack for each device that is not at work.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


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
