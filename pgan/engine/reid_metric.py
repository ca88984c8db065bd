"""mmengine's face of the ranking."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric, Evaluator
from mmengine.hooks import Hook
from mmengine.logging import print_log
from mmengine.runner import Runner

from pgan.engine.fingerprint import fingerprint
from pgan.evaluation.distances import CHUNK_SIZE
from pgan.evaluation.errors import RankingError
from pgan.evaluation.features import FeatureSet, save_features
from pgan.evaluation.projection import load_projection
from pgan.evaluation.protocols import get_protocol
from pgan.evaluation.scoring import RANKS, Evaluation, evaluate
from pgan.registry import METRICS

ROLES = ("query", "gallery", "pool", "train")


@METRICS.register_module()
class ReIDMetric(BaseMetric):
    """MAP, mINP and CMC of vehicle re-identification, all in percent, by a named protocol.

    The data set holds all test images together, told apart by ``role``. The keys are ``reid/mAP``,
    ``reid/mINP`` and ``reid/Rank-k``; for a protocol with repeats they are means, and ``reid/mAP_std``
    and so on stand beside them. Over several processes each rank's share is gathered in the order of
    mmengine's ``DefaultSampler``, whose padding is dropped.

    Training images, ``role='train'``, are kept by ``dump`` and not ranked.

    Args:
        ranks: The k of ``Rank-k``.
        chunk_size: Queries compared at a time.
        dump: ``.npz`` file for the features with ids, cameras, roles, paths and part weights.
        protocol: Its name, see `pgan.evaluation.protocols`. None: the one that the data set names
            in its ``metainfo``, or else ``'cross-camera'``.
        projection: File of a `FeatureProjection` to apply before ranking and keeping.
        collect_device: ``'gpu'`` gathers over the process group, whatever its device; ``'cpu'``
            over files in ``collect_dir``.
        prefix: Of the keys.
        collect_dir: A folder that all processes share.

    Attributes:
        evaluation: Of the last test, in the main process; None before it.
        model: Fingerprint of the model, set by `FingerprintHook`; empty where unknown.

    Raises:
        RankingError: A rank below 1, no protocol of that name, a sample without a feature or with
            another role.
        ProjectionError: See `load_projection` and `FeatureProjection.project`.
    """

    default_prefix = "reid"

    def __init__(
        self,
        ranks: Sequence[int] = RANKS,
        chunk_size: int = CHUNK_SIZE,
        dump: str | os.PathLike[str] | None = None,
        protocol: str | None = None,
        projection: str | os.PathLike[str] | None = None,
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
        self.protocol = protocol and get_protocol(protocol).name
        self.projection = load_projection(projection) if projection else None
        self.evaluation: Evaluation | None = None
        self.model = ""

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Keep what a batch's ranking needs, as arrays on the CPU."""
        self.results.extend(_record(sample) for sample in data_samples)

    def compute_metrics(self, results: list[dict]) -> dict[str, float]:
        """Score all images together, and dump them if asked to."""
        meta = self.dataset_meta or {}
        features = replace(
            FeatureSet.from_records(results),
            protocol=self.protocol or meta.get("protocol", ""),
            dataset=meta.get("dataset", ""),
            model=self.model,
        )
        if self.projection is not None:
            features = self.projection.project(features)
        if self.dump is not None:
            save_features(self.dump, features)
        if set(features.roles) == {"train"}:
            return {}
        self.evaluation = evaluate(features, chunk_size=self.chunk_size, progress=True)
        print_log(self.evaluation.describe(), logger="current")
        stds = self.evaluation.stds(self.ranks)
        return self.evaluation.metrics(self.ranks) | {f"{k}_std": v for k, v in stds.items()}


class FingerprintHook(Hook):
    """Tells a `ReIDMetric` that keeps or projects features which model they are of."""

    def before_val(self, runner: Runner) -> None:
        """Tell that of the validation."""
        self._tell(runner, runner.val_evaluator)

    def before_test(self, runner: Runner) -> None:
        """Tell that of the test."""
        self._tell(runner, runner.test_evaluator)

    def _tell(self, runner: Runner, evaluator: Evaluator) -> None:
        for metric in evaluator.metrics:
            if isinstance(metric, ReIDMetric) and (metric.dump or metric.projection):
                metric.model = fingerprint(runner.model)


def _record(sample: dict) -> dict[str, Any]:
    path = sample.get("img_path", "a sample without img_path")
    missing = [key for key in ("feature", "vehicle_id", "role", "img_path") if key not in sample]
    if missing:
        raise RankingError(
            f"{path}: the sample has no {', '.join(missing)}; the model's predict sets `feature`, the data "
            "set the rest"
        )
    if sample["role"] not in ROLES:
        raise RankingError(f"{path}: its role is {sample['role']!r}, not one of {', '.join(ROLES)}")
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
