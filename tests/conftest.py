"""What all tests share: small networks run many times slower on more threads than idle cores."""

from __future__ import annotations

import logging

import cv2
import torch

torch.set_num_threads(1)
cv2.setNumThreads(0)
# mmengine keeps loggers that write to a stream which pytest has closed since.
logging.raiseExceptions = False
