"""Exact ranking: `ranking` holds the pure functions, `reid_metric` is mmengine's face of them."""

from pgan.evaluation.features import FeatureSet, FeatureSetError, load_features, save_features
from pgan.evaluation.ranking import (
    Labels,
    RankingError,
    RankingResult,
    SearchResult,
    evaluate_distances,
    evaluate_features,
    search,
    search_distances,
)
from pgan.evaluation.reid_metric import ReIDMetric

__all__ = [
    "FeatureSet",
    "FeatureSetError",
    "Labels",
    "RankingError",
    "RankingResult",
    "ReIDMetric",
    "SearchResult",
    "evaluate_distances",
    "evaluate_features",
    "load_features",
    "save_features",
    "search",
    "search_distances",
]
