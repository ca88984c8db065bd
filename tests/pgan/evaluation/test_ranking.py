import numpy as np
import pytest
import torch

from pgan.benchmarks.ranking_reference import literal_evaluate
from pgan.evaluation import (
    Labels,
    RankingError,
    evaluate_distances,
    evaluate_features,
    search,
    search_distances,
)


def assert_same(ours, other):
    np.testing.assert_array_equal(ours.first_match, other.first_match)
    np.testing.assert_array_equal(ours.num_matches, other.num_matches)
    np.testing.assert_allclose(ours.average_precision, other.average_precision, rtol=1e-12)
    np.testing.assert_allclose(
        ours.inverse_negative_penalty, other.inverse_negative_penalty, rtol=1e-12
    )
    assert ours.num_gallery == other.num_gallery


def random_case(seed):
    """Few distinct distances make ties, few vehicles make junk, vehicles of one side make invalid queries."""
    rng = np.random.default_rng(seed)
    num_query, num_gallery = rng.integers(1, 12), rng.integers(1, 80)
    vehicles, cameras = rng.integers(1, 9), rng.integers(1, 5)
    shape = (num_query, num_gallery)
    distances = [
        lambda: rng.integers(0, rng.integers(1, 10), shape).astype(np.float32),
        lambda: rng.random(shape, dtype=np.float32),
        lambda: rng.lognormal(0, 8, shape),
        lambda: rng.standard_normal(shape).astype(np.float32) * 1e-38,
        lambda: np.round(rng.standard_normal(shape), 1),
    ][seed % 5]()
    labels = (
        rng.integers(0, vehicles, num_query),
        rng.integers(0, vehicles, num_gallery),
        rng.integers(-1, cameras, num_query),
        rng.integers(-1, cameras, num_gallery),
    )
    return distances, labels


@pytest.mark.parametrize("seed", range(300))
def test_evaluate_distances_equals_the_literal_definitions(seed):
    distances, labels = random_case(seed)
    literal = literal_evaluate(distances, *labels)
    if literal.num_valid == 0:
        with pytest.raises(RankingError, match="none of the"):
            evaluate_distances(distances, *labels)
        return
    for chunk_size in (1, 3, 1000):
        assert_same(evaluate_distances(distances, *labels, chunk_size=chunk_size), literal)


def test_random_cases_include_ties_junk_and_invalid_queries():
    results, ties, junk = [], 0, 0
    for seed in range(300):
        distances, labels = random_case(seed)
        results.append(literal_evaluate(distances, *labels))
        ties += any(len(set(row)) < len(row) for row in distances.tolist())
        rule = Labels(*labels)
        junk += rule.same_vehicle(0, len(distances)).junk.any()
    assert ties > 100
    assert junk > 100
    assert sum(r.num_invalid > 0 and r.num_valid > 0 for r in results) > 30
    assert sum(r.num_valid == 0 for r in results) > 3


def test_evaluate_distances_with_many_matches_equals_the_literal_definitions():
    rng = np.random.default_rng(0)
    distances = rng.gamma(2.0, size=(6, 3000)).astype(np.float32)
    labels = rng.integers(0, 3, 6), rng.integers(0, 3, 3000), np.zeros(6, int), np.ones(3000, int)
    assert_same(evaluate_distances(distances, *labels), literal_evaluate(distances, *labels))


def test_evaluate_distances_equals_an_example_computed_by_hand():
    # Ranking of query 0 without junk (index 2): other, match, other, match -> precisions 1/2 and 2/4.
    # Query 1 sees its only other image by its own camera: not valid.
    distances = np.array([[0.3, 0.2, 0.1, 0.4, 0.9, 0.5], [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]])
    result = evaluate_distances(
        distances, [1, 2], [1, 3, 1, 3, 2, 1], [0, 0], np.array([1, 0, 0, 5, 0, 2])
    )
    assert result.average_precision[0] == pytest.approx((1 / 2 + 2 / 4) / 2)
    assert np.isnan(result.average_precision[1])
    assert result.first_match.tolist() == [2, 0]
    assert result.inverse_negative_penalty[0] == pytest.approx(2 / 4)
    assert (result.cmc(1), result.cmc(2)) == (0.0, 1.0)
    assert (result.mean_average_precision, result.mean_inp) == (0.5, 0.5)
    assert (result.num_valid, result.num_invalid, result.num_gallery) == (1, 1, 6)


def test_a_match_ranks_behind_other_vehicles_at_the_same_distance():
    constant = np.zeros((1, 4), np.float32)
    result = evaluate_distances(constant, [7], [7, 1, 7, 2])
    assert result.first_match.tolist() == [3]
    assert result.average_precision[0] == pytest.approx((1 / 3 + 2 / 4) / 2)


@pytest.mark.parametrize("cameras", [None, [-1, -1, -1]])
def test_unknown_cameras_make_no_junk(cameras):
    distances = np.array([[0.1, 0.2, 0.3]])
    query_camera = None if cameras is None else [-1]
    result = evaluate_distances(distances, [5], [5, 5, 6], query_camera, cameras)
    assert result.num_matches.tolist() == [2]


def test_query_in_the_gallery_is_junk_by_its_camera():
    features = np.eye(4, dtype=np.float32)[[0, 1, 0]]
    # The first gallery image is the query itself, as in VeRi-776.
    result = evaluate_features(features[:1], features, [1], [1, 2, 1], [3], [3, 3, 4])
    assert result.num_matches.tolist() == [1]
    found = search(features[:1], features, 3, Labels([1], [1, 2, 1], [3], [3, 3, 4]))
    assert found.indices.tolist() == [[2, 1, -1]]


def features_and_labels(seed=0, num_query=40, num_gallery=200):
    rng = np.random.default_rng(seed)
    features = rng.standard_normal((num_query + num_gallery, 32)).astype(np.float32)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    features[num_query + 5 :: 10] = features[num_query + 5]  # exact ties
    counts = (num_query, num_gallery)
    labels = [rng.integers(0, bound, count) for bound in (10, 4) for count in counts]
    return features[:num_query], features[num_query:], labels


def test_evaluate_features_uses_squared_euclidean_distances():
    query, gallery, labels = features_and_labels()
    distances = ((query[:, None].astype(float) - gallery[None]) ** 2).sum(2).astype(np.float32)
    ours = evaluate_features(query, gallery, *labels)
    assert_same(ours, literal_evaluate(distances, *labels))
    np.testing.assert_allclose(
        search(query, gallery, 5).distances, np.sort(distances, axis=1)[:, :5], atol=1e-6
    )


@pytest.mark.parametrize("chunk_size", [1, 7, 64])
def test_metrics_are_independent_of_the_order_of_images(chunk_size):
    query, gallery, labels = features_and_labels()
    one = evaluate_features(query, gallery, *labels)
    rng = np.random.default_rng(1)
    q, g = rng.permutation(len(query)), rng.permutation(len(gallery))
    qi, gi, qc, gc = labels
    two = evaluate_features(query[q], gallery[g], qi[q], gi[g], qc[q], gc[g], chunk_size)
    np.testing.assert_array_equal(one.average_precision[q], two.average_precision)
    np.testing.assert_array_equal(one.first_match[q], two.first_match)
    np.testing.assert_array_equal(one.inverse_negative_penalty[q], two.inverse_negative_penalty)


@pytest.mark.parametrize("threads", [1, 2, 50])
def test_metrics_are_independent_of_threads_whose_number_is_restored(monkeypatch, threads):
    query, gallery, labels = features_and_labels()
    expected = evaluate_features(query, gallery, *labels)
    before = torch.get_num_threads()
    with monkeypatch.context() as patch:
        patch.setattr(torch, "get_num_threads", lambda: threads)
        patch.setattr(torch, "set_num_threads", lambda count: None)
        assert_same(evaluate_features(query, gallery, *labels), expected)
    evaluate_features(query, gallery, *labels)
    assert torch.get_num_threads() == before


def test_one_feature_for_all_images_gets_the_lowest_score():
    feature = np.full((1, 512), 512**-0.5, np.float32)
    result = evaluate_features(
        feature, feature.repeat(300, 0), [0], np.arange(300) % 150, chunk_size=1
    )
    assert result.first_match.tolist() == [299]


@pytest.mark.parametrize("kind", [np.asarray, torch.as_tensor, lambda x: np.asarray(x).tolist()])
def test_arrays_tensors_and_lists_give_the_same_scores(kind):
    query, gallery, labels = features_and_labels()
    expected = evaluate_features(query, gallery, *labels)
    labels = [kind(values) for values in labels]
    if kind is torch.as_tensor:
        query, gallery = torch.tensor(query, requires_grad=True), torch.tensor(gallery)
    assert_same(evaluate_features(query, gallery, *labels), expected)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.float64])
def test_distances_of_any_real_dtype_are_ranked_exactly(dtype):
    rng = np.random.default_rng(0)
    distances = torch.as_tensor(rng.integers(0, 200, (5, 60))).to(dtype)
    labels = [rng.integers(0, bound, count) for bound in (4, 3) for count in (5, 60)]
    literal = literal_evaluate(distances.double().numpy(), *labels)
    assert_same(evaluate_distances(distances, *labels), literal)


def test_arguments_are_not_changed():
    query, gallery, labels = features_and_labels()
    distances = np.asarray(2 - 2 * query @ gallery.T)
    before = [array.copy() for array in (query, gallery, distances, *labels)]
    evaluate_distances(distances, *labels)
    search_distances(distances, 5, Labels(*labels))
    evaluate_features(query, gallery, *labels)
    for array, old in zip((query, gallery, distances, *labels), before):
        np.testing.assert_array_equal(array, old)
    frozen = distances.copy()
    frozen.setflags(write=False)
    assert_same(evaluate_distances(frozen, *labels), evaluate_distances(distances, *labels))


@pytest.mark.parametrize("seed", range(60))
@pytest.mark.parametrize("with_labels", [True, False])
def test_search_equals_a_full_stable_sort(seed, with_labels):
    distances, labels = random_case(seed)
    rule = Labels(*labels) if with_labels else None
    k = seed % 7 + 1
    found = search_distances(distances, k, rule, chunk_size=4)
    assert found.indices.shape == found.distances.shape == (len(distances), k)
    qi, gi, qc, gc = labels
    for query, row in enumerate(distances):
        order = np.argsort(row, kind="stable")
        if with_labels:
            junk = (gi == qi[query]) & (gc == qc[query]) & (gc != -1)
            order = order[~junk[order]]
        expected = order[:k]
        assert found.indices[query, : len(expected)].tolist() == expected.tolist()
        assert found.distances[query, : len(expected)].tolist() == row[expected].tolist()
        assert (found.indices[query, len(expected) :] == -1).all()
        assert np.isinf(found.distances[query, len(expected) :]).all()


FEATURES = np.eye(3, dtype=np.float32)


def with_value(value):
    features = FEATURES.copy()
    features[1, 2] = value
    return features


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((FEATURES[:0], FEATURES, [], [1, 2, 3]), "query_ids must be .* not empty"),
        ((FEATURES[:0], FEATURES, [1], [1, 2, 3]), "no query features"),
        ((FEATURES, FEATURES[:0], [1, 2, 3], [1]), "no gallery features"),
        ((FEATURES, FEATURES, [1, 2], [1, 2, 3]), "3 queries .* 2 query ids"),
        ((FEATURES, FEATURES, [1, 2, 3], [1, 2]), "3 gallery images.* 2 gallery ids"),
        ((FEATURES, FEATURES, [1, 2, 3], [1, 2, 3], [0]), "3 query_ids, but 1 query_cameras"),
        ((FEATURES, FEATURES[:, :2], [1, 2, 3], [1, 2, 3]), "3 dimensions, gallery features 2"),
        ((with_value(np.nan), FEATURES, [1, 2, 3], [1, 2, 3]), "query feature row 1 .*NaN"),
        ((FEATURES, with_value(np.inf), [1, 2, 3], [1, 2, 3]), "gallery feature row 1 .*NaN"),
        ((FEATURES, FEATURES, [1.5, 2, 3], [1, 2, 3]), "query_ids must be integers"),
        ((FEATURES, FEATURES, ["a", "b", "c"], [1, 2, 3]), "query_ids must be integers"),
        ((FEATURES[0], FEATURES, [1], [1, 2, 3]), "query features must be a matrix"),
        ((FEATURES.astype(int), FEATURES, [1], [1, 2, 3]), "matrix of floats"),
        (([[1.0], [1.0, 2.0]], FEATURES, [1, 2], [1, 2, 3]), "arrays of numbers"),
        ((FEATURES, FEATURES, [1, 2, 3], [4, 5, 6]), "none of the 3 queries has a good match"),
    ],
)
def test_evaluate_features_raises_for_bad_input(arguments, message):
    with pytest.raises(RankingError, match=message):
        evaluate_features(*arguments)


def test_raises_for_bad_distances_and_ranks():
    distances = np.zeros((4, 3))
    distances[3, 1] = np.nan
    with pytest.raises(RankingError, match="distance row 3"):
        evaluate_distances(distances, [1, 1, 1, 1], [1, 1, 1], chunk_size=2)
    with pytest.raises(RankingError, match="must be a matrix"):
        evaluate_distances(np.zeros(3), [1], [1, 1, 1])
    with pytest.raises(RankingError, match="chunk_size"):
        evaluate_distances(np.zeros((1, 3)), [1], [1, 1, 1], chunk_size=0)
    with pytest.raises(RankingError, match="k must be"):
        search(FEATURES, FEATURES, 0)
    with pytest.raises(RankingError, match="at least 1, got 0"):
        evaluate_distances(np.zeros((1, 3)), [1], [1, 1, 1]).cmc(0)
