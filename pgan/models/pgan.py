"""PGAN: part-guided attention network."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from pgan.models.errors import ModelError
from pgan.models.part_attention import PartAttention, UniformAttention, guide_features
from pgan.models.part_masks import grid_masks, masks_on_map
from pgan.models.refine import Refine
from pgan.models.reid_model import Extracted, ReIDModel
from pgan.registry import MODELS

ATTENTIONS = ("learned", "uniform", "grid")
TEST_FEATURES = ("fusion", "concat")
_BESIDE_FUSION = ("loss_global", "loss_part")


@MODELS.register_module()
class PGAN(ReIDModel):
    """Part-Guided Attention Network (Zhang et al., IEEE T-ITS 2020).

    The structure is that of the authors' release. The global map F_g and the part-guided map F_p (Eq. 3) are
    concatenated and refined into the fusion feature of ``feature_dim`` (2C') channels, which is the test
    feature. For training only, F_p and F_g are refined into features of C' channels with a triplet loss each.

    Losses: ``loss_id`` (L_c), ``loss_fusion`` (L_f), ``loss_global`` (L_g), ``loss_part`` (L_p).

    Section IV-D also tests the concatenation of all three features (``test_feature='concat'``), with 4C'
    channels. Each feature is L2-normalised first, so the squared distance is the mean of the three. Training
    and weights do not depend on this option.

    Args:
        backbone: See `ReIDModel`, like all arguments that are not listed here.
        feature_dim: 2C', a multiple of 8.
        attention: ``'learned'``; ``'uniform'``, equal weights (Table III, without PAM); or ``'grid'``,
            learned with every cell of the map its own part and no part boxes needed (Table III).
        attention_channels: Channels between the two layers of the attention.
        temperature: Factor on the logits of the attention's softmax.
        test_feature: ``'fusion'``, or ``'concat'``: fusion, global and part feature.
        pooling: Pooling of the three features, ``'average'`` or ``'gem'``, see `Refine`.

    Raises:
        ModelError: ``attention`` or ``test_feature`` is unknown, or a feature to concatenate has no loss that
            trains it.

    >>> from pgan.structures import ReIDSample
    >>> backbone = {"type": "TorchvisionBackbone", "name": "resnet18"}
    >>> model = PGAN(backbone, feature_dim=64, attention_channels=32).eval()
    >>> samples = [ReIDSample(part_boxes=torch.tensor([[0.0, 0, 32, 32]])) for _ in range(2)]
    >>> model(torch.zeros(2, 3, 64, 64), samples).shape
    torch.Size([2, 64])
    """

    default_loss_weights: ClassVar[dict[str, float]] = {
        "loss_id": 2.0,
        "loss_fusion": 1.0,
        "loss_global": 1.0,
        "loss_part": 1.0,
    }

    def __init__(
        self,
        backbone: dict,
        feature_dim: int = 512,
        attention: str = "learned",
        attention_channels: int = 512,
        temperature: float = 10.0,
        test_feature: str = "fusion",
        pooling: str = "average",
        **kwargs: Any,
    ) -> None:
        super().__init__(backbone, feature_dim, **kwargs)
        if attention not in ATTENTIONS:
            raise ModelError(f"model.attention={attention!r}: use one of {', '.join(ATTENTIONS)}.")
        if test_feature not in TEST_FEATURES:
            raise ModelError(
                f"model.test_feature={test_feature!r}: use one of {', '.join(TEST_FEATURES)}."
            )
        self.tested_beside = _BESIDE_FUSION if test_feature == "concat" else ()
        if untrained := [name for name in self.tested_beside if not self.is_on(name)]:
            raise ModelError(
                f"model.test_feature='concat' needs model.loss_weights.{untrained[0]} above 0: nothing else "
                "trains that feature."
            )
        channels = self.backbone.out_channels
        self.on_grid = attention == "grid"
        self.attention = (
            UniformAttention()
            if attention == "uniform"
            else PartAttention(channels, attention_channels, temperature)
        )
        self.refine_fusion = Refine(2 * channels, feature_dim, overwrite=True, pooling=pooling)
        if self.is_on("loss_part"):
            self.refine_part = Refine(channels, feature_dim // 2, pooling=pooling)
        if self.is_on("loss_global"):
            self.refine_global = Refine(channels, feature_dim // 2, pooling=pooling)
        self.use_memory_format()

    def needs_parts(self) -> bool:
        """Return whether the model uses part boxes; on the grid it does not."""
        return not self.on_grid

    def forward_head(
        self, features: Tensor, image_size: tuple[int, int], parts: Tensor | None, train: bool
    ) -> Extracted:
        """See `ReIDModel.forward_head`. On the grid the part weights are (B, H * W)."""
        batch, _, height, width = features.shape
        if self.on_grid:
            masks = grid_masks((height, width), features.device).expand(batch, -1, -1, -1)
        elif parts is None:
            raise ModelError("PGAN needs the parts of each image: pass parts to infer().")
        else:
            masks = masks_on_map(parts, image_size, (height, width))
        weights = self.attention(features, masks)
        guided = guide_features(features, masks, weights)
        fusion = self.refine_fusion(torch.cat([features, guided], 1))
        branches: dict[str, Tensor] = {}
        if train and self.is_on("loss_fusion"):
            branches["loss_fusion"] = fusion
        if self._needs_branch("loss_global", train):
            branches["loss_global"] = self.refine_global(features)
        if self._needs_branch("loss_part", train):
            branches["loss_part"] = self.refine_part(guided)
        return Extracted(fusion, branches, weights, guided)

    def _needs_branch(self, loss: str, train: bool) -> bool:
        return self.is_on(loss) if train else loss in self.tested_beside

    def _embed(self, extracted: Extracted) -> Tensor:
        fusion = super()._embed(extracted)
        beside = [F.normalize(extracted.branches[name].float()) for name in self.tested_beside]
        return torch.cat([fusion, *beside], 1) / math.sqrt(1 + len(beside))
