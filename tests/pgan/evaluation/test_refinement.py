import numpy as np
import pytest
import torch

from pgan.benchmarks.ranking_reference import literal_expand_queries, literal_k_reciprocal
from pgan.evaluation import (
    KReciprocal,
    RankingError,
    Refinement,
    evaluate,
    evaluate_distances,
    expand_queries,
)
from pgan.evaluation.distances import feature_distances


def features_of(seed, count, vehicles, twins=False):
    """Noisy views of vehicles; with twins, some images occur twice, which makes ties."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(0, vehicles, count)
    features = rng.standard_normal((vehicles, 12))[ids] + rng.standard_normal((count, 12)) * 0.7
    if twins:
        features[count // 2 :: 3] = features[: len(features[count // 2 :: 3])]
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return features.astype(np.float32), ids


def whole(chunks):
    return torch.cat([*chunks.map(lambda start, rows: rows)]).numpy()


def all_distances(features):
    return whole(feature_distances(features, features))


def streamed(encoding, num_query, chunk_size=128):
    rows = np.arange(len(encoding.features))
    chunks = encoding.distances(rows[:num_query], rows[num_query:], chunk_size)
    return whole(chunks)


@pytest.mark.parametrize("twins", [False, True])
@pytest.mark.parametrize(
    ("count", "num_query", "k1", "k2", "weight"),
    [
        (120, 20, 20, 6, 0.3),
        (90, 30, 7, 3, 0.5),
        (60, 5, 5, 1, 0.0),
        (40, 10, 20, 6, 1.0),
        (12, 4, 20, 6, 0.3),  # fewer images than neighbours
        (50, 9, 2, 8, 0.3),  # k2 beyond k1
    ],
)
def test_reranking_equals_the_literal_algorithm(count, num_query, k1, k2, weight, twins):
    for seed in range(3):
        features, _ = features_of(seed, count, 9, twins)
        expected = literal_k_reciprocal(all_distances(features), num_query, k1, k2, weight)
        for chunk_size in (7, 1000):
            encoding = KReciprocal(features, k1, k2, weight, chunk_size)
            found = streamed(encoding, num_query, chunk_size)
            assert found.dtype == np.float32
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_reranking_is_independent_of_the_chunk_size():
    features, _ = features_of(0, 150, 10)
    one, two = (streamed(KReciprocal(features, chunk_size=c), 30, c) for c in (11, 1000))
    np.testing.assert_array_equal(one, two)


def test_encoding_serves_every_division_into_queries_and_gallery():
    features, _ = features_of(0, 80, 8)
    encoding = KReciprocal(features, 6, 3)
    order = np.random.default_rng(0).permutation(80)
    expected = streamed(KReciprocal(features[order], 6, 3), 10)
    found = whole(encoding.distances(order[:10], order[10:]))
    np.testing.assert_allclose(found, expected, atol=1e-7)


def test_reranking_helps_when_neighbours_agree(feature_set):
    plain, better = (
        evaluate(
            feature_set(40, 8, noise=0.8),
            "multi-gallery-shot",
            refinement=Refinement(rerank=r, k1=6, k2=3),
        )
        for r in (False, True)
    )
    assert better.metrics()["mAP"] > plain.metrics()["mAP"] + 1
    assert better.refinement == "k-reciprocal (k1=6, k2=3, lambda=0.3)"


def test_encodings_keep_only_neighbours():
    features, _ = features_of(0, 600, 60)
    encoding = KReciprocal(features, k1=5, k2=2)
    assert encoding.encodings.nnz < 600 * 60


@pytest.mark.parametrize("k", [1, 3, 1000])
def test_expand_queries_equals_the_literal_definition(k):
    for seed in range(3):
        features, _ = features_of(seed, 70, 9)
        features *= 3  # no unit length is assumed
        for chunk_size in (4, 1000):
            found = expand_queries(features[:20], features[20:], k, chunk_size)
            expected = literal_expand_queries(features[:20], features[20:], k)
            np.testing.assert_allclose(found, expected, atol=1e-6)


def test_expansion_and_reranking_are_combined_and_reported(feature_set):
    features = feature_set(role=None)
    both = Refinement(expand_queries=2, rerank=True, k1=4, k2=2, weight=0.2)
    evaluation = evaluate(features, refinement=both)
    assert evaluation.refinement == (
        "average query expansion (K=2), then k-reciprocal (k1=4, k2=2, lambda=0.2)"
    )
    query, gallery = features.query_and_gallery()
    expanded = literal_expand_queries(query.features, gallery.features, 2).astype(np.float32)
    everything = np.concatenate([expanded, gallery.features])
    expected = literal_k_reciprocal(all_distances(everything), len(query), 4, 2, 0.2)
    result = evaluate_distances(
        expected.astype(np.float32),
        query.vehicle_ids,
        gallery.vehicle_ids,
        query.camera_ids,
        gallery.camera_ids,
    )
    assert evaluation.metrics()["mAP"] == pytest.approx(100 * result.mean_average_precision)


@pytest.mark.parametrize(
    "bad", [{"expand_queries": -1}, {"k1": 0}, {"k2": 0}, {"weight": 1.5}, {"weight": -0.1}]
)
def test_refinement_raises_for_bad_settings(bad):
    with pytest.raises(
        RankingError, match=next(iter(bad)).replace("weight", "lambda").split("_")[0]
    ):
        Refinement(**bad)
