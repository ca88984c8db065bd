"""The distance up to which two images are taken for one vehicle, at a chosen rate of false matches."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from pgan.evaluation import FeatureSet, Protocol, RocCurve, evaluate
from pgan.files import write_atomically
from pgan.gallery.errors import GalleryError
from pgan.gallery.sealed import read_sealed, write_sealed
from pgan.visualization.plots import COLOURS, render

_LEAST_FALSE = 10  # false matches that a rate is measured by
_POINTS = 400  # of a curve, more than a picture shows


class ThresholdError(GalleryError):
    """A rate that the pairs cannot tell, or a threshold's file that cannot be read."""


@dataclass(frozen=True)
class Curve:
    """How many pairs match up to a distance; each list has one entry per point.

    Attributes:
        distance: Squared Euclidean, ascending.
        false_match_rate: Matching pairs of different vehicles / all such pairs.
        true_match_rate: Matching pairs of one vehicle / all such pairs, junk left out.
    """

    distance: list[float]
    false_match_rate: list[float]
    true_match_rate: list[float]


@dataclass(frozen=True)
class Threshold:
    """'The same vehicle' means: at most this far apart.

    Attributes:
        distance: Squared Euclidean distance between features, inclusive.
        false_match_rate: Asked for: the share of pairs of different vehicles that may match.
        measured_false_match_rate: Theirs that do, at most what was asked for.
        true_match_rate: The share of pairs of one vehicle that match.
        same_pairs: Pairs of one vehicle, counted.
        different_pairs: Pairs of different vehicles.
        protocol: Which pairs those are: queries, gallery, junk.
        dataset: Title of the data set; empty where unknown.
        curve: Of all distances.
    """

    distance: float
    false_match_rate: float
    measured_false_match_rate: float
    true_match_rate: float
    same_pairs: int
    different_pairs: int
    protocol: dict[str, Any]
    dataset: str
    curve: Curve

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write it as JSON, in one step."""
        return write_sealed(path, asdict(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Threshold:
        """Read what :meth:`save` wrote.

        Raises:
            ThresholdError: Missing, damaged, or no threshold.
        """
        try:
            values = read_sealed(path)
            return cls(**{**values, "curve": Curve(**values["curve"])})
        except FileNotFoundError as error:
            raise ThresholdError(f"{path}: no such file: calibrate a threshold first") from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ThresholdError(f"{path}: not a threshold, or damaged ({error})") from error

    def describe(self) -> str:
        """How it came about, in one sentence."""
        of = f" of {self.dataset}" if self.dataset else ""
        return (
            f"the same vehicle up to a distance of {self.distance:.4g}: "
            f"{100 * self.true_match_rate:.4g} % of {self.same_pairs:,} pairs of one vehicle match and "
            f"{100 * self.measured_false_match_rate:.3g} % of {self.different_pairs:,} pairs of different "
            f"vehicles{of} (asked: {100 * self.false_match_rate:.3g} %; protocol "
            f"'{self.protocol['name']}')"
        )

    def write(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write ``threshold.json`` and the curve as ``threshold.png`` and ``.svg``; returns the paths."""
        folder = Path(folder)
        pictures = [
            write_atomically(
                folder / f"threshold.{fmt}", lambda file, fmt=fmt: file.write(plot(self, fmt))
            )
            for fmt in ("png", "svg")
        ]
        return [self.save(folder / "threshold.json"), *pictures]


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
