"""Panels of rank lists as they were scored: one query by one method, or by several side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pgan.evaluation.features import FeatureSet
from pgan.evaluation.rank_lists import RankLists
from pgan.evaluation.scoring import Evaluation
from pgan.visualization.errors import VisualizationError
from pgan.visualization.image_reader import ImageReader
from pgan.visualization.page import RankingPanel
from pgan.visualization.panels import (
    SCREEN_DPI,
    AnnotatedImage,
    pixels,
    ranking_panel,
)


def rank_lists(name: str, evaluation: Evaluation, top: int = 1) -> RankLists:
    """Return the rank lists of an evaluation.

    Args:
        name: Name of the evaluation, for the error message.
        evaluation: Any.
        top: Images that each list must have room for.

    Raises:
        VisualizationError: The evaluation kept no lists, or shorter ones.
    """
    lists = evaluation.rank_lists
    kept = 0 if lists is None else lists.nearest.k
    if lists is None or kept < top:
        raise VisualizationError(
            f"{name}: {top} images of each ranking are to be shown, and the evaluation kept {kept}: "
            f"evaluate with top={top}"
        )
    return lists


def compare(
    evaluations: Mapping[str, Evaluation],
    queries: Sequence[int] | np.ndarray,
    reader: ImageReader,
    top: int = 5,
) -> dict[str, list[RankingPanel]]:
    """Draw the first images of each query's ranking by each method, in the order they were scored in.

    Images of a method with part weights are shown with their parts and weights, others without.

    Args:
        evaluations: Name of each method -> its evaluation of the same test set, with rank lists.
        queries: Indices of queries.
        reader: Reads the images and their parts.
        top: Results per query.

    Returns:
        Path of each query -> a panel per method.

    Raises:
        VisualizationError: The methods were not evaluated on the same images, or without rank lists.
    """
    lists = {name: rank_lists(name, e, top) for name, e in evaluations.items()}
    _check_same_images(lists)
    panels = [
        draw_rankings(name, evaluation, queries, reader, top)
        for name, evaluation in evaluations.items()
    ]
    images = next(iter(lists.values())).images
    paths = images.img_paths[images.roles == "query"][list(queries)]
    return {str(path): list(row) for path, row in zip(paths, zip(*panels))}


def draw_rankings(
    name: str,
    evaluation: Evaluation,
    queries: Sequence[int] | np.ndarray,
    reader: ImageReader,
    top: int = 5,
    with_match: bool = False,
) -> list[RankingPanel]:
    """Draw the first images of each query's ranking, in the order they were scored in.

    Args:
        name: Name of the method.
        evaluation: Its evaluation, with rank lists.
        queries: Indices of queries.
        reader: Reads the images, and their parts if the features have part weights.
        top: Results per query.
        with_match: Whether to add the first good match, with its rank.

    Raises:
        VisualizationError: The evaluation has no rank lists, or a query has no good match to add.
    """
    lists = rank_lists(name, evaluation, top)
    scores = evaluation.rankings[0]
    images = lists.images
    query_rows, gallery_rows = (np.flatnonzero(images.roles == r) for r in ("query", "gallery"))
    panels = []
    for query in map(int, queries):
        row, first_match = int(query_rows[query]), int(scores.first_match[query])
        found = lists.nearest.query(query).truncate(top)
        rows = gallery_rows[found.indices[0]].tolist()
        titles = [str(rank) for rank in range(1, len(rows) + 1)]
        correct = (images.vehicle_ids[rows] == images.vehicle_ids[row]).tolist()
        if with_match:
            if not first_match:
                raise VisualizationError(f"{images.img_paths[row]} has no good match to show")
            rows.append(int(gallery_rows[lists.nearest_matches.indices[query, 0]]))
            titles.append(f"first match, rank {first_match}")
            correct.append(True)
        png = ranking_panel(
            _read(images, row, reader),
            [_read(images, result, reader) for result in rows],
            titles,
            correct,
            dpi=SCREEN_DPI,
            columns=max(top + 1 + with_match, 5),
        )
        precision = float(scores.average_precision[query])
        panels.append(RankingPanel(name, pixels(png), precision, first_match))
    return panels


def _read(images: FeatureSet, row: int, reader: ImageReader) -> AnnotatedImage:
    weights = None if images.part_weights is None else images.part_weights[row]
    return reader.read(str(images.img_paths[row]), weights, with_parts=weights is not None)


def _check_same_images(lists: Mapping[str, RankLists]) -> None:
    if not lists:
        raise VisualizationError("there is no method to show")
    (first, own), *others = ((name, each.images) for name, each in lists.items())
    for name, other in others:
        same = np.array_equal(own.img_paths, other.img_paths)
        if not same or not np.array_equal(own.roles, other.roles):
            raise VisualizationError(f"{first} and {name} were not evaluated on the same images")
