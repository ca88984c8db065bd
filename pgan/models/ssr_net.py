"""SSR-Net: spatial structural relation network."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from pgan.models.errors import ModelError
from pgan.models.map_attention import ATTENTIONS
from pgan.models.pooling import build_pooling
from pgan.models.reid_model import Extracted, ReIDModel
from pgan.models.relation import RegionGraph, Stripes
from pgan.registry import MODELS

BRANCHES = ("global", "relation", "attention")


@MODELS.register_module()
class SSRNet(ReIDModel):
    """Spatial Structural Relation Network (Xu et al., ACM TOMM 2022, 10.1145/3578578).

    Three branches on the map F of one backbone: *global*, the mean of F; *attention*, the mean of CBAM(F)
    (Eq. 1); *relation*, a graph over five overlapping regions of CBAM(F), the global feature and a learned
    token (Eq. 4). Each branch has its own BN and classifier, and its metric losses use the feature before BN
    (Eq. 7). The test feature is the concatenation of f_g, f_token and f_attn after BN.

    Losses: ``loss_id`` (cross-entropy, summed over the branches), and the metric losses ``loss_global``,
    ``loss_relation`` and ``loss_attention``, each of weight beta.

    The authors published no code. Where the paper gives no details, we pool by averaging, and the relation
    branch uses the attention's map even if there is no attention branch; `CBAM` and `RegionGraph` document
    the other choices.

    Args:
        backbone: See `ReIDModel`, like all arguments that are not listed here.
        branches: The branches to build, of ``'global'``, ``'relation'`` and ``'attention'``.
        attention: ``'cbam'``, ``'se'``, ``'stn'`` (spatial transformer), ``'bilinear'``; or ``'none'``, which
            leaves F unchanged and allows no attention branch.
        parts: ``'graph'``; or ``'pcb'``, which replaces the graph by stripes. As in PCB, each stripe has its
            own classifier; the metric losses use the concatenation of all stripes.
        graph: Options of `RegionGraph`.
        stripes: Number of stripes, for ``'pcb'``.
        stripe_channels: Channels of each stripe, for ``'pcb'``.
        pooling: Pooling of whole maps, ``'average'`` or ``'gem'`` with one p; regions are always averaged.

    Raises:
        ModelError: A name is unknown or a number is out of range.

    >>> backbone = {"type": "TorchvisionBackbone", "name": "resnet18"}
    >>> model = SSRNet(backbone, graph={"out_channels": 32}).eval()
    >>> model(torch.zeros(2, 3, 64, 64)).shape  # 512 + 32 + 512 channels
    torch.Size([2, 1056])
    """

    default_loss_weights: ClassVar[dict[str, float]] = {
        "loss_id": 1.0,
        **{f"loss_{branch}": 1.0 for branch in BRANCHES},
    }

    def __init__(
        self,
        backbone: dict,
        branches: Sequence[str] = BRANCHES,
        attention: str = "cbam",
        parts: str = "graph",
        graph: dict | None = None,
        stripes: int = 6,
        stripe_channels: int = 256,
        pooling: str = "average",
        **kwargs: Any,
    ) -> None:
        graph = {"out_channels": 512, **(graph or {})}
        _check(branches, attention, parts, graph)
        # In the order of the test feature, not of the config.
        chosen = [branch for branch in BRANCHES if branch in branches]
        related = [stripe_channels] * stripes if parts == "pcb" else [graph["out_channels"]]

        def dims(channels: int) -> list[int]:
            of = {"global": [channels], "relation": related, "attention": [channels]}
            return [dim for branch in chosen for dim in of[branch]]

        super().__init__(backbone, dims, **kwargs)
        self.branches = chosen
        self.pooling = build_pooling(pooling)
        channels = self.backbone.out_channels
        attends = attention != "none" and chosen != ["global"]
        self.attention = ATTENTIONS[attention](channels) if attends else None
        if "relation" in chosen:
            self.relation = (
                Stripes(channels, stripes, stripe_channels)
                if parts == "pcb"
                else RegionGraph(channels, **graph)
            )
        self.use_memory_format()

    def forward_head(
        self, features: Tensor, image_size: tuple[int, int], parts: Tensor | None, train: bool
    ) -> Extracted:
        """See `ReIDModel.forward_head`."""
        attended = features if self.attention is None else self.attention(features)
        whole = self.pooling(features)
        outputs = {}
        for branch in self.branches:
            if branch == "global":
                output = whole
            elif branch == "relation":
                output = self.relation(attended, whole)
            else:
                output = self.pooling(attended)
            outputs[branch] = output.float()
        losses = {f"loss_{branch}": feature for branch, feature in outputs.items()}
        trained = {name: feature for name, feature in losses.items() if train and self.is_on(name)}
        return Extracted(torch.cat(list(outputs.values()), 1), trained, guided=attended)


def _check(branches: Sequence[str], attention: str, parts: str, graph: dict) -> None:
    for branch in branches or ["nothing"]:
        if branch not in BRANCHES:
            raise ModelError(f"model.branches has {branch!r}: use some of {', '.join(BRANCHES)}.")
    if attention not in ("none", *ATTENTIONS):
        raise ModelError(
            f"model.attention={attention!r}: use one of none, {', '.join(ATTENTIONS)}."
        )
    if attention == "none" and "attention" in branches:
        raise ModelError(
            "model.attention='none' has no attention branch: leave 'attention' out of model.branches."
        )
    if parts not in ("graph", "pcb"):
        raise ModelError(f"model.parts={parts!r}: use graph or pcb.")
    known = list(inspect.signature(RegionGraph).parameters)[1:]  # the first is the backbone's
    for option in graph:
        if option not in known:
            raise ModelError(f"model.graph has no {option!r}: use {', '.join(known)}.")
