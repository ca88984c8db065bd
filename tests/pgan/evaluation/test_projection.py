"""PCA and whitening against the definition, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from pgan.engine import ReIDMetric
from pgan.evaluation import (
    FeatureSet,
    ProjectionError,
    RankingError,
    Refinement,
    evaluate,
    fit_projection,
    load_features,
    load_projection,
    save_features,
    save_projection,
)
from pgan.evaluation.table import score_table

MODEL = "a" * 64


@pytest.fixture
def training(feature_set) -> Callable[..., FeatureSet]:
    """Training features of 16 dimensions; each has another variance."""

    def make(**changes) -> FeatureSet:
        features = feature_set(vehicles=30, role="train")
        scaled = features.features * np.linspace(1, 0.2, 16, dtype=np.float32) + 0.3
        return replace(features, features=scaled, model=MODEL, **changes)

    return make


@pytest.fixture
def testing(feature_set) -> FeatureSet:
    return replace(feature_set(role=None), model=MODEL)


def brute_force(training: np.ndarray, features: np.ndarray, kept: int, whiten: bool):
    """By the definition: eigenvectors of the covariance, one image and one component at a time."""
    rows = training.astype(np.float64)
    mean = sum(rows) / len(rows)
    covariance = sum(np.outer(row - mean, row - mean) for row in rows) / (len(rows) - 1)
    values, vectors = np.linalg.eig(covariance)
    order = np.argsort(-values)[:kept]
    made = np.zeros((len(features), kept))
    for i, feature in enumerate(features.astype(np.float64)):
        for j, k in enumerate(order):
            made[i, j] = (feature - mean) @ vectors[:, k] / (values[k] ** 0.5 if whiten else 1)
        made[i] /= sum(made[i] ** 2) ** 0.5
    return made, values[order].sum() / values.sum()


@pytest.mark.parametrize("whiten", [False, True])
@pytest.mark.parametrize("dims", [1, 5, 16])
def test_projection_equals_its_definition(training, testing, dims, whiten):
    projection = fit_projection(training(), dims, whiten)
    projected = projection.project(testing)
    expected, share = brute_force(training().features, testing.features, dims, whiten)
    signs = np.sign((projected.features * expected).sum(0))  # an eigenvector's is nobody's choice
    np.testing.assert_allclose(projected.features, signs * expected, atol=2e-5)
    assert projected.features.dtype == np.float32
    assert projection.variance_kept == pytest.approx(share)
    assert projection.num_features == 150
    assert str(projection) == f"PCA 16 -> {dims}{', whitened' * whiten}"
    assert projected.projection == str(projection)
    np.testing.assert_array_equal(projected.img_paths, testing.img_paths)


def test_whitening_gives_training_features_unit_covariance(training):
    projection = fit_projection(training(), whiten=True)
    rows = projection.components / np.sqrt(projection.variances)[:, None]
    white = (training().features - projection.mean) @ rows.T
    np.testing.assert_allclose(np.cov(white.T), np.eye(16), atol=1e-4)


def test_fraction_of_variance_keeps_the_fewest_dimensions(training):
    whole = fit_projection(training())
    shares = np.cumsum(whole.variances) / whole.variances.sum()
    for share in (0.3, 0.8, 0.999):
        projection = fit_projection(training(), share)
        kept = len(projection.components)
        assert projection.variance_kept >= share
        assert kept == 1 or shares[kept - 2] < share
    assert len(whole.components) == 16


def test_projection_to_all_dimensions_keeps_distances(training, testing):
    centred = testing.features - training().features.mean(0)
    centred /= np.linalg.norm(centred, axis=1, keepdims=True)
    projected = fit_projection(training()).project(testing)
    assert evaluate(projected).metrics() == pytest.approx(
        evaluate(replace(testing, features=centred)).metrics()
    )


def test_whitening_does_not_amplify_directions_without_variance(training):
    flat = training().features.copy()
    flat[:, 3] = 0.25
    flat[:, 5] = flat[:, 6]
    features = replace(training(), features=flat)
    projection = fit_projection(features, whiten=True)
    assert len(projection.components) == 14
    assert np.abs(projection.apply(flat)).max() <= 1
    with pytest.raises(
        ProjectionError, match="dims=15: 150 features of 16 dimensions vary in only 14"
    ):
        fit_projection(features, 15)


def test_projection_of_the_mean_is_finite(training):
    projection = fit_projection(training(), 4, whiten=True)
    assert np.isfinite(projection.apply(projection.mean[None])).all()


@pytest.mark.parametrize("dims", [0, -1, 0.0, 1.5, 17])
def test_fit_projection_raises_for_an_invalid_number_of_dimensions(training, dims):
    with pytest.raises(ProjectionError, match=f"dims={dims}"):
        fit_projection(training(), dims)


def test_fit_projection_raises_for_unsuitable_features(training):
    with pytest.raises(ProjectionError, match="these do not say of which; test again with --dump"):
        fit_projection(replace(training(), model=""))
    with pytest.raises(ProjectionError, match="these are projected already"):
        fit_projection(fit_projection(training(), 8).project(training()))
    with pytest.raises(ProjectionError, match="needs at least 2 features to be fitted on, not 1"):
        fit_projection(training().take(np.array([0])))
    bad = training().features.copy()
    bad[7, 3] = np.nan
    with pytest.raises(RankingError, match=r"0007.jpg: its feature holds NaN"):
        fit_projection(replace(training(), features=bad))
    same = np.ones_like(bad)
    with pytest.raises(ProjectionError, match="vary in only 0"):
        fit_projection(replace(training(), features=same))


def test_project_raises_for_features_of_another_model(training, testing, tmp_path):
    path = save_projection(tmp_path / "pca.npz", fit_projection(training(), 8))
    projection = load_projection(path)
    for changes, message in (
        (
            {"model": "b" * 64},
            rf"{path} was fitted on the features of another model \(aaaaaaaaaaaa,",
        ),
        ({"model": ""}, "do not say which model computed them.* test again with --dump"),
        ({"features": testing.features[:, :9]}, f"{path} was fitted on features of 16 .* have 9"),
        ({"projection": "PCA 64 -> 16"}, r"projected already \(PCA 64 -> 16\)"),
    ):
        with pytest.raises(ProjectionError, match=message):
            projection.project(replace(testing, **changes))


def test_projection_file_keeps_every_bit_and_its_provenance(training, testing, tmp_path):
    for whiten in (False, True):
        made = fit_projection(training(), 6, whiten)
        read = load_projection(save_projection(tmp_path / "new/pca.npz", made))
        np.testing.assert_array_equal(
            made.project(testing).features, read.project(testing).features
        )
        for name in ("whiten", "num_features", "variance_kept", "model", "dataset"):
            assert getattr(read, name) == getattr(made, name)
        assert read.path == str(tmp_path / "new/pca.npz")
    with np.load(tmp_path / "new/pca.npz", allow_pickle=False) as file:
        assert all(file[name].dtype.kind in "fiUb" for name in file.files)


def test_fit_projection_is_reproducible(training):
    one, two = fit_projection(training(), 8), fit_projection(training(), 8)
    np.testing.assert_array_equal(one.components, two.components)


@pytest.mark.parametrize(
    "change",
    [
        {"variances": np.float32([1, 0])},
        {"components": np.array([["a", "b"], ["c", "d"]])},
        {"whiten": "no"},
        {"model": 7},
        {"variance_kept": float("nan")},
    ],
)
def test_load_projection_raises_for_invalid_values(training, tmp_path, change) -> None:
    fitted = fit_projection(training(), 2)
    save_projection(tmp_path / "a.npz", replace(fitted, **change))
    with pytest.raises(ProjectionError, match=r"a.npz: its arrays (do not match|do not form)"):
        load_projection(tmp_path / "a.npz")


def test_load_projection_raises_for_bad_files(training, testing, tmp_path):
    with pytest.raises(ProjectionError, match=r"none.npz: no such file; tools/fit_projection.py"):
        load_projection(tmp_path / "none.npz")
    with pytest.raises(ProjectionError, match=r"must end in \.npz"):
        save_projection(tmp_path / "pca.pkl", fit_projection(training()))
    path = tmp_path / "bad.npz"
    path.write_bytes(b"not a zip")
    with pytest.raises(ProjectionError, match=r"bad.npz: not a projection, or damaged"):
        load_projection(path)
    with pytest.raises(ProjectionError, match="its arrays do not form a projection"):
        load_projection(save_features(path, testing))
    with np.load(save_projection(path, fit_projection(training()))) as file:
        arrays = dict(file)
    for name, value in (
        ("mean", arrays["mean"][1:]),
        ("variances", arrays["variances"][0]),
        ("components", np.full((16, 16), np.nan)),
    ):
        np.savez(path, **{**arrays, name: value})
        with pytest.raises(ProjectionError, match=r"bad.npz: its arrays "):
            load_projection(path)


def records(features: FeatureSet) -> list[dict]:
    singular = {"features": "feature", "vehicle_ids": "vehicle_id", "camera_ids": "camera_id"}
    names = {**singular, "roles": "role", "img_paths": "img_path"}
    columns = {short: getattr(features, long) for long, short in names.items()}
    return [dict(zip(columns, row)) for row in zip(*columns.values())]


def test_metric_ranks_and_dumps_projected_features(training, testing, tmp_path):
    path = save_projection(tmp_path / "pca.npz", fit_projection(training(), 4, whiten=True))
    metric = ReIDMetric(projection=path, dump=tmp_path / "features.npz")
    metric.model = MODEL
    metric.process(None, records(testing))
    expected = evaluate(load_projection(path).project(testing))
    assert metric.evaluate(len(testing))["reid/mAP"] == expected.metrics()["mAP"]
    kept = load_features(tmp_path / "features.npz")
    assert kept.features.shape == (len(testing), 4)
    assert (kept.model, kept.projection) == (MODEL, "PCA 16 -> 4, whitened")
    assert evaluate(kept).metrics() == expected.metrics()
    metric.model = "b" * 64
    metric.process(None, records(testing))
    with pytest.raises(ProjectionError, match="of another model"):
        metric.evaluate(len(testing))


def test_metric_dumps_training_features_and_ranks_none(training, tmp_path):
    metric = ReIDMetric(dump=tmp_path / "features.npz")
    metric.model = MODEL
    metric.process(None, records(training()))
    assert metric.evaluate(150) == {}
    kept = load_features(tmp_path / "features.npz")
    assert set(kept.roles) == {"train"}
    np.testing.assert_array_equal(kept.features, training().features)


def test_evaluation_reports_its_projection(training, testing):
    plain, projected = evaluate(testing), evaluate(fit_projection(training(), 4).project(testing))
    assert plain.provenance()["projection"] == "none"
    assert "projection" not in plain.describe()
    assert projected.provenance()["projection"] == "PCA 16 -> 4"
    assert "projection: PCA 16 -> 4; refinement: none" in projected.describe()
    again = evaluate(
        fit_projection(training(), 4).project(testing), refinement=Refinement(expand_queries=2)
    )
    rows = score_table([plain, projected, again]).splitlines()[2:]
    assert [row.split("|")[2].strip() for row in rows] == [
        "none",
        "PCA 16 -> 4",
        "PCA 16 -> 4, then average query expansion (K=2)",
    ]
