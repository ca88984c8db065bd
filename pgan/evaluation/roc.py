"""Verification: are two images of one vehicle? ROC over all pairs of a query and a gallery image."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch

from pgan.evaluation.errors import RankingError
from pgan.evaluation.labels import SameVehicle

# A distance's cell is its float32 bits without the last 11: cells are 2^-12 of a distance wide, or less.
_DROPPED_BITS = 11
_CELLS = 1 << (31 - _DROPPED_BITS)


@dataclass(frozen=True, eq=False)
class RocCurve:
    """True and false positive rate at thresholds on a fixed grid, each point exact for its threshold.

    A pair is accepted if its distance is at most the threshold. Thresholds between two of the grid's,
    2^-12 of the distance apart, are not looked at.

    Attributes:
        thresholds: (T,) float32 distances, ascending.
        fpr: (T,) float64, accepted pairs of different vehicles / all such pairs.
        tpr: (T,) float64, accepted good matches / all good matches.
        num_positives: Good matches.
        num_negatives: Pairs of different vehicles.
    """

    thresholds: np.ndarray
    fpr: np.ndarray
    tpr: np.ndarray
    num_positives: int
    num_negatives: int

    def tpr_at(self, fpr: float) -> float:
        """TPR at the greatest threshold whose FPR is at most this; 0 where every threshold's is more.

        Raises:
            RankingError: Not from 0 to 1.
        """
        if not 0 <= fpr <= 1:
            raise RankingError(f"a false positive rate is from 0 to 1, got {fpr}")
        points = np.searchsorted(self.fpr, fpr, side="right")
        return float(self.tpr[points - 1]) if points else 0.0


class RocCounter:
    """Counts pairs by distance as they stream by; what it holds does not grow with their number.

    Pairs are those of the valid queries, junk left out.
    """

    def __init__(self) -> None:
        self._positives, self._negatives = np.zeros((2, _CELLS), dtype=np.int64)
        self._lock = Lock()

    def add(self, rows: torch.Tensor, same: SameVehicle) -> None:
        """Count the pairs of some queries; several threads may.

        Args:
            rows: (B, G) float32 distances, none below zero, on any device.
            same: The gallery images of the queries' vehicles.
        """
        valid = same.good.any(axis=1, keepdims=True)
        scored = rows if valid.all() else rows[torch.from_numpy(valid[:, 0]).to(rows.device)]
        counts = torch.bincount(_cells(scored).flatten(), minlength=_CELLS).cpu().numpy()
        own = _cells(rows.gather(1, torch.from_numpy(same.columns).to(rows.device))).cpu().numpy()
        with self._lock:
            self._negatives += counts
            np.subtract.at(self._negatives, own[same.good | (same.junk & valid)], 1)
            np.add.at(self._positives, own[same.good], 1)

    def curve(self) -> RocCurve:
        """The curve of all pairs so far.

        Raises:
            RankingError: There are no pairs of one of the two kinds.
        """
        totals = int(self._positives.sum()), int(self._negatives.sum())
        if not all(totals):
            raise RankingError(
                f"a ROC needs pairs of one vehicle and of two, but there are {totals[0]} and {totals[1]}"
            )
        cells = (self._positives + self._negatives).nonzero()[0]
        thresholds = (((cells + 1) << _DROPPED_BITS) - 1).astype(np.int32).view(np.float32)
        fpr = self._negatives.cumsum()[cells] / totals[1]
        tpr = self._positives.cumsum()[cells] / totals[0]
        return RocCurve(thresholds, fpr, tpr, *totals)


def _cells(distances: torch.Tensor) -> torch.Tensor:
    """Numbers of the cells, int32, ascending with the distance as float32's bits are from zero on."""
    return (distances.view(torch.int32) >> _DROPPED_BITS).clamp_(min=0)  # -0.0 is 0.0
