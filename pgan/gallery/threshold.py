"""The distance up to which two images count as the same vehicle; `pgan.gallery.calibration` finds it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detector.common.schema import COUNT
from pgan.gallery.checksummed_json import read_checksummed_json, write_checksummed_json
from pgan.gallery.errors import GalleryError

_RATES = ("false_match_rate", "measured_false_match_rate", "true_match_rate")
_SHAPE = {
    **dict.fromkeys(("distance", *_RATES), float),
    **dict.fromkeys(("same_pairs", "different_pairs"), COUNT),
    **{"protocol": {"name": str}, "dataset": str},
    "curve": {key: [float] for key in ("distance", "false_match_rate", "true_match_rate")},
}


class ThresholdError(GalleryError):
    """The pairs are too few to measure the rate, or the threshold file cannot be read."""


@dataclass(frozen=True)
class Curve:
    """How many pairs match up to a distance; each list has one entry per point.

    Attributes:
        distance: Squared Euclidean, ascending.
        false_match_rate: Matching pairs of different vehicles / all such pairs.
        true_match_rate: Matching pairs of the same vehicle / all such pairs, without junk images.
    """

    distance: list[float]
    false_match_rate: list[float]
    true_match_rate: list[float]


@dataclass(frozen=True)
class Threshold:
    """The greatest distance between two images of the same vehicle, and how it was calibrated.

    Attributes:
        distance: Squared Euclidean distance between features, inclusive.
        false_match_rate: Requested fraction of pairs of different vehicles that may match.
        measured_false_match_rate: Fraction of these pairs that match, at most the requested one.
        true_match_rate: Fraction of pairs of the same vehicle that match.
        same_pairs: Number of pairs of the same vehicle.
        different_pairs: Number of pairs of different vehicles.
        protocol: The protocol that defines the pairs: queries, gallery and junk images.
        dataset: Title of the data set; empty if unknown.
        curve: Both rates at all distances.
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
        """Write the threshold as JSON, atomically."""
        return write_checksummed_json(path, asdict(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Threshold:
        """Read a file of `save`.

        Raises:
            ThresholdError: The file is missing, damaged or not a threshold.
        """
        try:
            values = read_checksummed_json(path, _SHAPE)
            return cls(**{**values, "curve": Curve(**values["curve"])})
        except FileNotFoundError as error:
            raise ThresholdError(f"{path}: no such file: calibrate a threshold first") from error
        except (OSError, ValueError, TypeError, KeyError) as error:
            raise ThresholdError(f"{path}: not a threshold, or damaged ({error})") from error

    def describe(self) -> str:
        """Describe the threshold and its calibration in one sentence."""
        of = f" of {self.dataset}" if self.dataset else ""
        return (
            f"the same vehicle up to a distance of {self.distance:.4g}: "
            f"{100 * self.true_match_rate:.4g} % of {self.same_pairs:,} pairs of one vehicle match and "
            f"{100 * self.measured_false_match_rate:.3g} % of {self.different_pairs:,} pairs of different "
            f"vehicles{of} (asked: {100 * self.false_match_rate:.3g} %; protocol "
            f"'{self.protocol['name']}')"
        )
