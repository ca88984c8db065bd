"""The distance up to which two images are taken for one vehicle, as `pgan.gallery.calibration` finds it."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from detector.common.schema import COUNT
from pgan.gallery.checksummed_json import read_sealed, write_sealed
from pgan.gallery.errors import GalleryError

_RATES = ("false_match_rate", "measured_false_match_rate", "true_match_rate")
_SHAPE = {
    **dict.fromkeys(("distance", *_RATES), float),
    **dict.fromkeys(("same_pairs", "different_pairs"), COUNT),
    **{"protocol": {"name": str}, "dataset": str},
    "curve": {key: [float] for key in ("distance", "false_match_rate", "true_match_rate")},
}


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
            values = read_sealed(path, _SHAPE)
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
