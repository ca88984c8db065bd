"""What all tests share."""

from __future__ import annotations

import logging

import cv2
import pytest
import torch
from mmengine.registry import DefaultScope

# Small networks run many times slower on more threads than there are idle cores.
torch.set_num_threads(1)
cv2.setNumThreads(0)
# mmengine keeps loggers that write to a stream which pytest has closed since.
logging.raiseExceptions = False


@pytest.fixture(autouse=True)
def no_default_scope() -> None:
    """Forget the scope that a runner of an earlier test has set for the whole process."""
    DefaultScope._instance_dict.clear()
