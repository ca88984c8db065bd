"""The rank lists of a test set, collected while its distances are scored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from pgan.evaluation.errors import RankingError
from pgan.evaluation.exact_search import nearest_without_junk
from pgan.evaluation.features import FeatureSet
from pgan.evaluation.labels import SameVehicle
from pgan.evaluation.retrieval import RetrievalResult


@dataclass(frozen=True, eq=False)
class RankLists:
    """What an evaluation keeps for panels and pages: the top of each query's ranking, as it was scored.

    Queries and gallery images are numbered as in ``images``, each role in the order of its rows. Images
    at the same distance are ordered by gallery index, while the metrics rank other vehicles first.

    Attributes:
        images: The test images with the roles of the first repeat.
        nearest: The nearest images of each query, without junk.
        nearest_matches: (Q, 1), the nearest match of each query, wherever it ranks.

    Raises:
        RankingError: The numbers of queries differ.

    Example:
        >>> from pgan.evaluation import evaluate
        >>> features = FeatureSet(
        ...     features=np.array([[0, 0], [3, 4], [0, 1], [0, 2]], dtype=np.float32),
        ...     vehicle_ids=np.array([7, 3, 7, 3]),
        ...     camera_ids=np.array([0, 1, 1, 2]),
        ...     roles=np.array(["query", "gallery", "gallery", "gallery"]),
        ...     img_paths=np.array(["a.jpg", "b.jpg", "c.jpg", "d.jpg"]),
        ... )
        >>> lists = evaluate(features, "cross-camera", top=2, device="cpu").rank_lists
        >>> gallery = lists.images.subset("gallery")
        >>> gallery.img_paths[lists.nearest.indices[0]].tolist(), lists.nearest.matches.tolist()
        (['c.jpg', 'd.jpg'], [[True, False]])
    """

    images: FeatureSet
    nearest: RetrievalResult
    nearest_matches: RetrievalResult

    def __post_init__(self) -> None:
        queries = int(np.count_nonzero(self.images.roles == "query"))
        if not len(self.nearest) == len(self.nearest_matches) == queries:
            raise RankingError(
                f"there are {queries} queries, but rank lists of {len(self.nearest)} and matches of "
                f"{len(self.nearest_matches)}"
            )


class RankListCollector:
    """Collects the rank lists of queries whose distances stream by; several threads may add to it.

    Args:
        k: Images to keep per query.
        images: The test images, with the roles of queries and gallery.

    Raises:
        RankingError: k below 1.
    """

    def __init__(self, k: int, images: FeatureSet) -> None:
        if k < 1:
            raise RankingError(f"rank lists hold at least 1 image, not {k}")
        self._k = k
        self._images = images
        self._parts: dict[int, tuple[np.ndarray, np.ndarray, RetrievalResult]] = {}

    def add(self, start: int, rows: torch.Tensor, same: SameVehicle) -> None:
        """Keep the nearest images of some queries.

        Args:
            start: Index of the first query.
            rows: (B, G) distances, on any device.
            same: The gallery images of the queries' vehicles.
        """
        nearest = nearest_without_junk(rows, self._k, same)
        self._parts[start] = *nearest, _nearest_matches(rows, same)

    def rank_lists(self) -> RankLists:
        """Return the lists of all queries, each of which must have been added."""
        parts = [self._parts[start] for start in sorted(self._parts)]
        indices = np.concatenate([part[0] for part in parts])
        distances = np.concatenate([part[1] for part in parts])
        nearest = RetrievalResult(indices, distances, self._images.labels().matches(indices))
        matches = RetrievalResult.concatenate([part[2] for part in parts])
        return RankLists(self._images, nearest, matches)


def _nearest_matches(rows: torch.Tensor, same: SameVehicle) -> RetrievalResult:
    own = rows.gather(1, torch.from_numpy(same.columns).to(rows.device)).cpu().numpy()
    # One more slot for queries without a good match.
    indices = np.pad(np.where(same.good, same.columns, -1), ((0, 0), (0, 1)), constant_values=-1)
    distances = np.pad(np.where(same.good, own, np.inf), ((0, 0), (0, 1)), constant_values=np.inf)
    slot = distances.argmin(axis=1)[:, None]
    indices, distances = (np.take_along_axis(a, slot, axis=1) for a in (indices, distances))
    return RetrievalResult(indices, distances, indices >= 0)
