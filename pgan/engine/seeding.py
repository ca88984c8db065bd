"""Seed random numbers from the seed and the position in a run, not from what ran before."""

from __future__ import annotations

import random
from typing import Any

import cv2
import numpy as np
import torch

from pgan.registry import FUNCTIONS


def seed_all(*numbers: int) -> None:
    """Seed Python, NumPy and torch, on every device, from non-negative numbers."""
    seed = int(np.random.SeedSequence(numbers).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    # Like torch.manual_seed, which also records a stack trace for each device that is not initialised.
    torch.default_generator.manual_seed(seed)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(seed)


@FUNCTIONS.register_module()
def seed_worker(worker_id: int, **_: Any) -> None:
    """Seed a data loader worker from torch's seed, and keep OpenCV to one thread.

    mmengine's own function gives each worker the same seed, and so the same augmentations, in every epoch;
    torch's seed differs between epochs.
    """
    seed = torch.initial_seed() % 2**32
    random.seed(seed)
    np.random.seed(seed)
    cv2.setNumThreads(0)
