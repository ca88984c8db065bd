import json
from dataclasses import replace

import numpy as np
import pytest

from pgan.benchmarks.ranking_reference import literal_evaluate
from pgan.evaluation import (
    PROTOCOLS,
    FeatureSetError,
    RankingError,
    Refinement,
    evaluate,
    load_features,
    save_features,
)


def literal_of(draw):
    query, gallery = draw.query_and_gallery()
    differences = query.features[:, None].astype(float) - gallery.features[None]
    labels = query.vehicle_ids, gallery.vehicle_ids, query.camera_ids, gallery.camera_ids
    return literal_evaluate((differences**2).sum(2), *labels)


@pytest.mark.parametrize("name", ["cross-camera", "vric", "vehicleid-800", "multi-gallery-shot"])
def test_evaluate_returns_means_of_the_literal_definitions_over_the_repeats(feature_set, name):
    features = feature_set(role=None)
    results = [literal_of(draw) for draw in PROTOCOLS[name].draws(features)]
    evaluation = evaluate(features, name)
    expected = {
        "mAP": [100 * r.mean_average_precision for r in results],
        "mINP": [100 * r.mean_inp for r in results],
        "Rank-1": [100 * r.cmc(1) for r in results],
        "Rank-3": [100 * r.cmc(3) for r in results],
    }
    metrics, stds = evaluation.metrics((1, 3)), evaluation.stds((1, 3))
    assert metrics == pytest.approx({k: np.mean(v) for k, v in expected.items()}, rel=1e-12)
    if len(results) == 1:
        assert stds == {}
    else:
        assert stds == pytest.approx({k: np.std(v, ddof=1) for k, v in expected.items()}, rel=1e-9)
        assert stds["mAP"] > 0


def test_evaluate_uses_the_given_protocol_or_that_of_the_features_or_cross_camera(feature_set):
    assert evaluate(feature_set(protocol="vehicleid-800")).protocol.name == "vehicleid-800"
    assert evaluate(feature_set(protocol="veri776"), "vehicleid-1600").protocol.seed == 0
    assert evaluate(feature_set(role=None)).protocol.name == "cross-camera"
    own = replace(PROTOCOLS["vehicleid-800"], name="own", repeats=2, seed=5)
    assert len(evaluate(feature_set(), own).rankings) == 2


def test_evaluation_describes_its_protocol_in_text_and_json(feature_set):
    evaluation = evaluate(feature_set(), "vehicleid-800", roc=True)
    text = evaluation.describe()
    for part in (
        "'vehicleid-800'",
        "one random image of each vehicle",
        "48 queries",
        "12 gallery",
        "seed 0",
        "NOT its test set, this one has 12 vehicles",
    ):
        assert part in text
    stored = json.loads(json.dumps(evaluation.to_dict((1, 5), (0.01,))))
    assert stored["dataset"] == "a test set"
    assert stored["protocol"] == PROTOCOLS["vehicleid-800"].to_dict()
    assert stored["refinement"] == "none"
    assert stored["counts"] == {
        "queries": 48,
        "queries_without_match": 0,
        "gallery": 12,
        "vehicles": 12,
        "repeats": 10,
    }
    assert set(stored["metrics"]) == {"mAP", "mINP", "Rank-1", "Rank-5", "TPR@FPR=0.01"}
    assert set(stored["stds"]) == {"mAP", "mINP", "Rank-1", "Rank-5"}


def test_describe_reports_only_a_test_set_of_another_size(feature_set):
    assert "NOT" not in evaluate(feature_set(), "single-gallery-shot").describe()
    assert "NOT" not in evaluate(feature_set(800, 2), "vehicleid-800").describe()


@pytest.mark.parametrize("name", ["cross-camera", "vehicleid-800"])
@pytest.mark.parametrize("refinement", [None, Refinement(rerank=True, k1=4), Refinement(3)])
def test_evaluate_is_independent_of_chunk_size_and_progress_bar(
    feature_set, name, refinement, monkeypatch, capsys
):
    monkeypatch.setattr("pgan.evaluation.scoring._BAR_DELAY", 0)
    features = feature_set(role=None)
    one = evaluate(features, name, refinement=refinement, roc=True)
    two = evaluate(features, name, refinement=refinement, roc=True, chunk_size=7, progress=True)
    assert one.to_dict() == two.to_dict()
    assert f"{name}, 1 of" in capsys.readouterr().err


def test_evaluate_counts_vehicles_with_a_single_image(feature_set):
    features = feature_set()
    features = features.take(np.r_[0 : len(features) - 4])  # the last vehicle has one image left
    assert evaluate(features, "single-gallery-shot").counts()["queries"] == 44
    counts = evaluate(features, "multi-gallery-shot").counts()
    assert (counts["queries"], counts["queries_without_match"]) == (11, 1)


def test_evaluate_raises_for_bad_features_and_protocols(feature_set):
    features = feature_set()
    bad = features.features.copy()
    bad[7, 3], bad[9, 0], bad[9, 1] = np.nan, np.inf, -np.inf
    with pytest.raises(
        RankingError, match=r"0007.jpg: its feature holds NaN .* 1 more of 60 images"
    ):
        evaluate(replace(features, features=bad))
    with pytest.raises(RankingError, match="device 'cuda:77' cannot be used .*use 'cpu'"):
        evaluate(features, "vehicleid-800", device="cuda:77")
    with pytest.raises(RankingError, match="no protocol named 'mine'"):
        evaluate(replace(features, protocol="mine"))
    with pytest.raises(
        RankingError, match="'cross-camera' takes queries and gallery as the data set lists"
    ):
        evaluate(features)
    one_camera = replace(feature_set(role=None), camera_ids=np.zeros(60, int))
    with pytest.raises(RankingError, match="none of the 12 queries has a good match"):
        evaluate(one_camera)


def test_feature_file_keeps_protocol_and_data_set(feature_set, tmp_path):
    path = save_features(tmp_path / "features.npz", feature_set(protocol="vehicleid-800"))
    features = load_features(path)
    assert (features.protocol, features.dataset) == ("vehicleid-800", "a test set")
    with np.load(path) as file:
        older = {name: file[name] for name in file.files if name not in ("protocol", "dataset")}
    np.savez(path, **older)
    assert load_features(path).protocol == ""
    for name, array, message in (
        ("features", older["features"][:, 0], "features must be a matrix of floats"),
        ("features", older["features"].astype(str), "features must be a matrix of floats"),
        ("roles", np.str_("query"), "labels must be lists"),
    ):
        np.savez(path, **{**older, name: array})
        with pytest.raises(FeatureSetError, match=message):
            load_features(path)
