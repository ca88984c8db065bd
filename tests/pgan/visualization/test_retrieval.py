from dataclasses import replace

import cv2
import numpy as np
import pytest

from detector.cache import Parts
from detector.common.images import ImageError
from pgan.evaluation import FeatureSet, RankingScores
from pgan.evaluation.distances import feature_distances, matrix_distances
from pgan.evaluation.ranking import rank
from pgan.visualization.panels import GREEN, RED
from pgan.visualization.retrieval import (
    HOW_TO_READ,
    Pictures,
    Ranked,
    VisualizationError,
    compare,
    describe_pick,
    draw_rankings,
    hardest_queries,
    pick_queries,
)


def result(precision):
    precision = np.asarray(precision, float)
    matches = np.where(np.isnan(precision), 0, 3)
    return RankingScores(precision, matches, precision, matches, 100)


def test_queries_are_picked_evenly_from_gain_to_loss():
    baseline = result([0.5, 0.5, np.nan, 0.5, 0.5, 0.5, 0.5])
    pgan = result([0.4, 0.9, np.nan, 0.5, 0.6, 0.1, 0.5])
    # Gains: 1 by .4, 4 by .1, 3 and 6 by 0, 0 by -.1, 5 by -.4; query 2 is not valid.
    assert pick_queries(baseline, pgan, 6).tolist() == [1, 4, 3, 6, 0, 5]
    assert pick_queries(baseline, pgan, 2).tolist() == [1, 5]
    assert pick_queries(baseline, pgan, 1).tolist() == [1]
    assert sorted(pick_queries(baseline, pgan, 99)) == [0, 1, 3, 4, 5, 6]


def test_pick_shows_losses_as_well_as_gains():
    rng = np.random.default_rng(0)
    baseline, pgan = result(rng.random(200)), result(rng.random(200))
    picked = pick_queries(baseline, pgan, 7)
    gain = (pgan.average_precision - baseline.average_precision)[picked]
    assert (np.diff(gain) <= 0).all()
    everything = pgan.average_precision - baseline.average_precision
    assert gain[0] == everything.max()
    assert gain[-1] == everything.min()


def test_pick_needs_the_same_queries():
    with pytest.raises(VisualizationError, match="same queries"):
        pick_queries(result([0.1, 0.2]), result([0.1, np.nan]), 1)
    with pytest.raises(VisualizationError, match="at least 1"):
        pick_queries(result([0.1]), result([0.1]), 0)


def test_captions_say_the_rule():
    assert "PGAN exceeds that of the baseline" in describe_pick("the baseline", "PGAN", 5, 100)
    assert "3%" in HOW_TO_READ


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
    plain = FeatureSet(features, ids, np.array([0, 0, 1, 0, 1, 1]), roles, paths)
    return tmp_path, plain


def result_of(features, distances):
    return rank(distances, features.labels())


def tile(row, index, size=64):
    left = index * (size + 12 + 10)
    return row[: size + 12, left : left + size + 12]


def test_rows_show_the_ranking_without_junk(fleet):
    root, features = fleet
    shown = compare({"baseline": features}, [0], Pictures(root), k=3, tile=64)
    assert shown[0].query == "0.png"
    (ranking,) = shown[0].rankings
    # Gallery images 4, 2, 5: 3 is junk. Only 2 is the vehicle.
    assert [int(tile(ranking.image, i)[38, 38, 0]) for i in range(4)] == [0, 160, 80, 200]
    borders = [tuple(tile(ranking.image, i)[60, 0].tolist()) for i in range(1, 4)]
    assert borders == [RED, GREEN, RED]
    assert ranking.first_match == 2
    assert ranking.average_precision == pytest.approx(0.5)


def test_parts_are_shown_where_a_method_weighs_them(fleet):
    root, plain = fleet
    weighed = replace(plain, part_weights=np.full((6, 4), 0.25, np.float32))
    pictures = Pictures(root, Cache(), num_parts=4)
    shown = compare({"baseline": plain, "PGAN": weighed}, [1, 0], pictures, k=2, tile=64)
    assert [comparison.query for comparison in shown] == ["1.png", "0.png"]
    for comparison in shown:
        baseline, pgan = (ranking.image for ranking in comparison.rankings)
        for index in range(3):
            where = slice(50, 58), slice(16, 30)
            assert np.ptp(tile(baseline, index)[where].astype(int), axis=2).max() == 0
            assert np.ptp(tile(pgan, index)[where].astype(int), axis=2).min() > 0


def test_samples_name_their_parts(fleet):
    root, _ = fleet
    picture = Pictures(root, Cache()).read("1.png")
    assert picture.labels == ["logo"]
    assert Pictures(root).read("1.png").boxes is None


def test_the_hardest_queries_come_first_and_invalid_ones_not_at_all():
    precisions = result([0.4, np.nan, 0.1, 0.9, 0.1])
    assert hardest_queries(precisions, 3).tolist() == [2, 4, 0]
    assert hardest_queries(precisions, 99).tolist() == [2, 4, 0, 3]
    with pytest.raises(VisualizationError, match="at least 1"):
        hardest_queries(precisions, 0)


def test_the_first_match_follows_however_far_down_it_is(fleet):
    root, features = fleet
    distances = matrix_distances([[0.3, 0.0, 0.1, 0.2], [0.5, 0.4, 0.2, 0.1]])
    ranked = Ranked("PGAN", features, result_of(features, distances), distances)
    second, first = draw_rankings(ranked, [1, 0], Pictures(root), 1, with_match=True, tile=64)
    # By these distances: gallery image 5, a match, for the second query; 4, another vehicle, for the
    # first, whose match 2 is third, since 3 is junk.
    assert [int(tile(second.image, i)[38, 38, 0]) for i in range(3)] == [40, 200, 200]
    assert [int(tile(first.image, i)[38, 38, 0]) for i in range(3)] == [0, 160, 80]
    assert [ranking.first_match for ranking in (second, first)] == [1, 3]
    assert tuple(tile(first.image, 1)[60, 0]) == RED
    assert tuple(tile(first.image, 2)[60, 0]) == GREEN


def test_a_query_without_a_match_shows_none(fleet):
    root, features = fleet
    alone = replace(features, vehicle_ids=np.array([1, 2, 3, 3, 2, 2]))
    distances = feature_distances(features.features[:2], features.features[2:])
    ranked = Ranked("PGAN", alone, result_of(alone, distances), distances)
    assert draw_rankings(ranked, [0], Pictures(root), 2)[0].first_match == 0
    with pytest.raises(VisualizationError, match=r"0\.png has no good match"):
        draw_rankings(ranked, [0], Pictures(root), 2, with_match=True)


def test_what_cannot_be_shown_is_named(fleet):
    root, features = fleet
    with pytest.raises(VisualizationError, match="no method"):
        compare({}, [0], Pictures(root))
    shuffled = replace(features, img_paths=features.img_paths[::-1])
    with pytest.raises(VisualizationError, match="A and B were not tested on the same images"):
        compare({"A": features, "B": shuffled}, [0], Pictures(root))
    (root / "4.png").unlink()
    with pytest.raises(ImageError, match=r"4\.png"):
        compare({"A": features}, [0], Pictures(root))
