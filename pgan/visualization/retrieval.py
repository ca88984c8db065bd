"""Rankings of several methods, side by side: which queries to show, and their pictures."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from detector.cache import PartCache
from detector.images import read_image
from pgan.evaluation.features import FeatureSet
from pgan.evaluation.ranking import RankingResult
from pgan.visualization.panels import WRITTEN_FROM, Picture, ranked_row

HOW_TO_READ = (
    "Blue: the query. Green with a tick: the same vehicle; red with a cross: another. Amber boxes are "
    "the parts, filled the more, the greater their attention weight is in that image; weights from "
    f"{100 * WRITTEN_FROM:.0f}% are written. Images of the query's vehicle by the query's own "
    "camera are left out."
)


class VisualizationError(ValueError):
    """Results that cannot be shown together."""


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
        self, path: str, weights: np.ndarray | None = None, with_parts: bool = True
    ) -> Picture:
        """An image with its parts: named, or with their attention weights if those are given.

        Args:
            path: Relative to the root, as in the cache.
            weights: (D,) attention weights in the cache's order, padded.
            with_parts: False for the bare image.

        Raises:
            detector.images.ImageError: The file cannot be read.
            detector.cache.CacheError: The cache does not have the image.
        """
        image = read_image(Path(self.root) / path)
        if self.cache is None or not with_parts:
            return Picture(image)
        parts = self.cache.parts(path, self.num_parts)
        if weights is None:
            names = [self.cache.classes[label] for label in parts.labels]
            return Picture(image, parts.boxes, labels=names)
        return Picture(image, parts.boxes, weights=weights[: len(parts.boxes)])


def pick_queries(first: RankingResult, second: RankingResult, count: int) -> np.ndarray:
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
    valid = np.flatnonzero(first.valid)
    gain = second.average_precision[valid] - first.average_precision[valid]
    order = valid[np.argsort(-gain, kind="stable")]
    steps = np.linspace(0, len(order) - 1, min(count, len(order)))
    return order[np.rint(steps).astype(int)]


def describe_pick(first: str, second: str, count: int, valid: int) -> str:
    """The rule of :func:`pick_queries` for a caption."""
    return (
        f"These {count} of {valid} queries are not hand-picked: all were sorted by how much the average "
        f"precision of {second} exceeds that of {first}, and taken at even steps from the greatest "
        "gain to the greatest loss, both ends included."
    )


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
    rows = {name: _MethodRows(features, k) for name, features in methods.items()}
    return [
        Comparison(
            str(next(iter(rows.values())).query.img_paths[query]),
            tuple(row.draw(name, int(query), pictures, tile) for name, row in rows.items()),
        )
        for query in queries
    ]


class _MethodRows:
    """One method's rankings: searched and scored once, drawn query by query."""

    def __init__(self, features: FeatureSet, k: int) -> None:
        self.query, self.gallery = features.query_and_gallery()
        self.found = features.search(k).indices
        self.result = features.evaluate()

    def draw(self, name: str, query: int, pictures: Pictures, tile: int) -> Ranking:
        found = self.found[query]
        found = found[found >= 0]
        image = ranked_row(
            self._picture(self.query, query, pictures, "query"),
            [
                self._picture(self.gallery, row, pictures, f"{rank}")
                for rank, row in enumerate(found, 1)
            ],
            self.gallery.vehicle_ids[found] == self.query.vehicle_ids[query],
            tile,
        )
        precision = float(self.result.average_precision[query])
        return Ranking(name, image, precision, int(self.result.first_match[query]))

    @staticmethod
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
