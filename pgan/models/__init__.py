"""Backbones, part attention, losses and the re-identification models."""

from pgan.models.backbone import TorchvisionBackbone
from pgan.models.baseline import Baseline
from pgan.models.data_preprocessor import ReIDDataPreprocessor
from pgan.models.errors import ModelError
from pgan.models.pgan import PGAN
from pgan.models.reid_model import ReIDModel

__all__ = [
    "PGAN",
    "Baseline",
    "ModelError",
    "ReIDDataPreprocessor",
    "ReIDModel",
    "TorchvisionBackbone",
]
