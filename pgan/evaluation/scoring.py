"""Score the features of a test set by a named protocol."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from detector.common.device import usable_device
from pgan.evaluation.distances import CHUNK_SIZE, DistanceChunks, feature_distances
from pgan.evaluation.errors import RankingError
from pgan.evaluation.features import FeatureSet, refuse_non_finite
from pgan.evaluation.protocols import DEFAULT, FPRS, RANKS, Protocol, get_protocol
from pgan.evaluation.rank_lists import RankListCollector, RankLists
from pgan.evaluation.ranking import RankingScores, rank
from pgan.evaluation.refinement import KReciprocal, Refinement, expand_queries
from pgan.evaluation.roc import RocCounter, RocCurve

_BAR_DELAY = 1.0  # seconds before a progress bar appears


@dataclass(frozen=True, eq=False)
class Evaluation:
    """The scores of a test set, with the protocol that they follow.

    Attributes:
        protocol: The protocol: which images are queries and gallery, and what is junk.
        rankings: The scores of each repeat of the protocol.
        refinement: The refinement before ranking, ``'none'`` or e.g. ``'k-reciprocal (k1=20, …)'``.
        roc: ROC over the pairs of all repeats; None unless it was asked for.
        dataset: Title of the data set; empty if unknown.
        vehicles: Number of vehicles in the test set.
        projection: Description of the projection of the features; empty if there was none.
        rank_lists: The rank lists of the first repeat; None unless they were asked for.

    Example:
        >>> features = FeatureSet(
        ...     features=np.array([[0, 0], [3, 4], [0, 1], [0, 2]], dtype=np.float32),
        ...     vehicle_ids=np.array([7, 3, 7, 3]),
        ...     camera_ids=np.array([0, 1, 1, 2]),
        ...     roles=np.array(["query", "gallery", "gallery", "gallery"]),
        ...     img_paths=np.array(["a.jpg", "b.jpg", "c.jpg", "d.jpg"]),
        ... )
        >>> evaluation = evaluate(features, "cross-camera", device="cpu")
        >>> evaluation.counts()["queries"], evaluation.metrics((1,))["Rank-1"]
        (1, 100.0)
        >>> evaluation.describe().startswith("protocol 'cross-camera' (any test set: queries and")
        True
    """

    protocol: Protocol
    rankings: tuple[RankingScores, ...]
    refinement: str = "none"
    roc: RocCurve | None = None
    dataset: str = ""
    vehicles: int = 0
    projection: str = ""
    rank_lists: RankLists | None = None

    def metrics(self, ranks: Sequence[int] = RANKS) -> dict[str, float]:
        """Return ``mAP``, ``mINP`` and ``Rank-k`` in percent, the mean over the repeats."""
        return {name: float(np.mean(values)) for name, values in self._values(ranks).items()}

    def stds(self, ranks: Sequence[int] = RANKS) -> dict[str, float]:
        """Return the standard deviations of the metrics over the repeats (N - 1); empty for one repeat."""
        if len(self.rankings) == 1:
            return {}
        return {name: float(np.std(values, ddof=1)) for name, values in self._values(ranks).items()}

    def _values(self, ranks: Sequence[int]) -> dict[str, list[float]]:
        rows = [
            {
                "mAP": result.mean_average_precision,
                "mINP": result.mean_inp,
                **{f"Rank-{k}": result.cmc(k) for k in ranks},
            }
            for result in self.rankings
        ]
        return {name: [100 * row[name] for row in rows] for name in rows[0]}

    def tprs(self, fprs: Sequence[float] = FPRS) -> dict[str, float]:
        """Return ``TPR@FPR=x`` in percent; empty without a ROC."""
        if self.roc is None:
            return {}
        return {f"TPR@FPR={fpr:g}": 100 * self.roc.tpr_at(fpr) for fpr in fprs}

    def counts(self) -> dict[str, int]:
        """Return the numbers of images and queries in the first repeat; other repeats may differ a little."""
        first = self.rankings[0]
        return {
            "queries": first.num_valid,
            "queries_without_match": first.num_invalid,
            "gallery": first.num_gallery,
            "vehicles": self.vehicles,
            "repeats": len(self.rankings),
        }

    def provenance(self) -> dict[str, Any]:
        """Return what a number must be stored with to be comparable: data set, protocol ... counts."""
        return {
            "dataset": self.dataset,
            "protocol": self.protocol.to_dict(),
            "projection": self.projection or "none",
            "refinement": self.refinement,
            "counts": self.counts(),
        }

    def describe(self) -> str:
        """Return how the numbers were computed, in one sentence for a log or a caption."""
        count, protocol = self.counts(), self.protocol
        drawn = f"; seed {protocol.seed}" if protocol.gallery != "listed" else ""
        if protocol.vehicles not in (0, self.vehicles):
            drawn += f"; NOT its test set, this one has {self.vehicles} vehicles"
        projected = f"projection: {self.projection}; " if self.projection else ""
        return (
            f"protocol '{protocol.name}' ({protocol.title}){drawn}: {count['queries']} queries ranked "
            f"against {count['gallery']} gallery images ({count['queries_without_match']} more without a "
            f"good match, not scored); {protocol.distance} distance; {projected}refinement: "
            f"{self.refinement}; ties against the model; in percent"
        )

    def to_dict(self, ranks: Sequence[int] = RANKS, fprs: Sequence[float] = FPRS) -> dict[str, Any]:
        """Return all of it as built-in types, metrics in percent."""
        return {
            **self.provenance(),
            "metrics": self.metrics(ranks) | self.tprs(fprs),
            "stds": self.stds(ranks),
        }


def evaluate(
    features: FeatureSet,
    protocol: str | Protocol | None = None,
    *,
    refinement: Refinement | None = None,
    roc: bool = False,
    top: int = 0,
    chunk_size: int = CHUNK_SIZE,
    progress: bool = False,
    device: str | torch.device | None = None,
) -> Evaluation:
    """Score features by a protocol.

    Args:
        features: Features of all test images.
        protocol: Name of a protocol, or a `Protocol`. None: the one that the features name, or
            ``'cross-camera'`` if they name none.
        refinement: Query expansion, re-ranking, or both. None: neither.
        roc: Whether to also compute the ROC.
        top: Images of each query's ranking to keep in ``rank_lists``, of the first repeat; 0 for none.
        chunk_size: Queries compared at a time; bounds the memory, changes no number.
        progress: Whether to show a progress bar if it takes more than a second.
        device: Device to compare and count on; changes no number without a refinement. None: a GPU if
            there is one.

    Raises:
        RankingError: There is no such protocol or device, the protocol cannot divide the features, a
            feature is not finite, or no query has a good match.

    Example:
        >>> features = FeatureSet(
        ...     features=np.array([[0, 0], [3, 4], [0, 1], [0, 2]], dtype=np.float32),
        ...     vehicle_ids=np.array([7, 3, 7, 3]),
        ...     camera_ids=np.array([0, 1, 1, 2]),
        ...     roles=np.array(["query", "gallery", "gallery", "gallery"]),
        ...     img_paths=np.array(["a.jpg", "b.jpg", "c.jpg", "d.jpg"]),
        ... )
        >>> evaluation = evaluate(features, "cross-camera", top=2, device="cpu")
        >>> evaluation.metrics(ranks=(1,))
        {'mAP': 100.0, 'mINP': 100.0, 'Rank-1': 100.0}
        >>> evaluation.rank_lists.nearest.indices.tolist()  # rows of the gallery
        [[1, 2]]
    """
    protocol = get_protocol(protocol or features.protocol or DEFAULT)
    refuse_non_finite(features)
    distances = _Distances(refinement or Refinement(), chunk_size, progress, device)
    pairs = RocCounter() if roc else None
    collectors: list[RankListCollector] = []

    def score(repeat: int, draw: FeatureSet) -> RankingScores:
        if top and repeat == 1:
            collectors.append(RankListCollector(top, draw))
        lists = collectors[0] if repeat == 1 and collectors else None
        chunks = distances.of(draw)
        name = f"{protocol.name}, {repeat} of {protocol.repeats}"
        with _bar(name, chunks.shape[0], progress) as bar:
            return rank(chunks, draw.labels(), pairs, lists, bar.update)

    # In a function, so that a draw's copies of features are freed before the next draw.
    rankings = tuple(score(number, draw) for number, draw in enumerate(protocol.draws(features), 1))
    return Evaluation(
        protocol,
        rankings,
        str(distances.refinement),
        pairs.curve() if pairs else None,
        features.dataset,
        len(np.unique(features.vehicle_ids)),
        features.projection,
        collectors[0].rank_lists() if collectors else None,
    )


class _Distances:
    """Returns refined distances between the queries and the gallery of each draw."""

    def __init__(
        self,
        refinement: Refinement,
        chunk_size: int,
        progress: bool,
        device: str | torch.device | None,
    ) -> None:
        self.refinement, self.chunk_size, self.progress = refinement, chunk_size, progress
        self.device = usable_device(device, RankingError, torch.float64)
        self.encoded: tuple[np.ndarray, KReciprocal] | None = None

    def of(self, draw: FeatureSet) -> DistanceChunks:
        """Return the distances by which the draw is ranked."""
        features = draw.features
        query, gallery = (np.flatnonzero(draw.roles == role) for role in ("query", "gallery"))
        if self.refinement.expand_queries:
            features = features.copy()
            features[query] = expand_queries(
                self._tensor(features[query]),
                self._tensor(features[gallery]),
                self.refinement.expand_queries,
                self.chunk_size,
            )
        if self.refinement.rerank:
            return self._encoding(features).distances(query, gallery, self.chunk_size)
        return feature_distances(
            self._tensor(_rows(features, query)),
            self._tensor(_rows(features, gallery)),
            self.chunk_size,
        )

    def _encoding(self, features: np.ndarray) -> KReciprocal:
        """Return the encoding, computed once for all draws of the same features."""
        if self.encoded is None or self.encoded[0] is not features:
            settings = self.refinement
            with _bar("neighbours", len(features), self.progress) as bar:
                encoding = KReciprocal(
                    self._tensor(features),
                    settings.k1,
                    settings.k2,
                    settings.weight,
                    self.chunk_size,
                    bar.update,
                )
            self.encoded = features, encoding
        return self.encoded[1]

    def _tensor(self, features: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(features).to(self.device)


def _rows(features: np.ndarray, rows: np.ndarray) -> np.ndarray:
    """Return rows of the features, without a copy if they are contiguous."""
    contiguous = rows[-1] - rows[0] + 1 == len(rows)
    return features[rows[0] : rows[-1] + 1] if contiguous else features[rows]


def _bar(name: str, total: int, shown: bool) -> tqdm:
    return tqdm(
        desc=name,
        total=total,
        disable=not shown,
        delay=_BAR_DELAY,
        unit="image",
        unit_scale=True,
        leave=False,
    )
