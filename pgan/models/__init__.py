"""Backbones, part attention, losses and the re-identification models."""

from pgan.models.backbone import TorchvisionBackbone
from pgan.models.baseline import Baseline
from pgan.models.data_preprocessor import ReIDDataPreprocessor
from pgan.models.errors import ModelError
from pgan.models.losses import BatchHardTripletLoss, MetricLearningLoss
from pgan.models.pgan import PGAN
from pgan.models.reid_model import ReIDModel
from pgan.models.ssr_net import SSRNet
from pgan.models.strong_baseline import StrongBaseline
from pgan.models.timm_backbone import TimmBackbone
from pgan.models.vgg_m import VGGM

__all__ = [
    "PGAN",
    "VGGM",
    "Baseline",
    "BatchHardTripletLoss",
    "MetricLearningLoss",
    "ModelError",
    "ReIDDataPreprocessor",
    "ReIDModel",
    "SSRNet",
    "StrongBaseline",
    "TimmBackbone",
    "TorchvisionBackbone",
]
