"""What an evaluation looks like: ROC, CMC and the hardest queries, as files and on one page."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from detector.common.files import write_atomically
from pgan.evaluation import Evaluation, FeatureSet
from pgan.evaluation.distances import feature_distances
from pgan.tables import with_deviation
from pgan.visualization.panels import PAPER
from pgan.visualization.plots import cmc_curves, roc_curves
from pgan.visualization.report import (
    Figure,
    Highlight,
    Rankings,
    Report,
    Section,
    Table,
    write_report,
)
from pgan.visualization.retrieval import (
    Comparison,
    Pictures,
    Ranked,
    VisualizationError,
    draw_rankings,
    hardest_queries,
)

MAX_RANK = 50

_GAP = 16
_CMC = "Rank-k: how many queries have a good match among their first k images."
_ROC = (
    "Pairs of a query and a gallery image are accepted up to a distance. TPR: the share of good matches "
    "that are; FPR: the share of pairs of different vehicles that are."
)


def write_evaluation(
    out_dir: str | os.PathLike[str],
    features: FeatureSet,
    evaluation: Evaluation | Mapping[str, Evaluation],
    data_root: str | os.PathLike[str] | None = None,
    hardest: int = 8,
    top: int = 5,
) -> Path:
    """Write ``cmc`` and, where it was counted, ``roc`` as .svg and .png, and a page, ``index.html``.

    Given the images, the page and ``hardest.png`` also show the hardest queries of the first evaluation,
    in the first repeat of its protocol. Nothing is written if something cannot be drawn.

    Args:
        out_dir: Folder for the files.
        features: What the first evaluation scored.
        evaluation: One, or several by the names that a legend gives them.
        data_root: Folder that the images' paths are relative to; None shows none.
        hardest: Queries to show.
        top: Results per query.

    Returns:
        The page.

    Raises:
        ImageError: An image that is to be shown is not there, or damaged.
        VisualizationError: No evaluation, less than one query to show, or a ranking of refined
            distances, which are not kept.
    """
    if isinstance(evaluation, Evaluation):
        evaluation = {evaluation.protocol.name: evaluation}
    if not evaluation:
        raise VisualizationError("there is no evaluation to show")
    plots = _plots(evaluation)
    files = {f"{name}.{fmt}": draw(fmt) for name, draw in plots.items() for fmt in ("svg", "png")}
    figures = {name: files[f"{name}.svg"] for name in plots}
    rankings = None
    if data_root is not None:
        name, first = next(iter(evaluation.items()))
        rankings = _hardest(name, first, features, Pictures(data_root), hardest, top)
        files["hardest.png"] = _panel([c.rankings[0].image for c in rankings.comparisons])
    report = _report(evaluation, features, figures, rankings)
    for name, data in files.items():
        write_atomically(Path(out_dir) / name, lambda file, data=data: file.write(data))
    return write_report(Path(out_dir) / "index.html", report)


def _plots(evaluations: Mapping[str, Evaluation]) -> dict[str, Callable[[str], bytes]]:
    """What draws each plot in a format."""
    gallery = max(evaluation.counts()["gallery"] for evaluation in evaluations.values())
    ranks = range(1, min(MAX_RANK, gallery) + 1)
    cmcs = {
        name: [metrics[f"Rank-{k}"] for k in ranks]
        for name, evaluation in evaluations.items()
        for metrics in [evaluation.metrics(ranks)]
    }
    plots: dict[str, Callable[[str], bytes]] = {"cmc": lambda fmt: cmc_curves(cmcs, fmt)}
    if rocs := _with_roc(evaluations):
        curves = {name: evaluation.roc for name, evaluation in rocs.items()}
        plots["roc"] = lambda fmt: roc_curves(curves, fmt)
    return plots


def _with_roc(evaluations: Mapping[str, Evaluation]) -> dict[str, Evaluation]:
    return {name: evaluation for name, evaluation in evaluations.items() if evaluation.roc}


def _hardest(
    name: str,
    evaluation: Evaluation,
    features: FeatureSet,
    pictures: Pictures,
    count: int,
    top: int,
) -> Rankings:
    """An evaluation's hardest queries, in the first repeat."""
    if evaluation.refinement != "none":
        raise VisualizationError(
            f"{name}: rankings are shown without refinement ({evaluation.refinement}): leave it out, or "
            "the data root"
        )
    draw = next(evaluation.protocol.draws(features))
    query, gallery = draw.query_and_gallery()
    result = evaluation.rankings[0]
    ranked = Ranked(name, draw, result, feature_distances(query.features, gallery.features))
    queries = hardest_queries(result, count)
    rows = draw_rankings(ranked, queries, pictures, top, with_match=True)
    paths = query.img_paths[queries]
    comparisons = [Comparison(str(path), (row,)) for path, row in zip(paths, rows)]
    repeats = len(evaluation.rankings)
    where = f" in the first of {repeats} repeats" if repeats > 1 else ""
    return Rankings(
        comparisons,
        f"The {len(queries)} of {result.num_valid} queries with the least average precision{where}, the "
        f"hardest first. Blue: the query. Next, its {top} nearest images: green with a tick, the same "
        "vehicle; red with a cross, another. Last, the first good match, with its rank. "
        + _protocols({name: evaluation}),
    )


def _panel(rows: Sequence[np.ndarray]) -> bytes:
    """Rows below each other, as a PNG file."""
    width = max(row.shape[1] for row in rows)
    ends = [(_GAP * (row is not rows[-1]), width - row.shape[1]) for row in rows]
    filled = [
        cv2.copyMakeBorder(row, 0, below, 0, right, cv2.BORDER_CONSTANT, value=PAPER)
        for row, (below, right) in zip(rows, ends)
    ]
    return cv2.imencode(".png", np.concatenate(filled)[..., ::-1])[1].tobytes()


def _report(
    evaluations: Mapping[str, Evaluation],
    features: FeatureSet,
    figures: Mapping[str, bytes],
    hardest: Rankings | None,
) -> Report:
    name, first = next(iter(evaluations.items()))
    cmc = Figure(figures["cmc"], f"{_CMC} {_protocols(evaluations)}", "Rank-k against k")
    sections = [Section("Metrics", blocks=[_table(evaluations)]), Section("CMC", blocks=[cmc])]
    if rocs := _with_roc(evaluations):
        roc = Figure(figures["roc"], f"{_ROC} {_protocols(rocs)}", "TPR against FPR")
        sections.append(Section("ROC", blocks=[roc]))
    if hardest is not None:
        sections.append(Section("The hardest queries", blocks=[hardest]))
    values = _values(first)
    return Report(
        title=f"Finding vehicles again: {first.dataset or name}",
        summary="\n\n".join(
            f"{name}: {evaluation.describe()}." for name, evaluation in evaluations.items()
        ),
        sections=sections,
        highlights=[Highlight(key, f"{values[key]}%", name) for key in ("mAP", "Rank-1", "mINP")],
        made={
            "Date": datetime.date.today().isoformat(),
            "Features": "{} images, {} values each".format(*features.features.shape),
        },
    )


def _table(evaluations: Mapping[str, Evaluation]) -> Table:
    rows = {name: _values(evaluation) for name, evaluation in evaluations.items()}
    keys = list(dict.fromkeys(key for values in rows.values() for key in values))
    return Table(
        "In percent; mean ± standard deviation where a protocol is repeated",
        ["Evaluation", *keys],
        [[name, *(values.get(key) for key in keys)] for name, values in rows.items()],
    )


def _values(evaluation: Evaluation) -> dict[str, str]:
    stds = evaluation.stds()
    return {
        name: with_deviation(value, stds.get(name))
        for name, value in (evaluation.metrics() | evaluation.tprs()).items()
    }


def _protocols(evaluations: Mapping[str, Evaluation]) -> str:
    told = []
    for name, evaluation in evaluations.items():
        refinement = evaluation.refinement
        said = "" if refinement in name else f"; refinement: {refinement}"
        told.append(f"{name} ({evaluation.protocol.title}{said})")
    return f"By {'; '.join(told)}."
