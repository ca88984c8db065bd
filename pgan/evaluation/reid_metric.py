"""mmengine's face of the ranking."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from pgan.evaluation.distances import CHUNK_SIZE, RankingError
from pgan.evaluation.features import FeatureSet, save_features
from pgan.evaluation.ranking import RankingResult
from pgan.registry import METRICS


@METRICS.register_module()
class ReIDMetric(BaseMetric):
    """MAP, mINP and CMC of vehicle re-identification, all in percent.

    The data set holds query and gallery images together, told apart by ``role``. The keys are
    ``reid/mAP``, ``reid/mINP`` and ``reid/Rank-k``; the protocol is that of
    :mod:`pgan.evaluation.ranking`. Over several processes each rank's share is gathered in the order
    of mmengine's ``DefaultSampler``, whose padding is dropped.

    Args:
        ranks: The k of ``Rank-k``.
        chunk_size: Queries compared at a time.
        dump: ``.npz`` file for the features with ids, cameras, roles, paths and part weights.
        collect_device: ``'gpu'`` gathers over the process group, whatever its device; ``'cpu'``
            over files in ``collect_dir``.
        prefix: Of the keys.
        collect_dir: A folder that all processes share.

    Raises:
        RankingError: A rank below 1, a sample without a feature or with another role.
    """

    default_prefix = "reid"

    def __init__(
        self,
        ranks: Sequence[int] = (1, 5, 10),
        chunk_size: int = CHUNK_SIZE,
        dump: str | os.PathLike[str] | None = None,
        collect_device: str = "gpu",
        prefix: str | None = None,
        collect_dir: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix, collect_dir=collect_dir)
        if not ranks or min(ranks) < 1:
            raise RankingError(f"ranks must be one or more integers from 1, got {tuple(ranks)}")
        self.ranks = tuple(ranks)
        self.chunk_size = chunk_size
        self.dump = dump

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what a batch's ranking needs, as arrays on the CPU."""
        self.results.extend(_record(sample) for sample in data_samples)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Score all images together, and dump them if asked to."""
        features = FeatureSet.from_records(results)
        if self.dump is not None:
            save_features(self.dump, features)
        result = features.evaluate(self.chunk_size)
        print_log(describe_protocol(result), logger="current")
        return self.percentages(result, self.ranks)

    @staticmethod
    def percentages(result: RankingResult, ranks: Sequence[int] = (1, 5, 10)) -> dict[str, float]:
        """The metrics in percent, under the names the field uses."""
        return {
            "mAP": 100 * result.mean_average_precision,
            "mINP": 100 * result.mean_inp,
            **{f"Rank-{k}": 100 * result.cmc(k) for k in ranks},
        }


def describe_protocol(result: RankingResult) -> str:
    """How a result came about, in one sentence for a log or a caption."""
    return (
        f"{result.num_valid} queries ranked against {result.num_gallery} gallery images "
        f"({result.num_invalid} more without a good match, not scored); squared Euclidean distance, "
        "no re-ranking; images of the query's vehicle by the query's camera removed; ties against "
        "the model; in percent"
    )


def _record(sample: dict) -> dict[str, Any]:
    path = sample.get("img_path", "a sample without img_path")
    missing = [key for key in ("feature", "vehicle_id", "role", "img_path") if key not in sample]
    if missing:
        raise RankingError(
            f"{path}: the sample has no {', '.join(missing)}; the model's predict sets `feature`, the data "
            "set the rest"
        )
    if sample["role"] not in ("query", "gallery"):
        raise RankingError(f"{path}: its role is {sample['role']!r}, not 'query' or 'gallery'")
    weights = sample.get("part_weights")
    return {
        "feature": _array(sample["feature"]),
        "vehicle_id": int(sample["vehicle_id"]),
        "camera_id": int(sample.get("camera_id", -1)),
        "role": sample["role"],
        "img_path": path,
        "part_weights": None if weights is None else _array(weights),
    }


def _array(values: torch.Tensor | np.ndarray) -> np.ndarray:
    # A copy: a view would keep the whole batch alive.
    return torch.as_tensor(values).detach().to("cpu", torch.float32, copy=True).numpy()
