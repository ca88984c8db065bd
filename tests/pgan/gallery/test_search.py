"""Searching a gallery against the definition: all distances, sorted."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pgan.datasets.records import Annotation
from pgan.evaluation import FeatureSet, Refinement, evaluate, search_distances
from pgan.evaluation.refinement import KReciprocal
from pgan.evaluation.retrieval import RetrievalResult
from pgan.gallery import search as module
from pgan.gallery.adding import add, remove
from pgan.gallery.errors import GalleryError
from pgan.gallery.part_source import PartSource
from pgan.gallery.queries import make_queries
from pgan.gallery.search import Filters, Query, Searcher, about_index, build, covered_rows
from pgan.gallery.store import Entry, Gallery
from pgan.gallery.times import Time
from tests.pgan.gallery.conftest import FakeEmbedder, annotations, draw, embedded

NOWHERE = PartSource()


def new_query(name: str, camera: str = "") -> Query:
    """Of an image that is in no gallery."""
    return Query(embedded(name).feature, Entry(name, "", camera, Time()))


def brute_force(gallery: Gallery, query: Query, allowed: np.ndarray | None = None) -> list[int]:
    """Rows by distance; of equals the lower row first."""
    difference = gallery.features().astype(np.float64) - query.feature
    order = np.argsort((difference**2).sum(1), kind="stable").tolist()
    return [row for row in order if (allowed is None or allowed[row]) and row != query.row]


def lists(found: RetrievalResult) -> list[RetrievalResult]:
    """The result of each query, without empty slots."""
    return [found.query(number) for number in range(len(found))]


def rows_of(found: RetrievalResult) -> list[int]:
    return found.indices[0].tolist()


def test_search_equals_brute_force(gallery: Gallery) -> None:
    queries = [new_query(f"{vehicle}-new.png") for vehicle in range(6)]
    found = Searcher(gallery).search(queries, 7)
    for query, hits in zip(queries, lists(found)):
        assert rows_of(hits) == brute_force(gallery, query)[:7]
        expected = ((gallery.features()[rows_of(hits)] - query.feature) ** 2).sum(1)
        assert hits.distances[0].tolist() == pytest.approx(expected, rel=1e-5)
    assert Searcher(gallery).search(queries, 99).counts.tolist() == [24] * 6


def test_search_excludes_the_query_itself(gallery: Gallery) -> None:
    queries, failed = make_queries(gallery, ["/data/2-1.png"], load_embedder=None)
    assert (len(queries), failed, queries[0].known.vehicle) == (1, {}, "v2")
    (hits,) = lists(Searcher(gallery).search(queries, 24))
    assert rows_of(hits) == brute_force(gallery, queries[0])
    assert queries[0].row not in rows_of(hits)


def test_make_queries_embeds_new_images_in_order(gallery: Gallery) -> None:
    model = FakeEmbedder()
    files = ["/data/new-1.png", "/data/0-0.png", "/data/broken.png", "/data/new-0.png"]
    queries, failed = make_queries(gallery, files, lambda: (model, NOWHERE))
    assert [query.known.path for query in queries] == [files[0], files[1], files[3]]
    assert model.seen == [files[0], files[2], files[3]]
    assert failed == {"/data/broken.png": "broken"}
    assert queries[0].known.labels == ["wheel", "plate", "wheel"][: len(queries[0].known.parts)]


def test_search_filters_by_camera(gallery: Gallery) -> None:
    query, own = new_query("1-new.png"), new_query("1-new.png", "c1")
    cameras, searcher = gallery.cameras, Searcher(gallery)
    for filters, allowed in (
        (Filters(cameras=["c1"]), cameras == "c1"),
        (Filters(cameras=["c0", "c1"]), None),
        (Filters(cameras_not=["c1"]), cameras == "c0"),
        (Filters(other_cameras=True), cameras != "c1"),
    ):
        (hits,) = lists(searcher.search([own if filters.other_cameras else query], 24, filters))
        assert rows_of(hits) == brute_force(gallery, query, allowed)
    both = [own, new_query("2-new.png", "c0"), new_query("3-new.png", "c1")]
    for hits, asked in zip(lists(searcher.search(both, 24, Filters(other_cameras=True))), both):
        assert set(gallery.cameras[rows_of(hits)]) == {"c0", "c1"} - {asked.known.camera}
    with pytest.raises(GalleryError, match="is by camera 'north': it has c0, c1"):
        searcher.search([query], 3, Filters(cameras=["north"]))
    with pytest.raises(GalleryError, match=r"1-new.png: its camera is unknown.*--camera-not"):
        searcher.search([query], 3, Filters(other_cameras=True))


def test_search_filters_by_time(tmp_path: Path) -> None:
    images = [
        *annotations(),
        Annotation("/data/9-0.png", "v9", "c0", ""),
        Annotation("/data/9-1.png", "v9", "c0", "12"),
    ]
    add(tmp_path / "g", FakeEmbedder(), images, NOWHERE)
    gallery = Gallery.open(tmp_path / "g")
    searcher, query = Searcher(gallery), new_query("3-new.png")

    def found(after: str = "", before: str = "") -> set[str]:
        ends = [Time.parse(text) if text else None for text in (after, before)]
        (hits,) = lists(searcher.search([query], 99, Filters(after=ends[0], before=ends[1])))
        return {entry.path for entry in gallery.entries(rows_of(hits))}

    dates = {i.path: i.time for i in annotations()}
    first, last = "2020-01-01T00:02:00", "2020-01-01T00:04:01"
    assert found(after=first) == {path for path, date in dates.items() if date >= first}
    assert found(before=last) == {path for path, date in dates.items() if date < last}
    assert found(first, last) == {path for path, date in dates.items() if first <= date < last}
    assert found(after="2020-01-01T03:02:00+03:00") == found(after=first)
    assert found(after="5") == {"/data/9-1.png"}
    assert found(before="5") == set()
    remove(tmp_path / "g", ["/data/9-1.png"])
    with pytest.raises(GalleryError, match="no image of .* has a number as its time"):
        Searcher(Gallery.open(tmp_path / "g")).search([query], 3, Filters(after=Time.parse("5")))


def test_search_rerank_equals_k_reciprocal_of_same_list(gallery: Gallery) -> None:
    query, count = new_query("4-new.png"), 12
    (plain,) = lists(Searcher(gallery).search([query], 24))
    (hits,) = lists(Searcher(gallery).search([query], 24, rerank=count))
    top = rows_of(plain)[:count]
    both = np.concatenate([query.feature[None], gallery.features()[top]])
    by_rank = KReciprocal(both).distances(np.array([0]), np.arange(1, count + 1))
    expected = search_distances(by_rank.rows(0, 1), count)
    assert rows_of(hits) == [top[place] for place in expected.indices[0]] + rows_of(plain)[count:]
    assert hits.reranked[0, :count].tolist() == expected.distances[0].tolist()
    assert np.isnan(hits.reranked[0, count:]).all()
    assert hits.k == 24
    distances = dict(zip(rows_of(plain), plain.distances[0].tolist()))
    assert hits.distances[0].tolist() == [distances[row] for row in rows_of(hits)]
    # More is re-ranked than is shown: the first is the best of all of them.
    (first,) = lists(Searcher(gallery).search([query], 1, rerank=count))
    assert rows_of(first) == rows_of(hits)[:1]


def test_search_rerank_of_all_equals_evaluation(gallery: Gallery) -> None:
    query = new_query("4-new.png")
    (hits,) = lists(Searcher(gallery).search([query], 24, rerank=24))
    good = gallery.vehicles[rows_of(hits)] == "v4"
    ranks = np.flatnonzero(good) + 1
    both = FeatureSet(
        np.concatenate([query.feature[None], gallery.features()]),
        np.array([4, *(int(v[1:]) for v in gallery.vehicles)]),
        np.full(25, -1),
        np.array(["query"] + ["gallery"] * 24),
        np.array([str(row) for row in range(25)]),
        protocol="cross-camera",
    )
    scored = evaluate(both, refinement=Refinement(rerank=True)).metrics()["mAP"]
    assert 100 * np.mean(np.arange(1, 5) / ranks) == pytest.approx(scored)


@pytest.fixture
def crowd(tmp_path: Path) -> Gallery:
    """Four hundred images, and an index that looks far enough to miss none."""
    add(tmp_path / "g", FakeEmbedder(), annotations(100), NOWHERE)
    gallery = Gallery.open(tmp_path / "g")
    built = build(gallery, "hnsw")
    assert built.recall["recall@1"] == about_index(gallery)["recall"]["recall@1"] >= 0.99
    return gallery


def test_search_with_index_equals_exact_search(crowd: Gallery) -> None:
    queries = [new_query(f"{vehicle}-new.png") for vehicle in range(9)]
    searcher = Searcher(crowd)
    assert (searcher.covered, searcher.stale) == (400, "")
    allowed = crowd.cameras == "c1"
    for filters, mask in ((Filters(), None), (Filters(cameras=["c1"]), allowed)):
        for query, hits in zip(queries, lists(searcher.search(queries, 10, filters))):
            assert rows_of(hits) == brute_force(crowd, query, mask)[:10]


def test_search_finds_images_added_after_the_index(crowd: Gallery) -> None:
    images = [Annotation(f"/later/{v}-{i}.png", f"v{v}") for v in range(5) for i in range(3)]
    add(crowd.path, FakeEmbedder(), images, NOWHERE)
    gallery = Gallery.open(crowd.path)
    searcher = Searcher(gallery)
    assert (searcher.covered, len(gallery)) == (400, 415)
    queries = [new_query(f"{vehicle}-new.png") for vehicle in range(5)]
    newer = np.zeros(415, bool)
    newer[400:] = True
    for query, hits in zip(queries, lists(searcher.search(queries, 12))):
        assert rows_of(hits) == brute_force(gallery, query)[:12]
        assert newer[rows_of(hits)].any()


def test_index_is_not_used_after_removal(crowd: Gallery) -> None:
    remove(crowd.path, ["/data/7-*"])
    gallery = Gallery.open(crowd.path)
    searcher, query = Searcher(gallery), new_query("7-new.png")
    assert searcher.stale == "images were removed since the index was built"
    assert rows_of(searcher.search([query], 9)) == brute_force(gallery, query)[:9]
    build(gallery, "hnsw")
    assert covered_rows(gallery) == (396, "")
    assert Searcher(gallery).stale == ""


@pytest.mark.parametrize("content", [b"", b"PK not an index"])
def test_damaged_index_is_reported_and_not_used(crowd: Gallery, content: bytes) -> None:
    (crowd.path / "index" / "index.npz").write_bytes(content)
    searcher, query = Searcher(crowd), new_query("7-new.png")
    assert "build the index again" in searcher.stale
    assert rows_of(searcher.search([query], 9)) == brute_force(crowd, query)[:9]


def test_search_raises_for_invalid_arguments(gallery: Gallery) -> None:
    with pytest.raises(GalleryError, match="ask for 1 image or more"):
        Searcher(gallery).search([new_query("1-new.png")], 0)
    with pytest.raises(GalleryError, match="there is no index kind 'tree'"):
        build(gallery, "tree")
    with pytest.raises(GalleryError, match="24 images are too few .*choose 'exact'"):
        build(gallery, "hnsw")
    remove(gallery.path, ["/data"])
    empty = Gallery.open(gallery.path)
    for attempt in (Searcher, build):
        with pytest.raises(GalleryError, match="is empty: add images"):
            attempt(empty)


def test_search_compares_queries_in_batches(gallery, monkeypatch) -> None:
    monkeypatch.setattr(module, "_BATCH", 4)
    queries = [Query(draw(str(n)), new_query("0-new.png").known) for n in range(11)]
    for query, hits in zip(queries, lists(Searcher(gallery).search(queries, 3))):
        assert rows_of(hits) == brute_force(gallery, query)[:3]


@pytest.mark.parametrize(
    ("text", "kind", "shown"),
    [
        ("2018-03-11T09:12:01", "date", "2018-03-11T09:12:01"),
        ("2018-03-11", "date", "2018-03-11T00:00:00"),
        ("2018-03-11T10:00:00+01:00", "date", "2018-03-11T09:00:00"),
        ("30600", "number", "30600"),
        ("", "", ""),
    ],
)
def test_time_parses_dates_and_numbers(text: str, kind: str, shown: str) -> None:
    time = Time.parse(text)
    assert (time.kind, str(time)) == (kind, shown)


@pytest.mark.parametrize("text", ["yesterday", "nan", "inf"])
def test_time_raises_for_words_and_infinity(text: str) -> None:
    with pytest.raises(GalleryError, match="is not a time: write a date"):
        Time.parse(text)
