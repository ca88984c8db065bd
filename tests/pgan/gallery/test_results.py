"""What a search has found: as a table, as JSON, as a panel and a page."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from pgan.evaluation.retrieval import RetrievalResult
from pgan.gallery.adding import add
from pgan.gallery.part_source import PartSource
from pgan.gallery.result_page import draw_panel, write_result_page
from pgan.gallery.results import QueryResult, as_json, as_text, query_results
from pgan.gallery.search import Query, Searcher
from pgan.gallery.store import Entry, Gallery
from pgan.gallery.times import Time
from pgan.visualization.panels import GREEN, RED, pixels
from tests.pgan.gallery.conftest import FakeEmbedder, annotations, embedded

LIMIT = 0.5


@pytest.fixture
def shown(tmp_path: Path) -> Gallery:
    """A gallery of pictures that are there, but for one."""
    images = annotations(3, folder=str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    for image in images[1:]:
        cv2.imwrite(image.path, np.full((24, 32, 3), 90, np.uint8))
    add(tmp_path / "g", FakeEmbedder(), images, PartSource())
    return Gallery.open(tmp_path / "g")


def search(
    gallery: Gallery, limit: float | None = None, k: int = 7, rerank: int = 0
) -> QueryResult:
    seen = embedded("0-new.png")
    labels = [seen.classes[label] for label in seen.parts.labels]
    known = Entry("/new/0-new.png", "", "", Time(), seen.parts, seen.weights, labels)
    query = Query(seen.feature, known)
    found = Searcher(gallery).search([query], k, rerank=rerank)
    return query_results(gallery, [query], found, limit)[0]


def panel_of(result: QueryResult) -> np.ndarray:
    return pixels(draw_panel(result))


def test_table_omits_empty_columns(shown: Gallery) -> None:
    columns, rows = search(shown).table()
    assert columns == ["rank", "distance", "vehicle", "camera", "time", "image"]
    assert [row[0] for row in rows] == [str(rank) for rank in range(1, 8)]
    columns, rows = search(shown, LIMIT, rerank=5).table()
    assert columns[2:4] == ["re-ranked", "same vehicle"]
    assert [row[2] == "" for row in rows] == [False] * 5 + [True] * 2
    assert [row[3] for row in rows] == ["yes" if float(row[1]) <= LIMIT else "no" for row in rows]
    add(shown.path.parent / "h", FakeEmbedder(), [i._replace(vehicle="", camera="", time="")
        for i in annotations(2)], PartSource())  # fmt: skip
    unknown = search(Gallery.open(shown.path.parent / "h"))
    assert unknown.table()[0] == ["rank", "distance", "image"]


def test_text_has_a_table_for_each_query(shown: Gallery) -> None:
    text = as_text([search(shown), search(shown, k=1)])
    assert text.count("/new/0-new.png:") == 2
    assert text.count("| rank |") == 2
    empty = QueryResult(search(shown).query, RetrievalResult.from_rows([[]], [[]]), [])
    assert as_text([empty]) == "/new/0-new.png:\n\nnothing was found"


def test_json_contains_all_results(shown: Gallery) -> None:
    result = search(shown, LIMIT, rerank=3)
    content = json.loads(json.dumps(as_json(shown, [result], LIMIT, {"/bad.png": "is damaged"})))
    assert content["gallery"] == str(shown.path)
    assert (content["images"], content["max_distance"]) == (12, LIMIT)
    assert content["model"] == {
        "type": "pgan",
        "checkpoint": "/pgan.pth",
        "fingerprint": "pgan" * 4,
    }
    assert content["unreadable"] == {"/bad.png": "is damaged"}
    (query,) = content["queries"]
    assert query["query"]["vehicle"] is None
    columns = (result.distances, result.reranked, result.entries, query["results"])
    for distance, reranked, entry, told in zip(*columns, strict=True):
        assert (told["path"], told["distance"]) == (entry.path, distance)
        assert told["same_vehicle"] == (distance <= LIMIT)
        assert told.get("reranked_distance") == reranked
        assert (told["vehicle"], told["camera"], told["time"]) == (
            entry.vehicle,
            entry.camera,
            str(entry.time),
        )
        assert [part["label"] for part in told["parts"]] == entry.labels
    assert "same_vehicle" not in search(shown).to_json()["results"][0]


def test_panel_frames_same_vehicles(shown: Gallery) -> None:
    result = search(shown, LIMIT, k=11)
    assert {True, False} == set(result.same_vehicle())
    panel = panel_of(result)
    for colour in (GREEN, RED):
        assert (panel == colour).all(2).any()
    plain = panel_of(search(shown, k=11))
    assert not (plain == GREEN).all(2).any()
    assert panel.shape == plain.shape
    assert panel.shape[1] > panel.shape[0]  # two rows of six
    assert panel[-1, -1].tolist() == [255, 255, 255]


def test_page_shows_and_explains_each_query(shown: Gallery, tmp_path: Path) -> None:
    found = [search(shown, LIMIT), search(shown, LIMIT, k=2)]
    page = write_result_page(tmp_path / "page", found, {"Model": "PGAN"}, "Two queries.")
    text = page.read_text()
    assert {file.name for file in page.parent.iterdir()} == {
        "index.html",
        "query_1.png",
        "query_2.png",
    }
    for words in ("Two queries.", "at most 0.5", "attention weight", "Query 2", "PGAN"):
        assert words in text
    panel = cv2.imread(str(page.parent / "query_2.png"))[..., ::-1]
    assert np.array_equal(panel, panel_of(found[1]))


def test_panel_shows_missing_image_as_grey_tile(shown: Gallery) -> None:
    gone = str(shown.path.parent / "data/0-0.png")
    result = search(shown, k=12)
    assert gone in {entry.path for entry in result.entries}
    assert panel_of(result).dtype == np.uint8
