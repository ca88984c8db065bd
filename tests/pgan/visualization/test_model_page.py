"""The page of a model: which queries and errors it shows, and what it says if there are none."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from html import unescape
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.common.images import ImageError
from pgan.evaluation import FeatureSet, evaluate
from pgan.visualization.attention import from_features
from pgan.visualization.image_reader import ImageReader
from pgan.visualization.model_page import write_test_set
from pgan.visualization.query_choice import most_confident_errors, spread_queries

VEHICLES, EACH = 6, 4
MADE = {"Model": "PGAN"}


@pytest.fixture
def features() -> FeatureSet:
    """Twenty-four images of six vehicles, of each the first the query; some are found, some are not."""
    rng = np.random.default_rng(3)
    ids = np.repeat(np.arange(VEHICLES), EACH)
    cameras = np.tile(np.arange(EACH), VEHICLES)
    made = np.eye(VEHICLES)[ids] + 0.7 * rng.standard_normal((len(ids), VEHICLES))
    roles = np.where(cameras == 0, "query", "gallery")
    paths = np.array([f"{index}.png" for index in range(len(ids))])
    kind = {"protocol": "veri776", "dataset": "Toy cars"}
    return FeatureSet(made.astype(np.float32), ids, cameras, roles, paths, **kind)


@pytest.fixture
def reader(tmp_path: Path) -> ImageReader:
    for index in range(VEHICLES * EACH):
        shade = np.full((16, 16, 3), 10 * index, np.uint8)
        cv2.imwrite(str(tmp_path / f"{index}.png"), shade)
    return ImageReader(tmp_path)


def by_hand(features: FeatureSet) -> Iterator[tuple[int, np.ndarray, np.ndarray]]:
    """Yield each query's row, its distances to the gallery, and which images match. There is no junk."""
    query, gallery = features.query_and_gallery()
    for row, feature in enumerate(query.features.astype(float)):
        distances = np.square(gallery.features - feature).sum(1)
        yield row, distances, gallery.vehicle_ids == query.vehicle_ids[row]


def test_most_confident_errors_are_the_nearest_wrong_first_images(features: FeatureSet) -> None:
    wrong = [
        (distances.min(), row)
        for row, distances, good in by_hand(features)
        if not good[distances.argmin()]
    ]
    assert 2 <= len(wrong) < VEHICLES
    evaluation = evaluate(features, top=1)
    scores, nearest = evaluation.rankings[0], evaluation.rank_lists.nearest
    assert most_confident_errors(scores, nearest, 99).tolist() == [row for _, row in sorted(wrong)]
    assert most_confident_errors(scores, nearest, 1).tolist() == [min(wrong)[1]]


def test_rank_lists_hold_the_first_results_and_the_nearest_match(features: FeatureSet) -> None:
    evaluation = evaluate(features, top=3)
    lists, first_match = evaluation.rank_lists, evaluation.rankings[0].first_match
    for row, distances, good in by_hand(features):
        order = distances.argsort()
        assert lists.nearest.indices[row].tolist() == order[:3].tolist()
        assert lists.nearest.matches[row].tolist() == good[order[:3]].tolist()
        assert lists.nearest.distances[row] == pytest.approx(distances[order[:3]], rel=1e-4)
        match = order[good[order].argmax()]
        assert lists.nearest_matches.indices[row].tolist() == [match]
        assert lists.nearest_matches.distances[row] == pytest.approx(distances[match], rel=1e-4)
        assert first_match[row] == good[order].argmax() + 1


def test_spread_queries_range_from_the_best_to_the_worst(features: FeatureSet) -> None:
    result = evaluate(features).rankings[0]
    order = np.argsort(-result.average_precision, kind="stable")
    assert spread_queries(result, 3).tolist() == order[[0, 2, 5]].tolist()
    assert spread_queries(result, 99).tolist() == order.tolist()


def test_write_test_set_shows_queries_and_errors_with_their_ranks(
    features: FeatureSet, reader: ImageReader, tmp_path: Path
) -> None:
    view = from_features(features, reader)
    page = write_test_set(tmp_path / "out", features, view, None, MADE, 2, 2)
    written = {path.name for path in page.parent.iterdir()}
    assert {"query_1.png", "query_2.png", "mistake_1.png", "mistake_2.png"} <= written
    html = unescape(page.read_text())
    result = evaluate(features).rankings[0]
    worst = int(np.argmin(result.average_precision))
    rank = result.first_match[worst]
    precision = 100 * result.average_precision[worst]
    path = features.subset("query").img_paths[worst]
    assert f"{path}: average precision {precision:.1f}%, first good match at rank {rank}." in html
    assert "This model uses no parts" in html
    assert "not hand-picked" in html
    assert "http" not in html.split("<body>")[1]  # nothing is fetched


def test_write_test_set_without_errors_says_so(
    features: FeatureSet, reader: ImageReader, tmp_path: Path
) -> None:
    perfect = replace(features, features=np.eye(VEHICLES, dtype=np.float32)[features.vehicle_ids])
    view = from_features(perfect, reader)
    page = write_test_set(tmp_path / "out", perfect, view, None, MADE, 1, 1)
    assert "There is none: the nearest image of every query shows" in unescape(page.read_text())
    assert not list(page.parent.glob("mistake*"))


def test_write_test_set_raises_for_a_missing_image_before_it_writes_anything(
    features: FeatureSet, reader: ImageReader, tmp_path: Path
) -> None:
    (tmp_path / "0.png").unlink()
    with pytest.raises(ImageError, match=r"0\.png"):
        write_test_set(
            tmp_path / "out", features, from_features(features, reader), None, MADE, 6, 2
        )
    assert not (tmp_path / "out").exists()
