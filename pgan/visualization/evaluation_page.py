"""Show an evaluation: ROC, CMC and the hardest queries, as files and on one page."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import cv2
import numpy as np

from pgan.evaluation import Evaluation, FeatureSet
from pgan.tables import with_deviation
from pgan.visualization.errors import VisualizationError
from pgan.visualization.image_reader import ImageReader
from pgan.visualization.page import (
    Figure,
    Highlight,
    Page,
    Rankings,
    Section,
    Table,
    write_file,
    write_html,
)
from pgan.visualization.panels import PAPER
from pgan.visualization.plots import cmc_curves, roc_curves
from pgan.visualization.query_choice import hardest_queries
from pgan.visualization.rankings import draw_rankings, rank_lists

MAX_RANK = 50

_GAP = 16
_CMC = "Rank-k: the percentage of queries with a good match among their first k images."
_ROC = (
    "A pair of a query and a gallery image is accepted if its distance is at most a threshold. TPR: the "
    "fraction of good matches that are accepted; FPR: the fraction of pairs of different vehicles that are."
)


def write_evaluation(
    out_dir: str | os.PathLike[str],
    features: FeatureSet,
    evaluation: Evaluation | Mapping[str, Evaluation],
    data_root: str | os.PathLike[str] | None = None,
    hardest: int = 8,
    top: int = 5,
) -> Path:
    """Write ``cmc`` and, if there is one, ``roc`` as .svg and .png, and a page, ``index.html``.

    If the images are given, the page and ``hardest.png`` also show the hardest queries of the first
    evaluation, in the first repeat of its protocol, ranked as they were scored. Nothing is written if
    something cannot be drawn.

    Args:
        out_dir: Folder for the files.
        features: The features that were evaluated.
        evaluation: One evaluation, or several by their names in the legend.
        data_root: Folder that the images' paths are relative to; None to show no images.
        hardest: Queries to show.
        top: Results per query; the first evaluation must have kept as many (``evaluate(..., top=5)``).

    Returns:
        Path of the page.

    Raises:
        ImageError: An image that is to be shown is missing or damaged.
        VisualizationError: No evaluation, no query to show, or an evaluation without rank lists.
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
        rankings = _hardest(name, first, ImageReader(data_root), hardest, top)
        files["hardest.png"] = _stacked([row[0].image for row in rankings.panels.values()])
    page = _page(evaluation, features, figures, rankings)
    for name, data in files.items():
        write_file(Path(out_dir) / name, data)
    return write_html(Path(out_dir) / "index.html", page)


def _plots(evaluations: Mapping[str, Evaluation]) -> dict[str, Callable[[str], bytes]]:
    """Return a function per plot that draws it in a format."""
    gallery = max(evaluation.counts()["gallery"] for evaluation in evaluations.values())
    ranks = range(1, min(MAX_RANK, gallery) + 1)
    cmcs = {
        name: [metrics[f"Rank-{k}"] for k in ranks]
        for name, evaluation in evaluations.items()
        for metrics in [evaluation.metrics(ranks)]
    }
    plots: dict[str, Callable[[str], bytes]] = {"cmc": lambda fmt: cmc_curves(cmcs, fmt)}
    if rocs := _with_roc(evaluations):
        curves = {name: e.roc for name, e in rocs.items() if e.roc is not None}
        plots["roc"] = lambda fmt: roc_curves(curves, fmt)
    return plots


def _with_roc(evaluations: Mapping[str, Evaluation]) -> dict[str, Evaluation]:
    return {name: evaluation for name, evaluation in evaluations.items() if evaluation.roc}


def _hardest(
    name: str, evaluation: Evaluation, reader: ImageReader, count: int, top: int
) -> Rankings:
    """Draw the hardest queries of an evaluation, in the first repeat."""
    scores = evaluation.rankings[0]
    queries = hardest_queries(scores, count)
    rows = draw_rankings(name, evaluation, queries, reader, top, with_match=True)
    images = rank_lists(name, evaluation, top).images
    paths = images.img_paths[images.roles == "query"][queries]
    repeats = len(evaluation.rankings)
    where = f" in the first of {repeats} repeats" if repeats > 1 else ""
    return Rankings(
        {str(path): [row] for path, row in zip(paths, rows)},
        f"The {len(queries)} of {scores.num_valid} queries with the lowest average precision{where}, the "
        f"hardest first. Blue: the query. Next, its {top} nearest images: green with a tick, the same "
        "vehicle; red with a cross, another. Last, the first good match, with its rank. "
        + _protocols({name: evaluation}),
    )


def _stacked(rows: Sequence[np.ndarray]) -> bytes:
    """Return a PNG file of images below each other."""
    width = max(row.shape[1] for row in rows)
    ends = [(_GAP * (row is not rows[-1]), width - row.shape[1]) for row in rows]
    filled = [
        cv2.copyMakeBorder(row, 0, below, 0, right, cv2.BORDER_CONSTANT, value=PAPER)
        for row, (below, right) in zip(rows, ends)
    ]
    return cv2.imencode(".png", np.concatenate(filled)[..., ::-1])[1].tobytes()


def _page(
    evaluations: Mapping[str, Evaluation],
    features: FeatureSet,
    figures: Mapping[str, bytes],
    hardest: Rankings | None,
) -> Page:
    name, first = next(iter(evaluations.items()))
    cmc = Figure(figures["cmc"], f"{_CMC} {_protocols(evaluations)}", "Rank-k against k")
    sections = [Section("Metrics", blocks=[_table(evaluations)]), Section("CMC", blocks=[cmc])]
    if rocs := _with_roc(evaluations):
        roc = Figure(figures["roc"], f"{_ROC} {_protocols(rocs)}", "TPR against FPR")
        sections.append(Section("ROC", blocks=[roc]))
    if hardest is not None:
        sections.append(Section("The hardest queries", blocks=[hardest]))
    values = _values(first)
    return Page(
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
    sentences = []
    for name, evaluation in evaluations.items():
        refinement = evaluation.refinement
        note = "" if refinement in name else f"; refinement: {refinement}"
        sentences.append(f"{name} ({evaluation.protocol.title}{note})")
    return f"By {'; '.join(sentences)}."
