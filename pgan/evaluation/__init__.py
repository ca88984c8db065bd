"""Exact ranking by named protocols, as functions."""

from pgan.evaluation.errors import RankingError
from pgan.evaluation.features import FeatureSet, FeatureSetError, load_features, save_features
from pgan.evaluation.labels import Labels
from pgan.evaluation.projection import (
    Projection,
    ProjectionError,
    fit_projection,
    load_projection,
    save_projection,
)
from pgan.evaluation.protocols import PROTOCOLS, Protocol, get_protocol
from pgan.evaluation.ranking import RankingResult, evaluate_distances, evaluate_features
from pgan.evaluation.refinement import KReciprocal, Refinement, expand_queries
from pgan.evaluation.roc import RocCurve
from pgan.evaluation.scoring import FPRS, RANKS, Evaluation, evaluate
from pgan.evaluation.search import SearchResult, search, search_distances

__all__ = [
    "FPRS",
    "PROTOCOLS",
    "RANKS",
    "Evaluation",
    "FeatureSet",
    "FeatureSetError",
    "KReciprocal",
    "Labels",
    "Projection",
    "ProjectionError",
    "Protocol",
    "RankingError",
    "RankingResult",
    "Refinement",
    "RocCurve",
    "SearchResult",
    "evaluate",
    "evaluate_distances",
    "evaluate_features",
    "expand_queries",
    "fit_projection",
    "get_protocol",
    "load_features",
    "load_projection",
    "save_features",
    "save_projection",
    "search",
    "search_distances",
]
