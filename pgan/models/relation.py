"""SSR-Net's relation branch: overlapping regions of a map, and a graph over them."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from pgan.models.errors import ModelError
from pgan.models.heads import global_average_pool

# Regions by number: top left, top right, bottom left, bottom right, middle.
REGIONS = 5
_NEIGHBOURS = ((0, 1), (0, 2), (1, 3), (2, 3), *((corner, 4) for corner in range(4)))


def region_slices(height: int, width: int, scale: float) -> list[tuple[slice, slice]]:
    """Rows and columns of the five regions of a map: four corners and the middle.

    Each has ``floor(scale * height) x floor(scale * width)`` cells, at least one. The middle region starts at
    half of the remaining height and width, rounded down.

    Args:
        height: H, cells.
        width: W, cells.
        scale: SSR-Net's lambda, above 0 and at most 1.

    Returns:
        Top left, top right, bottom left, bottom right, middle.

    >>> region_slices(9, 9, 2 / 3)[4]
    (slice(1, 7, None), slice(1, 7, None))
    """
    # The small offset makes 2 / 3 of 9 cells 6 despite the rounding of floats.
    h, w = (max(1, math.floor(scale * size + 1e-6)) for size in (height, width))
    tops, lefts = (0, height - h), (0, width - w)
    corners = [(top, left) for top in tops for left in lefts]
    middle = (tops[1] // 2, lefts[1] // 2)
    return [(slice(y, y + h), slice(x, x + w)) for y, x in [*corners, middle]]


def pool_regions(features: Tensor, scale: float) -> Tensor:
    """(B, C, H, W) -> (B, 5, C) float32 means of the regions (the paper only says 'pooled')."""
    height, width = features.shape[2:]
    slices = region_slices(height, width, scale)
    pooled = [global_average_pool(features[:, :, rows, columns]) for rows, columns in slices]
    return torch.stack(pooled, 1)


def adjacency(with_global: bool = True, with_token: bool = True) -> Tensor:
    """Adjacency matrix of the graph: five regions, then the global node, then the token.

    A corner is connected to the two adjacent corners and to the middle, but not to the opposite corner. The
    token is connected to all other nodes. The global node is connected to the token only, or to the regions
    if there is no token. We had no access to the paper's figure; the connections between regions, and in
    graphs without a token, are our choice.

    Args:
        with_global: Whether the graph has the global node.
        with_token: Whether it has the token.

    Returns:
        (N, N) float32 of 0 and 1, symmetric, zeros on its diagonal; N is 5 to 7.
    """
    count = REGIONS + with_global + with_token
    edges = list(_NEIGHBOURS)
    if with_token:
        edges += [(node, count - 1) for node in range(count - 1)]
    elif with_global:
        edges += [(node, count - 1) for node in range(REGIONS)]
    joined = torch.zeros(count, count)
    for one, other in edges:
        joined[one, other] = joined[other, one] = 1
    return joined


def propagation(joined: Tensor) -> Tensor:
    """(N, N) adjacency A -> (N, N) ``D^-1 (A + I)`` of Eq. 4, D the degrees of A + I: each row sums to 1."""
    looped = joined + torch.eye(len(joined))
    return looped / looped.sum(1, keepdim=True)


class GraphConvolution(nn.Linear):
    """A layer of SSR-Net's graph: ``H' = ReLU(P H W)`` with P of `propagation` (Eq. 4), without bias."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__(in_channels, out_channels, bias=False)
        nn.init.xavier_uniform_(self.weight)

    def forward(  # type: ignore[override]  # takes the propagation matrix too
        self, nodes: Tensor, spread: Tensor
    ) -> Tensor:
        """(B, N, C) nodes and (N, N) P -> (B, N, C')."""
        return F.relu(spread @ super().forward(nodes))


class RegionGraph(nn.Module):
    """Combine the regions of a map and the global feature into one vector (SSR-Net's relation branch).

    The output is the vector of the token. Without a token it is that of the global node, and without either
    the mean over the regions (our choice).

    Args:
        channels: C, channels of the map and of the input nodes.
        out_channels: Channels of the output, 512 in the paper.
        hidden_channels: Channels between the layers. The paper does not state them; its number of parameters
            suggests more than ``out_channels``.
        depth: Number of layers, 2 in the paper.
        scale: Ratio of the side of a region to that of the map, lambda in the paper.
        with_global: Whether the graph has the global node.
        with_token: Whether the graph has the token, a learned vector shared by all images and initialised
            from N(0, 0.02), like the tokens of transformers.

    Raises:
        ModelError: ``depth`` or ``scale`` is out of range.

    >>> RegionGraph(16, out_channels=8)(torch.zeros(2, 16, 6, 6), torch.zeros(2, 16)).shape
    torch.Size([2, 8])
    """

    def __init__(
        self,
        channels: int,
        out_channels: int = 512,
        hidden_channels: int = 512,
        depth: int = 2,
        scale: float = 2 / 3,
        with_global: bool = True,
        with_token: bool = True,
    ) -> None:
        super().__init__()
        if depth < 1:
            raise ModelError(f"model.graph.depth={depth}: use 1 or more.")
        if not 0 < scale <= 1:
            raise ModelError(f"model.graph.scale={scale}: use a number above 0 and at most 1.")
        self.scale, self.with_global = scale, with_global
        self.token = nn.Parameter(torch.randn(channels) * 0.02) if with_token else None
        widths = [channels, *[hidden_channels] * (depth - 1), out_channels]
        self.layers = nn.ModuleList(map(GraphConvolution, widths, widths[1:]))
        spread = propagation(adjacency(with_global, with_token))
        self.register_buffer("spread", spread, persistent=False)

    def forward(self, features: Tensor, whole: Tensor) -> Tensor:
        """Run the graph.

        Args:
            features: (B, C, H, W) map.
            whole: (B, C) global feature.

        Returns:
            (B, ``out_channels``).
        """
        added = [whole] if self.with_global else []
        if self.token is not None:
            added.append(self.token.expand_as(whole))
        nodes = torch.cat([pool_regions(features, self.scale), *(x[:, None] for x in added)], 1)
        for layer in self.layers:
            nodes = layer(nodes, self.spread)
        return nodes[:, -1] if added else nodes.mean(1)


class Stripes(nn.Module):
    """Horizontal stripes of a map, as in PCB (Sun et al., ECCV 2018), instead of the graph.

    Each stripe is pooled and reduced by its own linear layer, BN and ReLU. If the rows do not divide evenly,
    adjacent stripes share a row.

    Args:
        channels: C, channels of the map.
        stripes: Number of stripes, 6 in PCB's paper.
        stripe_channels: Output channels of each stripe, 256 in PCB's paper.
    """

    def __init__(self, channels: int, stripes: int = 6, stripe_channels: int = 256) -> None:
        super().__init__()
        self.stripes = stripes
        self.reduce = nn.ModuleList(
            nn.Sequential(
                nn.Linear(channels, stripe_channels, bias=False),
                nn.BatchNorm1d(stripe_channels),
                nn.ReLU(inplace=True),
            )
            for _ in range(stripes)
        )

    def forward(self, features: Tensor, whole: Tensor) -> Tensor:
        """(B, C, H, W) map -> (B, stripes * stripe_channels), from top to bottom; ``whole`` is ignored."""
        pooled = F.adaptive_avg_pool2d(features.float(), (self.stripes, 1))[..., 0].unbind(2)
        return torch.cat([layer(stripe) for layer, stripe in zip(self.reduce, pooled)], 1)
