"""Rankings of several methods, side by side: which queries to show, and their pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from detector.cache import PartCache
from detector.common.images import read_image
from pgan.evaluation.distances import DistanceChunks, feature_distances
from pgan.evaluation.exact_search import search_distances
from pgan.evaluation.features import FeatureSet
from pgan.evaluation.labels import Labels
from pgan.evaluation.ranking import RankingScores, rank
from pgan.visualization.panels import WRITTEN_FROM, Picture, ranked_row

MARKS = "Blue: the query. Green with a tick: the same vehicle; red with a cross: another."
PARTS = (
    "Amber boxes are the parts, filled the more, the greater their attention weight is in that image; "
    f"weights from {100 * WRITTEN_FROM:.0f}% are written."
)
HOW_TO_READ = (
    f"{MARKS} {PARTS} Images of the query's vehicle by the query's own camera are left out."
)


class VisualizationError(ValueError):
    """Results that cannot be shown together."""


@dataclass(frozen=True, eq=False)
class Ranked:
    """A test set ranked by one method.

    Attributes:
        method: Its name.
        features: With the roles that were ranked.
        result: How well.
        distances: What it was ranked by.
    """

    method: str
    features: FeatureSet
    result: RankingScores
    distances: DistanceChunks


@dataclass(frozen=True, eq=False)
class Shown:
    """What is shown of a query's ranking.

    Attributes:
        columns: Rows of the gallery, nearest first, junk left out.
        correct: Whether each is the query's vehicle.
        match: Row of the nearest good match; None if there is none.
        first_match: Its rank, 0 if there is none.
        distances: (G,) from the query to every gallery image.
    """

    columns: list[int]
    correct: list[bool]
    match: int | None
    first_match: int
    distances: np.ndarray


@dataclass(frozen=True)
class Ranking:
    """A query's ranking by one method, as a picture."""

    method: str
    image: np.ndarray
    average_precision: float
    first_match: int


@dataclass(frozen=True)
class Comparison:
    """A query's rankings by several methods."""

    query: str
    rankings: tuple[Ranking, ...]


@dataclass(frozen=True)
class Pictures:
    """Reads images of a data set, with their cached parts.

    Args:
        root: The data root.
        cache: The part cache, or None for bare images.
        num_parts: D, how many parts to show.
    """

    root: str | os.PathLike[str]
    cache: PartCache | None = None
    num_parts: int | None = None

    def read(
        self,
        path: str,
        weights: np.ndarray | None = None,
        with_parts: bool = True,
        named: bool = False,
    ) -> Picture:
        """An image with its parts: named, or with their attention weights if those are given.

        Args:
            path: Relative to the root, as in the cache.
            weights: (D,) attention weights in the cache's order, padded.
            with_parts: False for the bare image.
            named: Names, too, where weights are given.

        Raises:
            detector.common.images.ImageError: The file cannot be read.
            detector.cache.reader.CacheError: The cache does not have the image.
        """
        image = read_image(Path(self.root) / path)
        if self.cache is None or not with_parts:
            return Picture(image)
        parts = self.cache.parts(path, self.num_parts)
        names = [self.cache.classes[label] for label in parts.labels]
        if weights is None:
            return Picture(image, parts.boxes, names)
        return Picture(image, parts.boxes, names if named else None, weights[: len(parts)])


def pick_queries(first: RankingScores, second: RankingScores, count: int) -> np.ndarray:
    """Queries at even steps from the second method's greatest gain to its greatest loss.

    Sorted by the difference in average precision, ties by the query's index.

    Args:
        first: One method's ranking, say the baseline's.
        second: The other's, of the same queries.
        count: How many, at most as many as are valid.

    Returns:
        Indices of queries, int64, gain first.

    Raises:
        VisualizationError: The methods did not rank the same queries, or a count below 1.
    """
    if not np.array_equal(first.num_matches, second.num_matches):
        raise VisualizationError("the two methods did not rank the same queries and gallery")
    if count < 1:
        raise VisualizationError(f"at least 1 query must be picked, not {count}")
    return _at_even_steps(first.valid, second.average_precision - first.average_precision, count)


def spread_queries(result: RankingScores, count: int) -> np.ndarray:
    """Queries at even steps from the greatest average precision to the least, both ends included.

    Sorted by average precision, ties by the query's index.

    Args:
        result: Of the ranking.
        count: How many, at most as many as are valid.

    Returns:
        Indices of queries, int64, the best answered first.
    """
    return _at_even_steps(result.valid, result.average_precision, count)


def _at_even_steps(valid: np.ndarray, values: np.ndarray, count: int) -> np.ndarray:
    rows = np.flatnonzero(valid)
    order = rows[np.argsort(-values[rows], kind="stable")]
    steps = np.linspace(0, len(order) - 1, min(count, len(order)))
    return order[np.rint(steps).astype(int)]


def describe_pick(first: str, second: str, count: int, valid: int) -> str:
    """The rule of :func:`pick_queries` for a caption."""
    return (
        f"These {count} of {valid} queries are not hand-picked: all were sorted by how much the average "
        f"precision of {second} exceeds that of {first}, and taken at even steps from the greatest "
        "gain to the greatest loss, both ends included."
    )


def hardest_queries(result: RankingScores, count: int) -> np.ndarray:
    """Queries of the least average precision, the hardest first; ties by the query's index.

    Args:
        result: Of the ranking.
        count: How many, at most as many as are valid.

    Returns:
        Indices of queries, int64.

    Raises:
        VisualizationError: A count below 1.
    """
    if count < 1:
        raise VisualizationError(f"at least 1 query must be shown, not {count}")
    valid = np.flatnonzero(result.valid)
    return valid[np.argsort(result.average_precision[valid], kind="stable")[:count]]


def surest_mistakes(ranked: Ranked, count: int) -> np.ndarray:
    """Queries whose nearest image is of another vehicle, the nearer that image the sooner.

    So the first are the mistakes that even the strictest limit on the distance lets pass. A query without
    a good match is left out; ties go by the query's index.

    Args:
        ranked: By one method.
        count: How many, at most as many as there are.

    Returns:
        Indices of queries, int64; none where the first image is always right.
    """
    wrong = np.flatnonzero(ranked.result.first_match > 1)
    nearest = ranked.features.search(1).distances[wrong, 0]
    return wrong[np.argsort(nearest, kind="stable")[:count]]


def compare(
    methods: Mapping[str, FeatureSet],
    queries: Sequence[int],
    pictures: Pictures,
    k: int = 5,
    tile: int = 208,
) -> list[Comparison]:
    """Draw the first k of each query's ranking by each method.

    A method with part weights shows its parts, with the weights; one without shows bare images.

    Args:
        methods: Name -> its features of the same test set.
        queries: Indices among the queries.
        pictures: Where images and parts come from.
        k: Results per query.
        tile: Side of a picture, pixels.

    Raises:
        VisualizationError: The methods were not tested on the same images.
    """
    _check_same_images(methods)
    rankings = [
        draw_rankings(rank_features(name, features), queries, pictures, k, tile=tile)
        for name, features in methods.items()
    ]
    paths = next(iter(methods.values())).subset("query").img_paths[list(queries)]
    return [Comparison(str(path), rows) for path, rows in zip(paths, zip(*rankings))]


def draw_rankings(
    ranked: Ranked,
    queries: Sequence[int],
    pictures: Pictures,
    k: int = 5,
    with_match: bool = False,
    tile: int = 208,
) -> list[Ranking]:
    """Draw the first k of each query's ranking; with part weights, if there are any.

    Args:
        ranked: By one method.
        queries: Indices among the queries.
        pictures: Where images and parts come from.
        k: Results per query.
        with_match: Whether the first good match follows the k, with its rank.
        tile: Side of a picture, pixels.

    Raises:
        VisualizationError: The first match is asked for of a query that has none.
    """
    query, gallery = ranked.features.query_and_gallery()
    drawn = []
    for index, shown in zip(map(int, queries), first_results(ranked, queries, k)):
        results = list(zip(shown.columns, shown.correct, map(str, range(1, k + 1))))
        if with_match:
            if shown.match is None:
                raise VisualizationError(f"{query.img_paths[index]} has no good match to show")
            results.append((shown.match, True, f"first match, rank {shown.first_match}"))
        image = ranked_row(
            _picture(query, index, pictures, "query"),
            [_picture(gallery, column, pictures, title) for column, _, title in results],
            [correct for _, correct, _ in results],
            tile,
        )
        precision = float(ranked.result.average_precision[index])
        drawn.append(Ranking(ranked.method, image, precision, shown.first_match))
    return drawn


def first_results(ranked: Ranked, queries: Sequence[int], k: int) -> list[Shown]:
    """The first k of each query's ranking, and its first good match.

    Args:
        ranked: By one method.
        queries: Indices among the queries.
        k: Results per query, fewer where the gallery has fewer.
    """
    query, gallery = ranked.features.query_and_gallery()
    query = query.take(np.asarray(queries, np.int64))
    labels = Labels(query.vehicle_ids, gallery.vehicle_ids, query.camera_ids, gallery.camera_ids)
    distances = torch.cat([ranked.distances.rows(q, q + 1) for q in map(int, queries)]).cpu()
    shown = []
    for row, found in enumerate(search_distances(distances, k, labels).indices):
        columns = found[found >= 0].tolist()
        correct = (gallery.vehicle_ids[columns] == query.vehicle_ids[row]).tolist()
        match = _nearest_match(row, distances, labels)
        first_match = int(ranked.result.first_match[queries[row]])
        shown.append(Shown(columns, correct, match, first_match, distances[row].numpy()))
    return shown


def rank_features(name: str, features: FeatureSet) -> Ranked:
    """Rank a test set as its roles and cameras say."""
    query, gallery = features.query_and_gallery()
    distances = feature_distances(query.features, gallery.features)
    return Ranked(name, features, rank(distances, features.labels()), distances)


def _nearest_match(row: int, distances: torch.Tensor, labels: Labels) -> int | None:
    same = labels.same_vehicle(row, row + 1)
    good = same.columns[same.good]
    return int(good[distances[row, good].argmin()]) if len(good) else None


def _picture(side: FeatureSet, row: int, pictures: Pictures, title: str) -> Picture:
    weights = None if side.part_weights is None else side.part_weights[row]
    path = str(side.img_paths[row])
    return replace(pictures.read(path, weights, with_parts=weights is not None), title=title)


def _check_same_images(methods: Mapping[str, FeatureSet]) -> None:
    if not methods:
        raise VisualizationError("there is no method to show")
    (first, features), *others = methods.items()
    for name, other in others:
        same = np.array_equal(features.img_paths, other.img_paths)
        if not same or not np.array_equal(features.roles, other.roles):
            raise VisualizationError(f"{first} and {name} were not tested on the same images")
