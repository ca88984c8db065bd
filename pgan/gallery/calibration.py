"""Finding the distance up to which two images are taken for one vehicle, at a chosen rate of false matches.

On features of a validation split, by the gallery's own model.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from mmengine.config import Config

from detector.common.files import write_atomically
from pgan.evaluation import FeatureSet, Protocol, RocCurve, evaluate, load_features
from pgan.gallery.embedding import Embedder
from pgan.gallery.errors import GalleryError
from pgan.gallery.images import without_parts
from pgan.gallery.part_source import PartSource
from pgan.gallery.store import Gallery
from pgan.gallery.threshold import Curve, Threshold, ThresholdError
from pgan.visualization.plots import COLOURS, render

_LEAST_FALSE = 10  # false matches that a rate is measured by
_POINTS = 400  # of a curve, more than a picture shows
_MEND = "calibrate on features of the gallery's own model"


def features_of_file(gallery: Gallery, path: str) -> FeatureSet:
    """Features that ``tools/test.py --dump`` wrote.

    Raises:
        FeatureSetError: The file cannot be read.
        GalleryError: They are of another model than the gallery's, as far as the file tells, or projected.
    """
    features = load_features(path)
    sizes = features.features.shape[1], gallery.dimensions
    if sizes[0] != sizes[1] or features.projection:
        words = f", projected by {features.projection}" * bool(features.projection)
        raise GalleryError(
            f"{path} has features of {sizes[0]} dimensions{words} and {gallery.path} of {sizes[1]}: {_MEND}"
        )
    if features.model not in ("", gallery.model["facts"]["its weights"]):
        raise GalleryError(f"{path} has features by another model than {gallery.path}: {_MEND}")
    return features


def features_of_config(
    embedder: Embedder, config: Config, parts: PartSource, progress: bool = False
) -> FeatureSet:
    """Features of the test set that a re-identification config names, all roles, as its test gives them.

    Args:
        embedder: The gallery's model.
        config: Of a re-identification model; only its test set matters.
        parts: Where part boxes come from.
        progress: Show a bar.

    Raises:
        DatasetError: See there.
        GalleryError: An image cannot be read or its parts are nowhere.
    """
    dataset = without_parts(config.test_dataloader.dataset)
    records = [dict(dataset.get_data_info(row)) for row in range(len(dataset))]
    files = {os.path.abspath(record["image_file"]): None for record in records}
    if embedder.num_parts:
        parts.check(list(files), embedder.num_parts)
    features = {}
    for file, found in embedder.embed(list(files), parts, progress):
        if isinstance(found, str):
            raise GalleryError(
                f"{file}: {found}: a distance is calibrated on all images of a split"
            )
        features[file] = found.feature
    for record in records:
        record["feature"] = features[os.path.abspath(record["image_file"])]
        record["part_weights"] = None
    known = {name: str(dataset.metainfo.get(name, "")) for name in ("protocol", "dataset")}
    return replace(FeatureSet.from_records(records), **known)


def calibrate(
    features: FeatureSet, false_match_rate: float, protocol: str | Protocol | None = None
) -> Threshold:
    """Find the greatest distance up to which no more pairs of different vehicles match than may.

    Pairs are those of a ROC: of each query that has a good match, and a gallery image; junk left out. Of a
    protocol that draws galleries, those of all draws.

    Args:
        features: Of a validation split: vehicles that the model has not learnt, nor is tested on.
        false_match_rate: Above 0 and below 1.
        protocol: Its name, or one of your own. None: the one that the features name, or else
            ``'cross-camera'``.

    Raises:
        ThresholdError: The rate is out of range, or the pairs are too few to tell it.
        RankingError: The protocol cannot divide the features, or no query has a good match.
    """
    if not 0 < false_match_rate < 1:
        raise ThresholdError(
            f"a false-match rate is above 0 and below 1, e.g. 0.001, got {false_match_rate}"
        )
    evaluation = evaluate(features, protocol, roc=True)
    curve = evaluation.roc
    expected = false_match_rate * curve.num_negatives
    if expected < _LEAST_FALSE:
        raise ThresholdError(
            f"a false-match rate of {false_match_rate:g} is {expected:.2g} of {curve.num_negatives:,} pairs "
            f"of different vehicles, and fewer than {_LEAST_FALSE} tell no rate: ask for "
            f"{_LEAST_FALSE / curve.num_negatives:.2g} or more, or calibrate on more images"
        )
    place = int(np.searchsorted(curve.fpr, false_match_rate, side="right")) - 1
    if place < 0:
        raise ThresholdError(
            f"{100 * curve.fpr[0]:.3g} % of the pairs of different vehicles are as near as the nearest of "
            f"all ({curve.thresholds[0]:.3g}): no distance has a false-match rate of {false_match_rate:g}"
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
        _thinned(curve, place),
    )


def write_threshold(threshold: Threshold, folder: str | os.PathLike[str]) -> list[Path]:
    """Write ``threshold.json`` and its curve as ``threshold.png`` and ``.svg``; returns the paths."""
    folder = Path(folder)
    pictures = [
        write_atomically(
            folder / f"threshold.{fmt}", lambda file, fmt=fmt: file.write(plot(threshold, fmt))
        )
        for fmt in ("png", "svg")
    ]
    return [threshold.save(folder / "threshold.json"), *pictures]


def plot(threshold: Threshold, fmt: str = "svg") -> bytes:
    """Both rates against the distance, on a logarithmic axis, with the threshold.

    Args:
        threshold: With its curve.
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


def _thinned(curve: RocCurve, place: int) -> Curve:
    """Points evenly spread over the distances, the first, the last and the threshold's among them."""
    wanted = np.linspace(curve.thresholds[0], curve.thresholds[-1], _POINTS)
    points = np.unique([place, *np.searchsorted(curve.thresholds, wanted)])
    columns = curve.thresholds[points], curve.fpr[points], curve.tpr[points]
    return Curve(*(column.astype(float).tolist() for column in columns))
