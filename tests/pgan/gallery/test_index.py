"""Each kind of index against brute force, and what becomes of a file of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import faiss
import numpy as np
import pytest

from pgan.benchmarks.search import fleet_features
from pgan.gallery import index as module
from pgan.gallery.index import KINDS, Index, SearchIndexError, build_index, load_index

pytestmark = pytest.mark.slow

IMAGES, QUERIES, DIMS = 3000, 60, 64


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> None:
    """Graphs are the same from run to run, and no thread waits for a busy core."""
    faiss.omp_set_num_threads(1)


@pytest.fixture(scope="module")
def fleet() -> tuple[np.ndarray, np.ndarray]:
    features, queries = fleet_features(IMAGES, QUERIES, DIMS)
    features.flags.writeable = False
    return features, queries


@pytest.fixture(scope="module")
def indices(fleet: tuple[np.ndarray, np.ndarray]) -> dict[str, Index]:
    return {kind: build_index(fleet[0], kind) for kind in KINDS}


def brute_force(
    features: np.ndarray, queries: np.ndarray, k: int, among: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Distances in double precision, sorted; of equals the lower row first."""
    a, b = queries.astype(np.float64), features.astype(np.float64)
    distances = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2 * a @ b.T
    if among is not None:
        distances[:, ~among] = np.inf
    rows = np.argsort(distances, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distances, rows, 1), rows


def share_found(found: np.ndarray, truth: np.ndarray) -> float:
    return float(np.mean([np.isin(t, f).mean() for f, t in zip(found, truth)]))


def test_exact_index_equals_brute_force(fleet, indices):
    features, queries = fleet
    expected, rows = brute_force(features, queries, 15)
    distances, found = indices["exact"].search(queries, 15)
    np.testing.assert_array_equal(found, rows)
    np.testing.assert_allclose(distances, expected, rtol=1e-4)
    assert indices["exact"].recall == {"recall@1": 1.0, "recall@10": 1.0}


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_index_recall_against_brute_force(kind, fleet, indices):
    features, queries = fleet
    _, rows = brute_force(features, queries, 10)
    distances, found = indices[kind].search(queries, 10)
    assert share_found(found[:, :1], rows[:, :1]) >= 0.95
    assert share_found(found, rows) >= 0.8
    # Ranked by the features themselves, whatever the index is made of.
    difference = features[found] - queries[:, None]
    np.testing.assert_allclose(distances, (difference**2).sum(-1), rtol=1e-4)
    assert (np.diff(distances, axis=1) >= 0).all()


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_reported_recall_is_measured_on_own_images(kind, fleet, indices):
    features, index = fleet[0], indices[kind]
    rows = np.random.default_rng(7).choice(IMAGES, 200, replace=False)
    _, truth = brute_force(features, features[rows], 11)
    _, found = index.search(features[rows], 11)
    for k in (1, 10):  # the first is the image itself
        measured = share_found(found[:, 1 : k + 1], truth[:, 1 : k + 1])
        assert index.recall[f"recall@{k}"] == pytest.approx(measured, abs=0.05)
    assert index.recall["recall@1"] >= module.TARGET_RECALL


def test_more_effort_gives_no_lower_recall(fleet, indices):
    features, queries = fleet
    _, rows = brute_force(features, queries, 10)
    shares = []
    for effort in (1, 8, indices["ivfpq"].settings.lists):
        settings = replace(indices["ivfpq"].settings, effort=effort, candidates=30)
        _, found = replace(indices["ivfpq"], settings=settings).search(queries, 10)
        shares.append(share_found(found, rows))
    assert shares == sorted(shares)
    assert shares[0] < 0.9 < 0.98 < shares[-1]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("inside_the_index", [False, True])
def test_search_among_some_images(kind, inside_the_index, fleet, indices, monkeypatch):
    if inside_the_index:  # few images are compared exactly otherwise
        monkeypatch.setattr(module, "EXACT_UP_TO", 0)
    features, queries = fleet
    among = np.random.default_rng(1).random(IMAGES) < 0.3
    _, rows = brute_force(features, queries, 10, among)
    _, found = indices[kind].search(queries, 10, among)
    assert among[found[found >= 0]].all()
    if inside_the_index and kind != "exact":
        assert share_found(found, rows) >= 0.7
    else:
        np.testing.assert_array_equal(found, rows)


@pytest.mark.parametrize("kind", KINDS)
def test_search_pads_when_k_exceeds_images(kind, fleet, indices):
    queries = fleet[1]
    few = np.isin(np.arange(IMAGES), [5, 17])
    distances, rows = indices[kind].search(queries, 4, few)
    assert set(rows[:, :2].ravel()) == {5, 17}
    assert (rows[:, 2:] == -1).all()
    assert np.isinf(distances[:, 2:]).all()
    distances, rows = indices[kind].search(queries[:1], 3, np.zeros(IMAGES, bool))
    assert (rows == -1).all()
    assert np.isinf(distances).all()


def test_search_orders_ties_by_row():
    features = np.repeat(np.eye(8, dtype=np.float32), 50, axis=0)
    distances, rows = build_index(features, "exact").search(features[100:101], 50)
    assert rows[0].tolist() == list(range(100, 150))
    assert (distances == 0).all()


def test_auto_kind_is_exact_up_to_a_size(fleet, monkeypatch):
    monkeypatch.setattr(module, "EXACT_UP_TO", 600)
    assert build_index(fleet[0][:600]).kind == "exact"
    made = build_index(fleet[0][:601])
    assert made.kind == "ivfpq"
    assert made.settings.lists == 128  # 4 sqrt(601) = 98; 2^6.6 rounds to 2^7
    assert made.recall["recall@1"] >= module.TARGET_RECALL


def test_given_settings_are_kept(fleet):
    given = {"dims": 32, "code_bytes": 8, "lists": 20, "effort": 3, "candidates": 7}
    made = build_index(fleet[0], "ivfpq", settings=given).settings
    assert {name: getattr(made, name) for name in given} == given


@pytest.mark.parametrize("kind", ["hnsw", "ivfpq"])
def test_same_seed_builds_same_index(kind, fleet, indices):
    again = build_index(fleet[0], kind)
    assert (again.recall, again.settings) == (indices[kind].recall, indices[kind].settings)
    for one, other in zip(again.search(fleet[1], 10), indices[kind].search(fleet[1], 10)):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("kind", KINDS)
def test_save_and_load_round_trip(kind, fleet, indices, tmp_path):
    features, queries = fleet
    np.save(tmp_path / "features.npy", features)
    path = indices[kind].save(tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["features.npy", path.name]
    loaded = load_index(tmp_path, np.load(tmp_path / "features.npy", mmap_mode="r"))
    for name in ("kind", "settings", "recall", "seconds", "bytes_per_image"):
        assert getattr(loaded, name) == getattr(indices[kind], name)
    for one, other in zip(loaded.search(queries, 10), indices[kind].search(queries, 10)):
        np.testing.assert_array_equal(one, other)


def test_exact_search_uses_gpus(fleet, indices, tmp_path, monkeypatch):
    # Where there is none, a faiss that is built for one is played by the same index on the CPU.
    monkeypatch.setattr(module.faiss, "get_num_gpus", lambda: 1, raising=False)
    monkeypatch.setattr(module.faiss, "index_cpu_to_all_gpus", lambda index: index, raising=False)
    features, queries = fleet
    index = build_index(features, "exact")
    index.save(tmp_path)
    among = np.arange(IMAGES) % 2 == 0
    for one in (index, load_index(tmp_path, features)):
        assert one._faiss.ntotal == IMAGES
        for filtered in (None, among):
            found = one.search(queries, 5, filtered)
            for ours, on_cpu in zip(found, indices["exact"].search(queries, 5, filtered)):
                np.testing.assert_array_equal(ours, on_cpu)


def test_load_raises_for_other_features(fleet, indices, tmp_path):
    features = fleet[0]
    indices["ivfpq"].save(tmp_path)
    for other in (features[:-1], features[::-1], features + np.float32(1e-3)):
        with pytest.raises(SearchIndexError, match=r"other features .*build the index again"):
            load_index(tmp_path, other)


def test_load_raises_for_missing_file(fleet, tmp_path):
    with pytest.raises(SearchIndexError, match="no such file: build the index first"):
        load_index(tmp_path, fleet[0])


def test_load_raises_for_damaged_file(fleet, indices, tmp_path):
    path = indices["ivfpq"].save(tmp_path)
    whole = path.read_bytes()
    for cut in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(SearchIndexError, match="not an index, or damaged"):
            load_index(tmp_path, fleet[0])
    for place in range(len(whole) // 8, len(whole) * 7 // 8, len(whole) // 8):  # inside the index
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(SearchIndexError, match="damaged"):
            load_index(tmp_path, fleet[0])


def test_load_raises_for_other_files_and_unpickles_nothing(fleet, tmp_path):
    path = tmp_path / "index.npz"
    for arrays in (
        {"x": np.arange(3)},
        {"schema": np.int64(99), "about": np.str_("{}")},
        {"schema": np.int64(1), "about": np.str_("[]")},
        {"schema": np.array([Path("x")], dtype=object), "about": np.str_("{}")},
    ):
        np.savez(path, **arrays)
        with pytest.raises(SearchIndexError, match="not an index, or damaged"):
            load_index(tmp_path, fleet[0])


@pytest.mark.parametrize(
    ("features", "kind", "settings", "told"),
    [
        (np.zeros((0, 4), np.float32), "auto", None, "must be a matrix of floats"),
        (np.zeros((3, 4), np.int64), "auto", None, "must be a matrix of floats"),
        (np.zeros(4, np.float32), "auto", None, "must be a matrix of floats"),
        (np.diag([1, 1, np.nan, 1]), "auto", None, "image row 2 .* NaN or infinity"),
        (np.eye(4), "flat", None, "'flat': choose auto, exact, hnsw, ivfpq"),
        (np.eye(4), "ivfpq", None, "4 images are too few .* choose 'exact'"),
        (np.eye(4), "auto", {"nprobe": 3}, "the settings of an index are dims, "),
        (np.eye(4), "auto", {"candidates": 0}, "candidates must be 1 or more, got 0"),
        (np.eye(4), "auto", {"effort": 2.5}, "effort must be 0 or more, got 2.5"),
    ],
)
def test_build_raises_for_invalid_arguments(features, kind, settings, told):
    with pytest.raises(SearchIndexError, match=told):
        build_index(features, kind, settings=settings)


def test_search_raises_for_invalid_queries(fleet, indices):
    queries = fleet[1]
    with pytest.raises(SearchIndexError, match="queries have 60 dimensions"):
        indices["exact"].search(queries[:, :60], 1)
    with pytest.raises(SearchIndexError, match="k must be at least 1, got 0"):
        indices["exact"].search(queries, 0)
    with pytest.raises(SearchIndexError, match=r"among has shape \(4,\)"):
        indices["exact"].search(queries, 1, np.ones(4, bool))
    with pytest.raises(SearchIndexError, match="query row 1 .* NaN"):
        indices["exact"].search(np.stack([queries[0], queries[1] * np.nan]), 1)
