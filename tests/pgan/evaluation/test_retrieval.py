"""The result of a ranking: what it accepts, how it is cut, and what search and evaluation put in it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import pgan.evaluation
from pgan.evaluation import (
    FeatureSet,
    RankingError,
    Refinement,
    RetrievalResult,
    evaluate,
    search_distances,
)
from pgan.evaluation.distances import DistanceChunks

ROOT = Path(__file__).resolve().parents[3]
INF, NAN = np.inf, np.nan


def result(**changes):
    arrays = {
        "indices": np.array([[4, 0, 2], [1, -1, -1]]),
        "distances": np.array([[0.1, 0.3, 0.9], [0.2, INF, INF]]),
        "matches": np.array([[False, True, True], [False, False, False]]),
    }
    return RetrievalResult(**(arrays | changes))


def test_retrieval_result_counts_images_and_finds_first_matches():
    found = result()
    assert (len(found), found.k) == (2, 3)
    assert found.counts.tolist() == [3, 1]
    assert found.first_match.tolist() == [2, 0]
    with pytest.raises(RankingError, match="unknown: search with labels"):
        _ = result(matches=None).first_match


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"indices": np.array([4, 0, 2])}, "indices must be a matrix of integers"),
        ({"indices": np.eye(2)}, "indices must be a matrix of integers"),
        ({"distances": np.zeros((2, 2))}, r"distances must be floating of .* \(2, 3\)"),
        ({"distances": np.zeros((2, 3), int)}, "distances must be floating"),
        ({"matches": np.zeros((2, 3))}, "matches must be bool"),
        ({"indices": np.array([[4, 0, -2], [1, -1, -1]])}, "query 0 has an index below -1"),
        ({"indices": np.array([[4, 0, 4], [1, -1, -1]])}, "query 0 has an image twice"),
        ({"indices": np.array([[4, 0, 2], [-1, 1, -1]])}, "query 1 has an empty slot before"),
        ({"distances": np.array([[0.1, 0.3, NAN], [0.2, INF, INF]])}, "query 0 .* not finite"),
        ({"distances": np.array([[0.1, 0.3, 0.9], [0.2, 0.3, INF]])}, "query 1 .* empty slot"),
        ({"distances": np.array([[0.3, 0.1, 0.9], [0.2, INF, INF]])}, "query 0 .* the order"),
        ({"matches": np.array([[True] * 3, [True, True, False]])}, "query 1 has a match in an empty"),
    ],
)  # fmt: skip
def test_retrieval_result_raises_for_arrays_that_are_no_ranking(changes, message):
    with pytest.raises(RankingError, match=message):
        result(**changes)


def test_retrieval_result_orders_reranked_images_before_the_others():
    reranked = np.array([[0.5, 0.6, NAN], [NAN, NAN, NAN]])
    distances = np.array([[0.3, 0.1, 0.9], [0.2, INF, INF]])
    assert result(distances=distances, reranked=reranked).k == 3
    with pytest.raises(RankingError, match="query 0 is not in the order"):
        result(distances=distances, reranked=reranked[:, [1, 0, 2]])
    with pytest.raises(RankingError, match="query 0 is not in the order"):
        result(distances=distances, reranked=np.full((2, 3), NAN))


def test_retrieval_result_is_cut_by_query_and_by_rank():
    found = result(reranked=np.array([[0.1, 0.2, NAN], [0.1, NAN, NAN]]))
    one = found.query(1)
    assert (one.indices.tolist(), one.distances.tolist()) == ([[1]], [[0.2]])
    assert one.reranked.tolist() == [[0.1]]
    assert found.truncate(2).indices.tolist() == [[4, 0], [1, -1]]
    assert found.truncate(0).first_match.tolist() == [0, 0]
    assert found.take([1, 0]).counts.tolist() == [1, 3]
    assert found.take(np.array([False, True])).counts.tolist() == [1]
    assert found.take([]).indices.shape == (0, 3)
    with pytest.raises(RankingError, match="0 images or more"):
        found.truncate(-1)


def test_from_rows_pads_shorter_rows():
    found = RetrievalResult.from_rows(
        [[4, 0], [], [1]],
        [[0.25, 0.5], [], [0.125]],
        [[True, False], [], [True]],
        [[0.5], [], [0.75]],
    )
    assert found.indices.tolist() == [[4, 0], [-1, -1], [1, -1]]
    assert found.distances.tolist() == [[0.25, 0.5], [INF, INF], [0.125, INF]]
    assert found.matches.tolist() == [[True, False], [False, False], [True, False]]
    np.testing.assert_array_equal(found.reranked, [[0.5, NAN], [NAN, NAN], [0.75, NAN]])
    assert len(RetrievalResult.from_rows([], [])) == 0
    with pytest.raises(RankingError, match="indices and distances differ in length"):
        RetrievalResult.from_rows([[1, 2]], [[0.5]])


def test_search_returns_matches_only_with_labels(feature_set):
    labels = feature_set(role=None).labels()
    distances = np.random.default_rng(0).random(labels.shape)
    assert search_distances(distances, 3).matches is None
    found = search_distances(distances, 3, labels)
    expected = labels.gallery_ids[found.indices] == labels.query_ids[:, None]
    np.testing.assert_array_equal(found.matches, expected & (found.indices >= 0))


@pytest.mark.parametrize("refinement", [None, Refinement(rerank=True, k1=4), Refinement(3)])
@pytest.mark.parametrize("name", ["cross-camera", "vehicleid-800", "multi-gallery-shot"])
@pytest.mark.parametrize("chunk_size", [7, 128])
def test_rank_lists_are_those_that_were_scored(
    feature_set, monkeypatch, refinement, name, chunk_size
):
    features = feature_set(role=None)
    scored = []
    of = pgan.evaluation.scoring._Distances.of

    def keep(self, draw):
        chunks = of(self, draw)
        scored.append((draw, np.concatenate(list(chunks.map(lambda _, rows: rows.numpy())))))
        return chunks

    monkeypatch.setattr(pgan.evaluation.scoring._Distances, "of", keep)
    evaluation = evaluate(features, name, refinement=refinement, top=4, chunk_size=chunk_size)
    (draw, distances), lists = scored[0], evaluation.rank_lists
    np.testing.assert_array_equal(lists.images.roles, draw.roles)
    expected = search_distances(distances, 4, draw.labels())
    np.testing.assert_array_equal(lists.nearest.indices, expected.indices)
    np.testing.assert_array_equal(lists.nearest.distances, expected.distances)
    np.testing.assert_array_equal(lists.nearest.matches, expected.matches)
    whole = search_distances(distances, distances.shape[1], draw.labels())
    for query, first in enumerate(whole.first_match):
        kept = lists.nearest_matches.query(query)
        assert kept.indices.tolist() == ([[whole.indices[query, first - 1]]] if first else [[]])


def test_evaluate_keeps_no_rank_lists_unless_asked(feature_set):
    features = feature_set(role=None)
    assert evaluate(features).rank_lists is None
    assert evaluate(features, top=2).to_dict() == evaluate(features).to_dict()
    with pytest.raises(RankingError, match="at least 1 image, not -1"):
        evaluate(features, top=-1)


class NoFeatures:
    """Stands for features that nobody may read."""

    def __len__(self):
        return 60

    def __getattr__(self, name):
        raise AssertionError(f"the features were read: {name}")

    __getitem__ = __array__ = __getattr__


def test_labels_do_not_read_the_features(feature_set):
    features = feature_set(role=None)
    labels = replace(features, features=NoFeatures()).labels()
    assert labels.query_ids.tolist() == features.subset("query").vehicle_ids.tolist()
    assert labels.gallery_cameras.tolist() == features.subset("gallery").camera_ids.tolist()


def test_rank_lists_compute_no_distance_of_their_own(feature_set, monkeypatch):
    features = feature_set(role=None)
    evaluated = []
    create = DistanceChunks.__post_init__

    def count(self):
        evaluated.append(self.shape)
        create(self)

    monkeypatch.setattr(DistanceChunks, "__post_init__", count)
    evaluate(features, top=3)
    assert evaluated == [(12, 48)]


@pytest.mark.slow
def test_numpy_only_names_load_neither_torch_nor_mmengine():
    code = (
        "import sys\n"
        "from pgan.evaluation import FeatureSet, FeatureProjection, Labels, PROTOCOLS, RankingError\n"
        "from pgan.evaluation import RetrievalResult, load_features, save_features\n"
        "heavy = {'torch', 'mmengine', 'sklearn', 'matplotlib', 'cv2', 'scipy'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True)


def test_every_public_name_exists_and_has_an_example():
    assert "RetrievalResult" in pgan.evaluation.__all__
    for name in pgan.evaluation.__all__:
        public = getattr(pgan.evaluation, name)
        is_error = isinstance(public, type) and issubclass(public, Exception)
        assert is_error or not callable(public) or ">>>" in public.__doc__, name
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = pgan.evaluation.nothing
    assert isinstance(FeatureSet, type)
