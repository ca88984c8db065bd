"""Scores as a table in Markdown: each row names its protocol."""

from __future__ import annotations

from collections.abc import Sequence

from pgan.evaluation.scoring import FPRS, RANKS, Evaluation
from pgan.tables import markdown_table, with_deviation


def score_table(
    evaluations: Sequence[Evaluation],
    ranks: Sequence[int] = RANKS,
    fprs: Sequence[float] = FPRS,
) -> str:
    """A row per evaluation: protocol, refinement, metrics in percent, as ``mean ± std`` with repeats.

    A projection is named with the refinement, before it.
    """
    rows = [_cells(evaluation, ranks, fprs) for evaluation in evaluations]
    return markdown_table(list(rows[0]), [list(row.values()) for row in rows], left=2)


def _cells(evaluation: Evaluation, ranks: Sequence[int], fprs: Sequence[float]) -> dict[str, str]:
    stds = evaluation.stds(ranks)
    done = [
        step for step in (evaluation.projection, evaluation.refinement) if step not in ("", "none")
    ]
    cells = {"protocol": evaluation.protocol.name, "refinement": ", then ".join(done) or "none"}
    for name, value in (evaluation.metrics(ranks) | evaluation.tprs(fprs)).items():
        cells[f"{name}, %"] = with_deviation(value, stds.get(name), digits=2)
    return cells
