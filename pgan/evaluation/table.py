"""Scores as a table in Markdown: each row names its protocol."""

from __future__ import annotations

from collections.abc import Sequence

from pgan.evaluation.scoring import FPRS, RANKS, Evaluation


def score_table(
    evaluations: Sequence[Evaluation],
    ranks: Sequence[int] = RANKS,
    fprs: Sequence[float] = FPRS,
) -> str:
    """A row per evaluation: protocol, refinement, metrics in percent, as ``mean ± std`` with repeats."""
    rows = [_cells(evaluation, ranks, fprs) for evaluation in evaluations]
    titles = list(rows[0])
    lines = [titles, *([row[title] for title in titles] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines)]
    aligned = [
        [
            cell.ljust(w) if index < 2 else cell.rjust(w)
            for index, (cell, w) in enumerate(zip(line, widths))
        ]
        for line in lines
    ]
    rule = ["-" * w if index < 2 else "-" * (w - 1) + ":" for index, w in enumerate(widths)]
    return "\n".join(f"| {' | '.join(line)} |" for line in [aligned[0], rule, *aligned[1:]])


def _cells(evaluation: Evaluation, ranks: Sequence[int], fprs: Sequence[float]) -> dict[str, str]:
    stds = evaluation.stds(ranks)
    cells = {"protocol": evaluation.protocol.name, "refinement": evaluation.refinement}
    for name, value in (evaluation.metrics(ranks) | evaluation.tprs(fprs)).items():
        cells[f"{name}, %"] = f"{value:.2f}" + (f" ± {stds[name]:.2f}" if name in stds else "")
    return cells
