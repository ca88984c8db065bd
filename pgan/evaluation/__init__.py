# ruff: noqa: F401 - the imports are for type checkers
"""Exact ranking by named protocols, as functions of features and labels.

Names are imported when they are first used: protocols, results and feature files need no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pgan.evaluation.errors import RankingError
    from pgan.evaluation.exact_search import search, search_distances
    from pgan.evaluation.features import FeatureSet, FeatureSetError, load_features, save_features
    from pgan.evaluation.labels import Labels
    from pgan.evaluation.projection import (
        FeatureProjection,
        ProjectionError,
        fit_projection,
        load_projection,
        save_projection,
    )
    from pgan.evaluation.protocols import FPRS, PROTOCOLS, RANKS, Protocol, get_protocol
    from pgan.evaluation.rank_lists import RankLists
    from pgan.evaluation.ranking import RankingScores, evaluate_distances, evaluate_features
    from pgan.evaluation.refinement import KReciprocal, Refinement, expand_queries
    from pgan.evaluation.retrieval import RetrievalResult
    from pgan.evaluation.roc import RocCurve
    from pgan.evaluation.scoring import Evaluation, evaluate

_MODULES = {
    "errors": ["RankingError"],
    "features": ["FeatureSet", "FeatureSetError", "load_features", "save_features"],
    "labels": ["Labels"],
    "projection": [
        *(
            "FeatureProjection",
            "ProjectionError",
            "fit_projection",
            "load_projection",
            "save_projection",
        )
    ],
    "protocols": ["FPRS", "PROTOCOLS", "RANKS", "Protocol", "get_protocol"],
    "rank_lists": ["RankLists"],
    "ranking": ["RankingScores", "evaluate_distances", "evaluate_features"],
    "refinement": ["KReciprocal", "Refinement", "expand_queries"],
    "retrieval": ["RetrievalResult"],
    "roc": ["RocCurve"],
    "scoring": ["Evaluation", "evaluate"],
    "exact_search": ["search", "search_distances"],
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
__all__ = list(_HOME)


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
