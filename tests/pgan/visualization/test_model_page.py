"""The page of a model: which queries and mistakes it shows, and what it says where there is nothing."""

from __future__ import annotations

from dataclasses import replace
from html import unescape
from pathlib import Path

import cv2
import numpy as np
import pytest

from detector.common.images import ImageError
from pgan.evaluation import FeatureSet, evaluate
from pgan.visualization.attention import from_features
from pgan.visualization.model_page import write_test_set
from pgan.visualization.retrieval import (
    Pictures,
    first_results,
    rank_features,
    spread_queries,
    surest_mistakes,
)

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
def pictures(tmp_path: Path) -> Pictures:
    for index in range(VEHICLES * EACH):
        shade = np.full((16, 16, 3), 10 * index, np.uint8)
        cv2.imwrite(str(tmp_path / f"{index}.png"), shade)
    return Pictures(tmp_path)


def by_hand(features: FeatureSet) -> list[tuple[int, np.ndarray, np.ndarray]]:
    """Of each query: its row, its distances to the gallery, and which are of its vehicle. No junk here."""
    query, gallery = features.query_and_gallery()
    for row, feature in enumerate(query.features.astype(float)):
        distances = np.square(gallery.features - feature).sum(1)
        yield row, distances, gallery.vehicle_ids == query.vehicle_ids[row]


def test_the_surest_mistakes_are_the_nearest_wrong_first_images(features: FeatureSet) -> None:
    wrong = [
        (distances.min(), row)
        for row, distances, good in by_hand(features)
        if not good[distances.argmin()]
    ]
    assert 2 <= len(wrong) < VEHICLES
    ranked = rank_features("model", features)
    assert surest_mistakes(ranked, 99).tolist() == [row for _, row in sorted(wrong)]
    assert surest_mistakes(ranked, 1).tolist() == [min(wrong)[1]]


def test_the_first_results_and_the_match_are_those_of_the_distances(features: FeatureSet) -> None:
    shown = first_results(rank_features("model", features), range(VEHICLES), 3)
    for (_, distances, good), found in zip(by_hand(features), shown):
        order = distances.argsort()
        assert found.columns == order[:3].tolist()
        assert found.correct == good[order[:3]].tolist()
        assert found.match == order[good[order].argmax()]
        assert found.first_match == good[order].argmax() + 1
        assert found.distances == pytest.approx(distances, rel=1e-4)


def test_queries_are_spread_from_the_best_answered_to_the_worst(features: FeatureSet) -> None:
    result = evaluate(features).rankings[0]
    order = np.argsort(-result.average_precision, kind="stable")
    assert spread_queries(result, 3).tolist() == order[[0, 2, 5]].tolist()
    assert spread_queries(result, 99).tolist() == order.tolist()


def test_the_page_shows_queries_and_mistakes_with_their_ranks(
    features: FeatureSet, pictures: Pictures, tmp_path: Path
) -> None:
    view = from_features(features, pictures)
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
    assert "This model looks at no parts" in html
    assert "not hand-picked" in html
    assert "http" not in html.split("<body>")[1]  # nothing is fetched


def test_a_model_without_mistakes_has_none_to_show(
    features: FeatureSet, pictures: Pictures, tmp_path: Path
) -> None:
    perfect = replace(features, features=np.eye(VEHICLES, dtype=np.float32)[features.vehicle_ids])
    view = from_features(perfect, pictures)
    page = write_test_set(tmp_path / "out", perfect, view, None, MADE, 1, 1)
    assert "There is none: the nearest image of every query" in unescape(page.read_text())
    assert not list(page.parent.glob("mistake*"))


def test_an_image_that_is_not_there_is_named_before_anything_is_written(
    features: FeatureSet, pictures: Pictures, tmp_path: Path
) -> None:
    (tmp_path / "0.png").unlink()
    with pytest.raises(ImageError, match=r"0\.png"):
        write_test_set(
            tmp_path / "out", features, from_features(features, pictures), None, MADE, 6, 2
        )
    assert not (tmp_path / "out").exists()
