"""Scores as a Markdown table whose rows name their protocol."""

from __future__ import annotations

from collections.abc import Sequence

from pgan.evaluation.protocols import FPRS, RANKS
from pgan.evaluation.scoring import Evaluation
from pgan.tables import markdown_table, with_deviation


def score_table(
    evaluations: Sequence[Evaluation],
    ranks: Sequence[int] = RANKS,
    fprs: Sequence[float] = FPRS,
) -> str:
    """Return a table with one row per evaluation: protocol, refinement, and metrics in percent.

    Metrics of a protocol with repeats are ``mean ± standard deviation``. A projection is named before the
    refinement.

    Args:
        evaluations: At least one.
        ranks: The k of Rank-k.
        fprs: False positive rates at which to report the TPR.

    Example:
        >>> import numpy as np
        >>> from pgan.evaluation import FeatureSet, evaluate
        >>> features = FeatureSet(
        ...     features=np.array([[0, 0], [3, 4], [0, 1]], dtype=np.float32),
        ...     vehicle_ids=np.array([7, 3, 7]),
        ...     camera_ids=np.array([0, 1, 1]),
        ...     roles=np.array(["query", "gallery", "gallery"]),
        ...     img_paths=np.array(["a.jpg", "b.jpg", "c.jpg"]),
        ... )
        >>> print(score_table([evaluate(features, device="cpu")], ranks=(1,)))
        | protocol     | refinement | mAP, % | mINP, % | Rank-1, % |
        | ------------ | ---------- | -----: | ------: | --------: |
        | cross-camera | none       | 100.00 |  100.00 |    100.00 |
    """
    rows = [_cells(evaluation, ranks, fprs) for evaluation in evaluations]
    return markdown_table(list(rows[0]), [list(row.values()) for row in rows], left=2)


def _cells(evaluation: Evaluation, ranks: Sequence[int], fprs: Sequence[float]) -> dict[str, str]:
    stds = evaluation.stds(ranks)
    steps = [
        step for step in (evaluation.projection, evaluation.refinement) if step not in ("", "none")
    ]
    cells = {"protocol": evaluation.protocol.name, "refinement": ", then ".join(steps) or "none"}
    for name, value in (evaluation.metrics(ranks) | evaluation.tprs(fprs)).items():
        cells[f"{name}, %"] = with_deviation(value, stds.get(name), digits=2)
    return cells
