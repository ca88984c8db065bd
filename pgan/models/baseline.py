"""The baseline: PGAN's global branch alone."""

from __future__ import annotations

from typing import Any, ClassVar

from torch import Tensor

from pgan.models.refine import Refine
from pgan.models.reid_model import Extracted, ReIDModel
from pgan.registry import MODELS


@MODELS.register_module()
class Baseline(ReIDModel):
    """Backbone -> refine -> global average pooling -> BNNeck, without parts.

    Losses: ``loss_id`` (cross-entropy) and ``loss_global`` (triplet).

    Args:
        backbone: See `ReIDModel`, like all arguments that are not listed here.
        feature_dim: A multiple of 4.
        pooling: ``'average'`` or ``'gem'``, see `Refine`.

    >>> import torch
    >>> backbone = {"type": "TorchvisionBackbone", "name": "resnet18"}
    >>> model = Baseline(backbone, feature_dim=64).eval()
    >>> model(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 64])
    """

    default_loss_weights: ClassVar[dict[str, float]] = {"loss_id": 2.0, "loss_global": 1.0}

    def __init__(
        self,
        backbone: dict,
        feature_dim: int = 512,
        pooling: str = "average",
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, feature_dim, **kwargs)
        self.refine_global = Refine(self.backbone.out_channels, feature_dim, pooling=pooling)
        self.use_memory_format()

    def forward_head(
        self, features: Tensor, image_size: tuple[int, int], parts: Tensor | None, train: bool
    ) -> Extracted:
        """See `ReIDModel.forward_head`."""
        feature = self.refine_global(features)
        branches = {"loss_global": feature} if train and self.is_on("loss_global") else {}
        return Extracted(feature, branches, guided=features)
