"""What all tests share: one thread, so that they run the same on any machine."""

from __future__ import annotations

import cv2
import torch

torch.set_num_threads(2)
cv2.setNumThreads(0)
