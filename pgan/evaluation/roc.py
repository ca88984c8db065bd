"""Verification, whether two images show one vehicle: ROC over all pairs of a query and a gallery image."""

from __future__ import annotations

from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch

from pgan.evaluation.errors import RankingError
from pgan.evaluation.labels import SameVehicle

# The cell of a distance is its float32 bits without the last 11: at most 2^-12 of the distance wide.
_DROPPED_BITS = 11
_CELLS = 1 << (31 - _DROPPED_BITS)


@dataclass(frozen=True, eq=False)
class RocCurve:
    """True and false positive rates at thresholds on a fixed grid, each point exact for its threshold.

    A pair is accepted if its distance is at most the threshold. Neighbouring thresholds of the grid are
    2^-12 of the distance apart; those in between are not evaluated.

    Attributes:
        thresholds: (T,) float32 distances, ascending.
        fpr: (T,) float64, accepted pairs of different vehicles / all such pairs.
        tpr: (T,) float64, accepted good matches / all good matches.
        num_positives: Number of good matches.
        num_negatives: Number of pairs of different vehicles.

    Example:
        >>> curve = RocCurve(
        ...     np.array([0.1, 0.2, 0.3], np.float32),
        ...     fpr=np.array([0.0, 0.1, 1.0]),
        ...     tpr=np.array([0.4, 0.8, 1.0]),
        ...     num_positives=5,
        ...     num_negatives=10,
        ... )
        >>> curve.tpr_at(0.05)
        0.4
    """

    thresholds: np.ndarray
    fpr: np.ndarray
    tpr: np.ndarray
    num_positives: int
    num_negatives: int

    def tpr_at(self, fpr: float) -> float:
        """Return the TPR at the greatest threshold whose FPR is at most ``fpr``; 0 if there is none.

        Raises:
            RankingError: ``fpr`` is not from 0 to 1.
        """
        if not 0 <= fpr <= 1:
            raise RankingError(f"a false positive rate is from 0 to 1, got {fpr}")
        points = np.searchsorted(self.fpr, fpr, side="right")
        return float(self.tpr[points - 1]) if points else 0.0


class RocCounter:
    """Counts pairs by distance as they stream by; its memory does not grow with their number.

    Only pairs of valid queries are counted, without junk.
    """

    def __init__(self) -> None:
        self._positives, self._negatives = np.zeros((2, _CELLS), dtype=np.int64)
        self._lock = Lock()

    def add(self, rows: torch.Tensor, same: SameVehicle) -> None:
        """Count the pairs of some queries; several threads may call this at once.

        Args:
            rows: (B, G) float32 distances, none negative, on any device.
            same: The gallery images of the queries' vehicles.
        """
        valid = np.asarray(same.good.any(axis=1))
        scored = rows if valid.all() else rows[torch.from_numpy(valid).to(rows.device)]
        counts = torch.bincount(_cells(scored).flatten(), minlength=_CELLS).cpu().numpy()
        own = _cells(rows.gather(1, torch.from_numpy(same.columns).to(rows.device))).cpu().numpy()
        with self._lock:
            self._negatives += counts
            np.subtract.at(self._negatives, own[same.good | (same.junk & valid[:, None])], 1)
            np.add.at(self._positives, own[same.good], 1)

    def curve(self) -> RocCurve:
        """Return the curve of all pairs counted so far.

        Raises:
            RankingError: There are no good matches, or no pairs of different vehicles.
        """
        totals = int(self._positives.sum()), int(self._negatives.sum())
        if not all(totals):
            raise RankingError(
                "a ROC needs pairs of the same vehicle and of different vehicles, but there are "
                f"{totals[0]} and {totals[1]}"
            )
        cells = (self._positives + self._negatives).nonzero()[0]
        thresholds = (((cells + 1) << _DROPPED_BITS) - 1).astype(np.int32).view(np.float32)
        fpr = self._negatives.cumsum()[cells] / totals[1]
        tpr = self._positives.cumsum()[cells] / totals[0]
        return RocCurve(thresholds, fpr, tpr, *totals)


def _cells(distances: torch.Tensor) -> torch.Tensor:
    """Return the numbers of the cells, int32: bits of non-negative float32 ascend with their value."""
    return (distances.view(torch.int32) >> _DROPPED_BITS).clamp_(min=0)  # -0.0 is 0.0
