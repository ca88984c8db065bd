"""The calibrated threshold against counting all pairs one by one."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pgan.evaluation import FeatureSet, RankingError
from pgan.gallery.calibration import calibrate, plot, write_threshold
from pgan.gallery.threshold import Threshold, ThresholdError

VEHICLES, IMAGES, CAMERAS = 30, 6, 4


def validation_set(noise: float = 0.8, seed: int = 0) -> FeatureSet:
    """Each vehicle's first two images are queries; some cameras are shared, some unknown."""
    rng = np.random.default_rng(seed)
    ids = np.repeat(np.arange(VEHICLES), IMAGES)
    features = rng.standard_normal((VEHICLES, 16))[ids]
    features += noise * rng.standard_normal(features.shape)
    features /= np.linalg.norm(features, axis=1, keepdims=True)
    return FeatureSet(
        features.astype(np.float32),
        ids,
        rng.integers(-1, CAMERAS, len(ids)),
        np.where(np.arange(len(ids)) % IMAGES < 2, "query", "gallery"),
        np.array([f"{row:04}.jpg" for row in range(len(ids))]),
        dataset="a validation set",
    )


def all_pairs(given: FeatureSet) -> tuple[np.ndarray, np.ndarray]:
    """Distances of pairs of one vehicle, and of different ones, by looping over the definition."""
    pairs: dict[bool, list[float]] = {True: [], False: []}
    places = range(len(given))
    for query in (row for row in places if given.roles[row] == "query"):
        found = []
        for image in (row for row in places if given.roles[row] == "gallery"):
            same = given.vehicle_ids[query] == given.vehicle_ids[image]
            camera = given.camera_ids[query]
            if same and camera == given.camera_ids[image] and camera >= 0:
                continue  # junk
            difference = given.features[query].astype(float) - given.features[image]
            found.append((bool(same), float(difference @ difference)))
        if any(same for same, _ in found):
            for same, distance in found:
                pairs[same].append(distance)
    return np.array(pairs[True]), np.array(pairs[False])


@pytest.mark.parametrize("rate", [0.002, 0.01, 0.1, 0.5])
@pytest.mark.parametrize("seed", [0, 1])
def test_calibrate_returns_greatest_distance_within_rate(rate: float, seed: int) -> None:
    given = validation_set(seed=seed)
    same, different = all_pairs(given)
    threshold = calibrate(given, rate)
    assert (threshold.same_pairs, threshold.different_pairs) == (len(same), len(different))
    # Distances are told apart to 2^-12 of themselves.
    lower, upper = threshold.distance * (1 - 2**-11), threshold.distance * (1 + 2**-11)
    for measured, distances in (
        (threshold.measured_false_match_rate, different),
        (threshold.true_match_rate, same),
    ):
        assert (distances <= lower).mean() <= measured <= (distances <= upper).mean()
    assert threshold.measured_false_match_rate <= rate
    accepted = round(threshold.measured_false_match_rate * len(different))
    one_more = np.sort(different)[accepted] * (1 + 2**-11)
    assert (different <= one_more).mean() > rate


def test_calibrate_higher_rate_gives_greater_distance() -> None:
    made = [calibrate(validation_set(), rate) for rate in (0.003, 0.03, 0.3)]
    for name in ("distance", "measured_false_match_rate", "true_match_rate"):
        values = [getattr(threshold, name) for threshold in made]
        assert values == sorted(set(values))


def test_curve_contains_threshold_and_rises_to_all_pairs() -> None:
    threshold = calibrate(validation_set(), 0.01)
    curve = threshold.curve
    for rates in (curve.false_match_rate, curve.true_match_rate):
        assert rates == sorted(rates)
        assert rates[-1] == 1
    place = curve.distance.index(threshold.distance)
    assert curve.false_match_rate[place] == threshold.measured_false_match_rate
    assert curve.true_match_rate[place] == threshold.true_match_rate


def test_describe_names_rates_pairs_dataset_and_protocol() -> None:
    threshold = calibrate(validation_set(), 0.01)
    told = threshold.describe()
    for part in (
        f"up to a distance of {threshold.distance:.4g}",
        f"{threshold.same_pairs:,} pairs of one vehicle",
        "of a validation set",
        "asked: 1 %",
        "'cross-camera'",
    ):
        assert part in told


@pytest.mark.parametrize("rate", [0, 1, -0.1, float("nan")])
def test_calibrate_raises_for_rate_out_of_range(rate: float) -> None:
    with pytest.raises(ThresholdError, match="above 0 and below 1"):
        calibrate(validation_set(), rate)


def test_calibrate_raises_for_too_few_pairs_and_suggests_rate() -> None:
    _, different = all_pairs(validation_set())
    with pytest.raises(
        ThresholdError, match="fewer than 10 cannot measure a rate: ask for ([0-9.e-]+)"
    ):
        calibrate(validation_set(), 9 / len(different))
    assert calibrate(validation_set(), 10.5 / len(different)).distance > 0


def test_calibrate_raises_when_all_features_are_equal() -> None:
    given = validation_set()
    with pytest.raises(ThresholdError, match="100 % of the pairs .* no distance has"):
        calibrate(replace(given, features=np.ones_like(given.features)), 0.1)


def test_calibrate_raises_without_query_with_match() -> None:
    given = validation_set()
    strangers = np.where(given.roles == "query", given.vehicle_ids + VEHICLES, given.vehicle_ids)
    with pytest.raises(RankingError, match="good match"):
        calibrate(replace(given, vehicle_ids=strangers), 0.1)


def test_write_threshold_can_be_loaded(tmp_path: Path) -> None:
    threshold = calibrate(validation_set(), 0.01)
    paths = write_threshold(threshold, tmp_path / "new")
    assert [path.name for path in paths] == ["threshold.json", "threshold.png", "threshold.svg"]
    assert Threshold.load(paths[0]) == threshold
    picture = cv2.imread(str(paths[1]))
    assert min(picture.shape[:2]) > 400
    assert picture.std() > 10
    assert "squared Euclidean distance" in paths[2].read_text()
    assert plot(threshold, "svg") == paths[2].read_bytes()


def test_load_raises_for_other_files(tmp_path: Path) -> None:
    path = tmp_path / "threshold.json"
    with pytest.raises(ThresholdError, match="no such file: calibrate a threshold first"):
        Threshold.load(path)
    values = asdict(calibrate(validation_set(), 0.1))
    text = json.dumps(values)
    without = json.dumps({name: value for name, value in values.items() if name != "distance"})
    for damaged in ("", text[: len(text) // 2], "[]", "{}", without, "\udcff"):
        path.write_bytes(damaged.encode("utf-8", "surrogateescape"))
        with pytest.raises(ThresholdError, match="not a threshold, or damaged"):
            Threshold.load(path)
