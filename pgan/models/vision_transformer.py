"""The encoder of torchvision's vision transformers (Dosovitskiy et al., 2021) on a feature map."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import VisionTransformer


class MapEncoder(nn.Module):
    """The encoder of a vision transformer, applied to a map of patches of any size.

    The class token takes part in the attention but not in the output map. The position embeddings, learned on
    a square grid, are interpolated to the size of the map.

    Args:
        model: The vision transformer whose encoder and class token are used.
    """

    def __init__(self, model: VisionTransformer) -> None:
        super().__init__()
        encoder = model.encoder
        self.class_token, self.pos_embedding = model.class_token, encoder.pos_embedding
        self.dropout, self.layers, self.ln = encoder.dropout, encoder.layers, encoder.ln
        self._last: tuple[tuple[int, ...], Tensor] | None = None  # size and positions

    def forward(self, patches: Tensor) -> Tensor:
        """(B, C, h, w) embedded patches -> (B, C, h, w) encoded."""
        height, width = patches.shape[2:]
        size = (height, width)
        tokens = patches.flatten(2).transpose(1, 2)
        tokens = torch.cat([self.class_token.expand(tokens.shape[0], -1, -1), tokens], 1)
        tokens = self.dropout(tokens + self.positions(size))
        return self.ln(self.layers(tokens))[:, 1:].transpose(1, 2).unflatten(2, size)

    def positions(self, size: tuple[int, int]) -> Tensor:
        """(1, 1 + h * w, C) float32 embeddings of the class token and of the h x w patches."""
        token, patches = self.pos_embedding[:, :1], self.pos_embedding[:, 1:]
        side = math.isqrt(patches.shape[1])
        size = (int(size[0]), int(size[1]))
        if size == (side, side):
            return self.pos_embedding
        if torch.jit.is_tracing() and self._last and self._last[0] == size:
            # ONNX cannot antialias, so export the result of the last call at this size as a constant.
            return self._last[1]
        grid = patches.transpose(1, 2).unflatten(2, (side, side))
        grid = F.interpolate(grid, size, mode="bicubic", antialias=True)
        positions = torch.cat([token, grid.flatten(2).transpose(1, 2)], 1)
        self._last = size, positions.detach()
        return positions
