from dataclasses import replace
from html import unescape

import cv2
import numpy as np
import pytest

from detector.common.images import ImageError
from pgan.evaluation import FeatureSet, Refinement, evaluate
from pgan.visualization.errors import VisualizationError
from pgan.visualization.evaluation_page import write_evaluation
from tests.pgan.visualization.panel_tiles import grey, is_framed

VEHICLES, EACH = 5, 4


@pytest.fixture
def fleet(tmp_path):
    """Twenty grey images of five vehicles, the first of each the query; grey is 10 x index."""
    root = tmp_path / "images"
    root.mkdir()
    paths = np.array([f"{index}.png" for index in range(VEHICLES * EACH)])
    for index, path in enumerate(paths):
        cv2.imwrite(str(root / path), np.full((16, 16, 3), 10 * index, np.uint8))
    ids = np.repeat(np.arange(VEHICLES), EACH)
    cameras = np.tile(np.arange(EACH), VEHICLES)
    rng = np.random.default_rng(0)
    features = np.eye(VEHICLES)[ids] + 0.5 * rng.standard_normal((len(ids), VEHICLES))
    roles = np.where(cameras == 0, "query", "gallery")
    found = FeatureSet(features.astype(np.float32), ids, cameras, roles, paths)
    return root, replace(found, dataset="Toy cars", protocol="veri776")


def test_write_evaluation_without_images_writes_plots_and_a_page(fleet, tmp_path):
    _, features = fleet
    evaluation = evaluate(features, roc=True)
    page = write_evaluation(tmp_path / "out", features, evaluation)
    written = sorted(path.name for path in page.parent.iterdir())
    assert written == ["cmc.png", "cmc.svg", "index.html", "roc.png", "roc.svg"]
    html = unescape(page.read_text())
    assert "Toy cars" in html
    assert f"{evaluation.metrics()['mAP']:.1f}" in html
    assert html.count(evaluation.protocol.title) >= 3  # of the summary and of both plots
    assert f"{evaluation.tprs()['TPR@FPR=0.01']:.1f}" in html
    assert "hardest" not in html


def test_write_evaluation_without_a_roc_draws_none(fleet, tmp_path):
    _, features = fleet
    page = write_evaluation(tmp_path, features, evaluate(features))
    assert not list(page.parent.glob("roc.*"))
    assert "ROC" not in page.read_text()


def test_write_evaluation_names_each_of_several_evaluations(fleet, tmp_path):
    _, features = fleet
    drawn = evaluate(features, "single-gallery-shot", roc=True)
    page = write_evaluation(
        tmp_path, features, {"model A": evaluate(features, roc=True), "model B": drawn}
    )
    for name in ("cmc.svg", "roc.svg"):
        svg = (tmp_path / name).read_text()
        assert "<!-- model A -->" in svg
        assert "<!-- model B -->" in svg
    html = unescape(page.read_text())
    assert f"{drawn.metrics()['mAP']:.1f} ± {drawn.stds()['mAP']:.1f}" in html
    assert drawn.protocol.title in html


def test_hardest_queries_are_shown_with_the_lowest_average_precision_first(fleet, tmp_path):
    root, features = fleet
    evaluation = evaluate(features, top=3)
    page = write_evaluation(tmp_path / "out", features, evaluation, root, hardest=2, top=3)
    panel = cv2.imread(str(page.parent / "hardest.png"))[..., ::-1]
    ranking = evaluation.rankings[0]
    hardest = ranking.average_precision.argsort(kind="stable")[:2]
    query, gallery = features.query_and_gallery()
    for place, index in enumerate(hardest):
        # From the definition: by distance, no junk here, since a query's camera took only queries.
        order = np.square(query.features[index] - gallery.features).sum(1).argsort()
        good = gallery.vehicle_ids[order] == query.vehicle_ids[index]
        shown = [*order[:3], order[good.argmax()]]
        paths = [query.img_paths[index], *gallery.img_paths[shown]]
        height = (len(panel) - 16) // 2
        row = panel[place * (height + 16) :][:height]
        greys = [grey(row, i, 5, 10) for i in range(5)]
        assert greys == [10 * int(path.split(".")[0]) for path in paths]
        assert [is_framed(row, i, 5) for i in range(1, 5)] == [*good[:3], True]
    html = page.read_text()
    assert f"first match at rank {ranking.first_match[hardest[0]]}" in html
    assert "the hardest first" in html


def test_a_refined_evaluation_is_shown_in_its_refined_order(fleet, tmp_path):
    root, features = fleet
    refined = evaluate(features, refinement=Refinement(rerank=True, k1=3, k2=2), top=3)
    page = write_evaluation(tmp_path / "out", features, refined, root, hardest=1, top=3)
    panel = cv2.imread(str(page.parent / "hardest.png"))[..., ::-1]
    hardest = refined.rankings[0].average_precision.argsort(kind="stable")[0]
    order = refined.rank_lists.nearest.indices[hardest]
    expected = [int(path.split(".")[0]) for path in features.subset("gallery").img_paths[order]]
    assert [grey(panel, i, 5, 10) // 10 for i in range(1, 4)] == expected
    assert "k-reciprocal" in page.read_text()


def test_hardest_queries_of_a_drawn_protocol_are_those_of_its_first_repeat(fleet, tmp_path):
    root, features = fleet
    pool = replace(features, roles=np.full(len(features), "pool"))
    evaluation = evaluate(pool, "one-gallery-image", top=5)
    page = write_evaluation(tmp_path / "out", pool, evaluation, root, hardest=1)
    assert "in the first of 10 repeats" in page.read_text()
    first = next(evaluation.protocol.draws(pool))
    hardest = first.subset("query").img_paths[
        np.nanargmin(evaluation.rankings[0].average_precision)
    ]
    assert f"<h3>{hardest}</h3>" in page.read_text()


@pytest.mark.parametrize("missing", ["0.png", "7.png"])
def test_write_evaluation_raises_for_a_missing_image_before_it_writes_anything(
    fleet, tmp_path, missing
):
    root, features = fleet
    (root / missing).unlink()
    with pytest.raises(ImageError, match=rf"{missing[0]}\.png"):
        write_evaluation(tmp_path / "out", features, evaluate(features, top=15), root, top=15)
    assert not (tmp_path / "out").exists()


def test_write_evaluation_raises_without_an_evaluation_or_rank_lists(fleet, tmp_path):
    root, features = fleet
    with pytest.raises(VisualizationError, match="no evaluation"):
        write_evaluation(tmp_path, features, {})
    with pytest.raises(VisualizationError, match="kept 0: evaluate with top=5"):
        write_evaluation(tmp_path, features, evaluate(features), root)
