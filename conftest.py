"""Settings of all tests and of the examples in docstrings."""

from __future__ import annotations

import logging

import cv2
import pytest
import torch
from mmengine.registry import DefaultScope

# Small networks run many times slower on more threads than there are idle cores.
torch.set_num_threads(1)
cv2.setNumThreads(0)
# mmengine's loggers keep writing to a stream that pytest has closed.
logging.raiseExceptions = False


@pytest.fixture(autouse=True)
def no_default_scope() -> None:
    """Remove the default scope, which the runner of an earlier test sets for the whole process."""
    DefaultScope._instance_dict.clear()
