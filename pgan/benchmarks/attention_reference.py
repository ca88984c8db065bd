"""PGAN's Eqs. 2-3 as they are written, slowly, with the (B, D, C, H, W) tensor of masked features.

Tests and `tools/benchmark.py` hold `pgan.models.part_attention` against it; no model uses it.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from pgan.models.part_attention import PartAttention


def literal_part_guidance(
    features: Tensor, masks: Tensor, attention: PartAttention
) -> tuple[Tensor, Tensor]:
    """Part weights and part-guided features, masking a copy of the feature map for each part.

    Args:
        features: (B, C, H, W) float32 global feature map F_g.
        masks: (B, D, H, W) bool.
        attention: Holder of the parameters.

    Returns:
        Weights (B, D) and F_p (B, C, H, W).
    """
    # Eq. 2: F_i = M_i * F_g, one masked map for each part.
    parts = masks[:, :, None].to(features.dtype) * features[:, None]
    cells = masks.sum((2, 3)).clamp(min=1)
    pooled = parts.sum((3, 4)) / cells[:, :, None]
    hidden = F.relu(attention.ln1(attention.linear1(pooled)))
    logits = attention.temperature * attention.linear2(hidden).mean(-1)
    weights = torch.stack([_softmax(*row) for row in zip(logits, masks.any(-1).any(-1))])
    # Eq. 3: F_p = sum_i w_i F_i + F_g.
    guided = (weights[:, :, None, None, None] * parts).sum(1) + features
    return weights, guided


def _softmax(logits: Tensor, present: Tensor) -> Tensor:
    """Softmax of one image's (D,) logits over the present ones, by leaving the others out."""
    weights = torch.zeros_like(logits)
    weights[present] = logits[present].softmax(0)
    return weights
