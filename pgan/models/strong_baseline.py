"""The strong baseline of re-identification, "Bag of Tricks"."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from pgan.models.errors import ModelError
from pgan.models.pooling import build_pooling
from pgan.models.reid_model import Extracted, ReIDModel
from pgan.registry import MODELS


@MODELS.register_module()
class StrongBaseline(ReIDModel):
    """Backbone -> pooling -> (linear layer) -> BNNeck (Luo et al., "Bag of Tricks and a Strong Baseline for
    Deep Person Re-identification", CVPR Workshops 2019, Figure 3b).

    Of its six tricks, this class implements the neck; the configs set last stride 1, label smoothing, warm-up
    and random erasing. Center loss is omitted: it needs its own optimiser and a centre of ``feature_dim``
    floats for each training vehicle, and improves mAP on Market-1501 by 0.2 points (Table 1).

    Losses: ``loss_id`` (cross-entropy) and ``loss_global`` (the metric losses, before the neck).

    Args:
        backbone: See `ReIDModel`, like all arguments that are not listed here.
        feature_dim: Output channels of a linear layer between pooling and neck, as in ``resnet50_fc256``.
            None omits the layer and keeps the channels of the backbone, 2048 for ResNet-50.
        pooling: ``'average'`` or ``'gem'``, see `pgan.models.pooling`.

    Raises:
        ModelError: The pooling is unknown, or ``feature_dim`` is below 1.

    >>> backbone = {"type": "TorchvisionBackbone", "name": "resnet18"}
    >>> StrongBaseline(backbone).eval()(torch.zeros(2, 3, 64, 64)).shape
    torch.Size([2, 512])
    """

    default_loss_weights: ClassVar[dict[str, float]] = {"loss_id": 1.0, "loss_global": 1.0}

    def __init__(
        self,
        backbone: dict,
        feature_dim: int | None = None,
        pooling: str = "average",
        **kwargs: Any,
    ) -> None:
        if feature_dim is not None and feature_dim < 1:
            raise ModelError(f"model.feature_dim={feature_dim}: use 1 or more, or None.")
        super().__init__(backbone, feature_dim or (lambda channels: [channels]), **kwargs)
        self.pooling = build_pooling(pooling)
        # No bias, since the neck would subtract it again.
        self.reduction = (
            nn.Identity()
            if feature_dim is None
            else nn.Linear(self.backbone.out_channels, feature_dim, bias=False)
        )
        self.use_memory_format()

    def forward_head(
        self, features: Tensor, image_size: tuple[int, int], parts: Tensor | None, train: bool
    ) -> Extracted:
        """See `ReIDModel.forward_head`."""
        # Autocast would round the feature itself.
        with torch.autocast(features.device.type, enabled=False):
            feature = self.reduction(self.pooling(features))
        branches = {"loss_global": feature} if train and self.is_on("loss_global") else {}
        return Extracted(feature, branches, guided=features)
