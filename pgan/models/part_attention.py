"""Part attention: the weight of each detected part (PGAN, Eqs. 2-4).

The (B, D, C, H, W) tensor of masked features in the equations is never materialised. Pooling a map under D
masks is one matrix product, and a weighted sum of D masked maps is the map times one combined mask.
`pgan.benchmarks.attention_reference` implements the equations as written, for comparison.

Shapes: B images, D part slots, C channels, H x W cells. A slot with an empty mask is an absent part: it is
left out of the softmax and has weight 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def masked_average_pool(features: Tensor, masks: Tensor) -> Tensor:
    """Mean of the features under each mask, in float32 (PGAN, Eq. 2).

    Args:
        features: (B, C, H, W) feature map of any float type.
        masks: (B, D, H, W) bool.

    Returns:
        (B, D, C) float32; zeros where a mask is empty.

    >>> features = torch.arange(4.0).view(1, 1, 2, 2)
    >>> masks = torch.tensor([[[[True, True], [False, False]]]])
    >>> masked_average_pool(features, masks)
    tensor([[[0.5000]]])
    """
    masks = masks.flatten(2).float()
    # float16 could not hold the sum over a large mask, and autocast would round the products.
    with torch.autocast(features.device.type, enabled=False):
        maps = features.flatten(2).float()
        # This order of factors gives the gradient the layout of the map, which halves the time.
        if features.is_contiguous():
            sums = (maps @ masks.transpose(1, 2)).transpose(1, 2)
        else:
            sums = masks @ maps.transpose(1, 2)
    cells = masks.sum(-1, keepdim=True)
    return sums / cells.clamp(min=1)


def guide_features(features: Tensor, masks: Tensor, weights: Tensor) -> Tensor:
    """Part-guided features ``F_p = sum_i w_i (M_i * F_g) + F_g`` (PGAN, Eq. 3).

    Args:
        features: (B, C, H, W) global feature map F_g.
        masks: (B, D, H, W) bool.
        weights: (B, D) float32.

    Returns:
        (B, C, H, W) of the features' type. Without any part it equals ``features``.

    >>> features, masks = torch.ones(1, 1, 2, 2), torch.zeros(1, 1, 2, 2, dtype=torch.bool)
    >>> guide_features(features, masks, torch.ones(1, 1)).equal(features)
    True
    """
    return features * (1 + combine_masks(masks, weights)).to(features.dtype)


def combine_masks(masks: Tensor, weights: Tensor) -> Tensor:
    """Return the attention map ``sum_i w_i M_i``: (B, D, H, W) bool and (B, D) -> (B, 1, H, W) float32."""
    with torch.autocast(masks.device.type, enabled=False):
        combined = weights.float()[:, None] @ masks.flatten(2).float()
    return combined.view(masks.shape[0], 1, *masks.shape[2:])


class WeightNormLinear(nn.Module):
    """Linear layer without bias whose weight is ``g * v / ||v||``, the norm over all of v.

    Weight normalisation (Salimans and Kingma, 2016) with one scale for the whole matrix. The
    parameters are named as in ``torch.nn.utils.weight_norm(dim=None)``, which the authors used.

    Args:
        in_features: Channels in.
        out_features: Channels out.
    """

    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.weight_v = nn.Parameter(torch.empty(out_features, in_features))
        nn.init.kaiming_normal_(self.weight_v)
        self.weight_g = nn.Parameter(self.weight_v.detach().norm())

    @property
    def weight(self) -> Tensor:
        """The weight in use, (out_features, in_features)."""
        return self.weight_v * (self.weight_g / self.weight_v.norm())

    def forward(self, x: Tensor) -> Tensor:
        """(..., in_features) -> (..., out_features)."""
        return F.linear(x, self.weight)


class PartAttention(nn.Module):
    """Learned attention over parts (PGAN's Part Attention Module).

    Mask-guided average pooling -> linear -> LayerNorm -> ReLU -> linear -> mean over channels ->
    softmax over the present parts. Structure and temperature follow the authors' release; the paper does not
    state the temperature.

    Args:
        channels: C, channels of the feature map.
        hidden_channels: Channels between the two linear layers.
        temperature: Factor on the logits; a larger value concentrates the weights on fewer parts.

    >>> masks = torch.ones(2, 3, 4, 4, dtype=torch.bool)
    >>> masks[:, 2] = False  # the third part is absent
    >>> weights = PartAttention(channels=8, hidden_channels=4)(torch.ones(2, 8, 4, 4), masks)
    >>> weights.tolist()
    [[0.5, 0.5, 0.0], [0.5, 0.5, 0.0]]
    """

    def __init__(
        self, channels: int, hidden_channels: int = 512, temperature: float = 10.0
    ) -> None:
        super().__init__()
        self.linear1 = WeightNormLinear(channels, hidden_channels)
        self.ln1 = nn.LayerNorm(hidden_channels)
        self.linear2 = WeightNormLinear(hidden_channels, channels)
        self.temperature = temperature

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        """Compute the weight of each part.

        Args:
            features: (B, C, H, W) global feature map.
            masks: (B, D, H, W) bool.

        Returns:
            (B, D) float32 weights: 0 for absent parts, the others summing to 1.
        """
        pooled = masked_average_pool(features, masks)
        hidden = F.relu(self.ln1(self.linear1(pooled)))
        # The mean over a linear layer's outputs is the product with its mean row.
        with torch.autocast(features.device.type, enabled=False):
            logits = hidden.float() @ self.linear2.weight.mean(0)
        return softmax_over_present(self.temperature * logits, present_parts(masks))


class UniformAttention(nn.Module):
    """Equal weight for every present part: PGAN without its attention module (Table III)."""

    def forward(self, features: Tensor, masks: Tensor) -> Tensor:
        """See `PartAttention.forward`; the features are not used."""
        present = present_parts(masks).float()
        return present / present.sum(-1, keepdim=True).clamp(min=1)


def present_parts(masks: Tensor) -> Tensor:
    """Return which slots hold a part: (B, D, H, W) bool masks -> (B, D) bool."""
    return masks.flatten(2).any(-1)


def softmax_over_present(logits: Tensor, present: Tensor) -> Tensor:
    """Softmax over the last dimension among present slots (PGAN, Eq. 4); 0 for all others.

    Args:
        logits: (..., D) float.
        present: (..., D) bool.

    Returns:
        (..., D) of the logits' type; a row without present slots is all 0, with zero gradient.

    >>> softmax_over_present(torch.zeros(3), torch.tensor([True, True, False]))
    tensor([0.5000, 0.5000, 0.0000])
    """
    # The lowest number, not -inf: the softmax of a row of -inf is NaN.
    lowest = torch.finfo(logits.dtype).min
    return logits.masked_fill(~present, lowest).softmax(-1) * present
