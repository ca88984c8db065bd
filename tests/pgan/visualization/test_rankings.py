"""Panels of rank lists: in the order in which they were scored, whatever they were refined by."""

from dataclasses import replace

import cv2
import numpy as np
import pytest

from detector.cache import Parts
from detector.common.images import ImageError
from pgan.evaluation import FeatureSet, Refinement, evaluate
from pgan.evaluation.distances import DistanceChunks, matrix_distances
from pgan.visualization.errors import VisualizationError
from pgan.visualization.image_reader import ImageReader
from pgan.visualization.panels import HOW_TO_READ
from pgan.visualization.rankings import compare, draw_rankings
from tests.pgan.visualization.panel_tiles import grey, is_framed, tile

COLUMNS = 5  # of a panel with at most four results


class Cache:
    """One part on the left half of every image."""

    classes = ("wheel", "logo")

    def parts(self, image, num_parts=None):
        boxes = np.array([[4, 20, 20, 36]], np.float32)
        return Parts(boxes, np.ones(1, np.float32), np.array([1]), (40, 40))


@pytest.fixture
def fleet(tmp_path):
    """Two queries, four gallery images: the second by the first query's own camera."""
    ids = np.array([1, 2, 1, 1, 2, 2])
    paths = np.array([f"{index}.png" for index in range(6)])
    for index, path in enumerate(paths):
        cv2.imwrite(str(tmp_path / path), np.full((40, 40, 3), 40 * index, np.uint8))
    angles = np.array([0.0, 1.0, 0.3, 0.0, 0.1, 1.2])
    features = np.stack([np.cos(angles), np.sin(angles)], 1).astype(np.float32)
    roles = np.array(["query"] * 2 + ["gallery"] * 4)
    feature_set = FeatureSet(features, ids, np.array([0, 0, 1, 0, 1, 1]), roles, paths)
    return tmp_path, feature_set


def greys(panel, count):
    return [grey(panel.image, index, COLUMNS, 40) for index in range(count)]


def by_distances(monkeypatch, features, distances, top):
    """An evaluation by given distances."""
    monkeypatch.setattr(
        "pgan.evaluation.scoring.feature_distances",
        lambda *_: matrix_distances(np.array(distances, np.float32)),
    )
    return evaluate(features, top=top)


def test_captions_name_the_least_weight_that_is_written():
    assert "3%" in HOW_TO_READ


def test_compare_shows_the_ranking_without_junk(fleet):
    root, features = fleet
    shown = compare({"baseline": evaluate(features, top=3)}, [0], ImageReader(root), top=3)
    assert list(shown) == ["0.png"]
    (panel,) = shown["0.png"]
    # Gallery images 4, 2, 5: 3 is junk. Only 2 is the vehicle.
    assert greys(panel, 4) == [0, 160, 80, 200]
    assert [is_framed(panel.image, i, COLUMNS) for i in range(1, 4)] == [False, True, False]
    assert panel.first_match == 2
    assert panel.average_precision == pytest.approx(0.5)


def test_compare_shows_parts_where_a_method_has_weights(fleet):
    root, features = fleet
    weighed = replace(features, part_weights=np.full((6, 4), 0.25, np.float32))
    reader = ImageReader(root, Cache(), num_parts=4)
    evaluations = {"baseline": evaluate(features, top=2), "PGAN": evaluate(weighed, top=2)}
    shown = compare(evaluations, [1, 0], reader, top=2)
    assert list(shown) == ["1.png", "0.png"]
    for panels in shown.values():
        baseline, pgan = (panel.image for panel in panels)
        for index in range(3):
            cuts = [tile(image, index, COLUMNS) for image in (baseline, pgan)]
            coloured = [np.ptp(cut[80:-30, 30:-30].astype(int), axis=2) > 20 for cut in cuts]
            assert not coloured[0].any()
            assert coloured[1].any()


def test_image_reader_names_parts(fleet):
    root, _ = fleet
    image = ImageReader(root, Cache()).read("1.png")
    assert image.labels == ["logo"]
    assert ImageReader(root).read("1.png").boxes is None


def test_draw_rankings_adds_the_first_match_however_far_down_it_is(fleet, monkeypatch):
    root, features = fleet
    evaluation = by_distances(
        monkeypatch, features, [[0.3, 0.0, 0.1, 0.2], [0.5, 0.4, 0.2, 0.1]], top=1
    )
    panels = draw_rankings("PGAN", evaluation, [1, 0], ImageReader(root), 1, with_match=True)
    # By these distances: gallery image 5, a match, for the second query; 4, another vehicle, for the
    # first, whose match 2 is third, since 3 is junk.
    second, first = panels
    assert greys(second, 3) == [40, 200, 200]
    assert greys(first, 3) == [0, 160, 80]
    assert [panel.first_match for panel in panels] == [1, 3]
    assert [is_framed(first.image, i, COLUMNS) for i in (1, 2)] == [False, True]


@pytest.mark.parametrize(
    "refinement",
    [Refinement(rerank=True, k1=2, k2=2, weight=0.1), Refinement(expand_queries=2)],
    ids=["re-ranking", "query expansion"],
)
def test_panels_of_a_refined_evaluation_show_the_refined_order(tmp_path, refinement):
    rng = np.random.default_rng(1)
    ids = np.repeat(np.arange(6), 4)
    paths = np.array([f"{index}.png" for index in range(24)])
    for index, path in enumerate(paths):
        cv2.imwrite(str(tmp_path / path), np.full((16, 16, 3), 10 * index, np.uint8))
    features = np.eye(6)[ids] + 0.6 * rng.standard_normal((24, 6))
    roles = np.where(np.arange(24) % 4, "gallery", "query")
    cameras = np.full(24, -1)
    feature_set = FeatureSet(features.astype(np.float32), ids, cameras, roles, paths)

    refined = evaluate(feature_set, refinement=refinement, top=4)
    raw = evaluate(feature_set, top=4)
    gallery_paths = feature_set.subset("gallery").img_paths
    changed = np.flatnonzero(
        (refined.rank_lists.nearest.indices != raw.rank_lists.nearest.indices).any(axis=1)
    )
    assert len(changed)
    for query in changed:
        (panel,) = draw_rankings("refined", refined, [query], ImageReader(tmp_path), 4)
        shown = [grey(panel.image, i, COLUMNS, 10) // 10 for i in range(1, 5)]
        order = gallery_paths[refined.rank_lists.nearest.indices[query]]
        assert [f"{index}.png" for index in shown] == order.tolist()
        # The panel agrees with the score that stands above it.
        good = ids[shown] == ids[4 * query]
        if panel.first_match <= 4:
            assert good.argmax() + 1 == panel.first_match
        else:
            assert not good.any()


def test_drawing_computes_no_distance(fleet, monkeypatch):
    root, features = fleet
    evaluation = evaluate(features, top=3)

    def refuse(*_):
        raise AssertionError("distances were computed again")

    monkeypatch.setattr(DistanceChunks, "__post_init__", refuse)
    assert draw_rankings("PGAN", evaluation, [0, 1], ImageReader(root), 3, with_match=True)


def test_draw_rankings_raises_for_a_query_without_a_match(fleet):
    root, features = fleet
    alone = replace(features, vehicle_ids=np.array([1, 2, 3, 3, 2, 2]))
    evaluation = evaluate(alone, top=2)
    assert draw_rankings("PGAN", evaluation, [0], ImageReader(root), 2)[0].first_match == 0
    with pytest.raises(VisualizationError, match=r"0\.png has no good match"):
        draw_rankings("PGAN", evaluation, [0], ImageReader(root), 2, with_match=True)


def test_compare_raises_when_methods_cannot_be_compared(fleet):
    root, features = fleet
    reader, evaluation = ImageReader(root), evaluate(features, top=5)
    with pytest.raises(VisualizationError, match="no method"):
        compare({}, [0], reader)
    shuffled = evaluate(replace(features, img_paths=features.img_paths[::-1]), top=5)
    with pytest.raises(VisualizationError, match="A and B were not evaluated on the same images"):
        compare({"A": evaluation, "B": shuffled}, [0], reader)
    with pytest.raises(VisualizationError, match=r"A: 5 images .* kept 3: evaluate with top=5"):
        compare({"A": evaluate(features, top=3)}, [0], reader, top=5)
    with pytest.raises(VisualizationError, match="kept 0: evaluate with top=5"):
        compare({"A": evaluate(features)}, [0], reader, top=5)
    (root / "4.png").unlink()
    with pytest.raises(ImageError, match=r"4\.png"):
        compare({"A": evaluation}, [0], reader)
