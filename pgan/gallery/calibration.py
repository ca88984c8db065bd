"""Calibrate the distance up to which two images count as the same vehicle, at a given false-match rate.

The calibration uses features of a validation split by the gallery's own model.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from mmengine.config import Config

from detector.common.files import write_bytes
from pgan.evaluation import FeatureSet, Protocol, RocCurve, evaluate, load_features
from pgan.gallery.embedding import Embedder
from pgan.gallery.errors import GalleryError
from pgan.gallery.images import without_parts
from pgan.gallery.part_source import PartSource
from pgan.gallery.store import Gallery
from pgan.gallery.threshold import Curve, Threshold, ThresholdError
from pgan.visualization.plots import COLOURS, render

_MIN_FALSE_MATCHES = 10  # that measure a rate
_POINTS = 400  # of the stored curve, more than a plot shows
_FIX = "calibrate on features of the gallery's own model"


def features_of_file(gallery: Gallery, path: str) -> FeatureSet:
    """Load features that ``tools/test.py --dump`` wrote.

    Raises:
        FeatureSetError: The file cannot be read.
        GalleryError: The features are projected or, as far as the file shows, by another model.
    """
    features = load_features(path)
    sizes = features.features.shape[1], gallery.dimensions
    if sizes[0] != sizes[1] or features.projection:
        projection = f", projected by {features.projection}" * bool(features.projection)
        raise GalleryError(
            f"{path} has features of {sizes[0]} dimensions{projection} and {gallery.path} of {sizes[1]}: "
            f"{_FIX}"
        )
    if features.model not in ("", gallery.model["facts"]["its weights"]):
        raise GalleryError(f"{path} has features by another model than {gallery.path}: {_FIX}")
    return features


def features_of_config(
    embedder: Embedder, config: Config, parts: PartSource, progress: bool = False
) -> FeatureSet:
    """Compute the features of a config's test set with the gallery's model.

    Args:
        embedder: The gallery's model.
        config: A re-identification config; only its test set is used.
        parts: The part caches to read.
        progress: Show a progress bar.

    Raises:
        DatasetError: The data set is missing or damaged.
        GalleryError: An image cannot be read, or its parts cannot be found.
    """
    dataset = without_parts(config.test_dataloader.dataset)
    records = [dict(dataset.get_data_info(row)) for row in range(len(dataset))]
    files = {os.path.abspath(record["image_file"]): None for record in records}
    if embedder.num_parts:
        parts.check(list(files), embedder.num_parts)
    features = {}
    for file, found in embedder.embed(list(files), parts, progress):
        if isinstance(found, str):
            raise GalleryError(f"{file}: {found}: all images of a split are needed to calibrate")
        features[file] = found.feature
    for record in records:
        record["feature"] = features[os.path.abspath(record["image_file"])]
        record["part_weights"] = None
    about = dataset.metainfo
    return replace(
        FeatureSet.from_records(records),
        protocol=str(about.get("protocol", "")),
        dataset=str(about.get("dataset", "")),
    )


def calibrate(
    features: FeatureSet, false_match_rate: float, protocol: str | Protocol | None = None
) -> Threshold:
    """Find the greatest distance at which the false-match rate does not exceed the requested one.

    The pairs are those of a ROC curve: each query that has a good match with each gallery image, without junk
    images; for a protocol that draws galleries, the pairs of all draws.

    Args:
        features: Features of a validation split, whose vehicles are neither trained nor tested on.
        false_match_rate: Above 0 and below 1.
        protocol: A protocol or its name; None for the one that the features name, or else ``'cross-camera'``.

    Raises:
        ThresholdError: The rate is out of range, or the pairs are too few to measure it.
        RankingError: The protocol cannot divide the features, or no query has a good match.
    """
    if not 0 < false_match_rate < 1:
        raise ThresholdError(
            f"the false-match rate must be above 0 and below 1, e.g. 0.001, got {false_match_rate}"
        )
    evaluation = evaluate(features, protocol, roc=True)
    curve = evaluation.roc
    assert curve is not None  # asked for
    expected = false_match_rate * curve.num_negatives
    if expected < _MIN_FALSE_MATCHES:
        raise ThresholdError(
            f"a false-match rate of {false_match_rate:g} is {expected:.2g} of {curve.num_negatives:,} pairs "
            f"of different vehicles, and fewer than {_MIN_FALSE_MATCHES} cannot measure a rate: ask for "
            f"{_MIN_FALSE_MATCHES / curve.num_negatives:.2g} or more, or calibrate on more images"
        )
    place = int(np.searchsorted(curve.fpr, false_match_rate, side="right")) - 1
    if place < 0:
        raise ThresholdError(
            f"{100 * curve.fpr[0]:.3g} % of the pairs of different vehicles are at the smallest distance of "
            f"all pairs ({curve.thresholds[0]:.3g}): no distance has a false-match rate of "
            f"{false_match_rate:g}"
        )
    return Threshold(
        float(curve.thresholds[place]),
        false_match_rate,
        float(curve.fpr[place]),
        float(curve.tpr[place]),
        curve.num_positives,
        curve.num_negatives,
        evaluation.protocol.to_dict(),
        features.dataset,
        _thin_out(curve, place),
    )


def write_threshold(threshold: Threshold, folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``threshold.json``, and its curve as ``threshold.png`` and ``.svg``; returns the paths."""
    folder = Path(folder)
    plots = [
        write_bytes(folder / f"threshold.{fmt}", plot(threshold, fmt)) for fmt in ("png", "svg")
    ]
    return [threshold.save(folder / "threshold.json"), *plots]


def plot(threshold: Threshold, fmt: str = "svg") -> bytes:
    """Plot both rates against the distance, with the threshold; the rates are on a logarithmic axis.

    Args:
        threshold: The threshold and its curve.
        fmt: ``'svg'`` or ``'png'``.
    """
    curve = threshold.curve
    least = 0.5 / threshold.different_pairs

    def draw(axes: Axes) -> None:
        for name, rates, colour, line in (
            ("pairs of one vehicle (true matches)", curve.true_match_rate, COLOURS[1], "-"),
            ("pairs of different vehicles (false)", curve.false_match_rate, COLOURS[0], "--"),
        ):
            shown = [100 * max(rate, least) for rate in rates]
            axes.plot(curve.distance, shown, color=colour, ls=line, label=name)
        axes.axvline(threshold.distance, color=COLOURS[2], lw=1, ls=":", label=_caption(threshold))
        for rate in (threshold.true_match_rate, threshold.measured_false_match_rate):
            axes.plot(threshold.distance, 100 * max(rate, least), "o", color=COLOURS[2])
        axes.set(yscale="log", xlabel="squared Euclidean distance", ylabel="pairs that match, %")
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.figure.legend(loc="outside lower left")

    return render(draw, fmt, height=4.3)


def _caption(threshold: Threshold) -> str:
    return (
        f"threshold {threshold.distance:.4g}: {100 * threshold.true_match_rate:.3g} % true, "
        f"{100 * threshold.measured_false_match_rate:.3g} % false matches"
    )


def _thin_out(curve: RocCurve, place: int) -> Curve:
    """Select evenly spaced distances, among them the first, the last and the threshold."""
    wanted = np.linspace(curve.thresholds[0], curve.thresholds[-1], _POINTS)
    points = np.unique([place, *np.searchsorted(curve.thresholds, wanted)])
    columns = curve.thresholds[points], curve.fpr[points], curve.tpr[points]
    return Curve(*(column.astype(float).tolist() for column in columns))
