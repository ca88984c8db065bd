import pytest
import torch

from pgan.models.relation import (
    RegionGraph,
    Stripes,
    adjacency,
    pool_regions,
    propagation,
    region_slices,
)

TL, TR, BL, BR, MIDDLE, GLOBAL, TOKEN = range(7)


@pytest.mark.parametrize(
    ("height", "width", "scale", "size"),
    [(16, 16, 2 / 3, (10, 10)), (9, 6, 2 / 3, (6, 4)), (12, 8, 1.0, (12, 8)), (4, 5, 0.5, (2, 2))],
)
def test_region_slices_are_four_corners_and_middle(height, width, scale, size):
    h, w = size
    corners = [(y, x) for y in (0, height - h) for x in (0, width - w)]
    expected = [*corners, ((height - h) // 2, (width - w) // 2)]
    slices = region_slices(height, width, scale)
    assert [(y.start, x.start) for y, x in slices] == expected
    assert {(y.stop - y.start, x.stop - x.start) for y, x in slices} == {size}


def test_region_slices_have_a_cell_on_smallest_map():
    assert region_slices(1, 1, 0.5) == [(slice(0, 1), slice(0, 1))] * 5


def test_pool_regions_averages_cells_of_each_region():
    features = torch.randn(3, 4, 7, 5)
    pooled = pool_regions(features, 0.6)  # 4 x 3 cells
    for n, (top, left) in enumerate([(0, 0), (0, 2), (3, 0), (3, 2), (1, 1)]):
        cells = [features[..., y, x] for y in range(top, top + 4) for x in range(left, left + 3)]
        torch.testing.assert_close(pooled[:, n], sum(cells) / 12)


def joined(**nodes: bool) -> set[frozenset[int]]:
    matrix = adjacency(**nodes)
    assert torch.equal(matrix, matrix.T)
    assert matrix.diagonal().sum() == 0
    return {frozenset(edge) for edge in matrix.nonzero().tolist()}


BETWEEN_REGIONS = {
    frozenset(edge)
    for edge in [(TL, TR), (TL, BL), (TR, BR), (BL, BR)]
    + [(corner, MIDDLE) for corner in (TL, TR, BL, BR)]
}


def test_adjacency_connects_global_node_and_regions_by_token():
    to_token = {frozenset((node, TOKEN)) for node in range(6)}
    assert joined() == BETWEEN_REGIONS | to_token


def test_adjacency_without_token_or_global_node():
    to_sixth = {frozenset((node, 5)) for node in range(5)}
    assert joined(with_global=False) == BETWEEN_REGIONS | to_sixth
    assert joined(with_token=False) == BETWEEN_REGIONS | to_sixth
    assert joined(with_global=False, with_token=False) == BETWEEN_REGIONS


@pytest.mark.parametrize("depth", [1, 2, 3])
@pytest.mark.parametrize(("with_global", "with_token"), [(1, 1), (0, 1), (1, 0), (0, 0)])
def test_region_graph_equals_equation_4(depth, with_global, with_token):
    graph = RegionGraph(
        6, 5, 4, depth, scale=0.5, with_global=bool(with_global), with_token=bool(with_token)
    )
    features, whole = torch.randn(2, 6, 4, 4), torch.randn(2, 6)
    edges = joined(with_global=bool(with_global), with_token=bool(with_token))
    for image, out in enumerate(graph(features, whole)):
        nodes = list(pool_regions(features, 0.5)[image])
        nodes += [whole[image]] * with_global + [graph.token] * with_token
        for layer in graph.layers:
            after = []
            for i in range(len(nodes)):
                around = [j for j in range(len(nodes)) if i == j or frozenset((i, j)) in edges]
                mean = sum(nodes[j] for j in around) / len(around)
                after.append((layer.weight @ mean).clamp(min=0))
            nodes = after
        # The token is last; without it the global node is.
        expected = nodes[-1] if with_token or with_global else sum(nodes) / 5
        torch.testing.assert_close(out, expected, rtol=1e-4, atol=1e-5)


def test_propagation_rows_are_means():
    spread = propagation(adjacency())
    torch.testing.assert_close(spread.sum(1), torch.ones(7))
    torch.testing.assert_close(spread[GLOBAL], torch.tensor([0, 0, 0, 0, 0, 0.5, 0.5]))


def test_region_graph_state_dict_has_no_constants():
    assert sorted(RegionGraph(6).state_dict()) == ["layers.0.weight", "layers.1.weight", "token"]


def test_stripes_depend_only_on_their_rows():
    stripes = Stripes(3, stripes=3, stripe_channels=2).eval()
    features = torch.randn(2, 3, 6, 4)
    before = stripes(features, features.mean((2, 3)))
    features[:, :, 2:4] += 1
    changed = (stripes(features, features.mean((2, 3))) != before).any(0)
    assert before.shape == (2, 6)
    assert not changed[[0, 1, 4, 5]].any()
