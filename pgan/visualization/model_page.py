"""Show a model as a page and figures: rankings, its most confident errors, its attention."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np

from detector.cache import PartCache
from pgan.evaluation import Evaluation, FeatureSet, evaluate
from pgan.visualization.attention import (
    CELLS,
    GLOBAL,
    GUIDED,
    AttributeWeights,
    Viewer,
    attribute_weights,
)
from pgan.visualization.attribute_plots import LEAST_WEIGHT, selection_bars, weight_densities
from pgan.visualization.page import Figure, Highlight, Page, Section, Table, write_file, write_html
from pgan.visualization.panels import (
    MARKS,
    PARTS,
    AnnotatedImage,
    image_panel,
    pixels,
    ranking_panel,
)
from pgan.visualization.query_choice import most_confident_errors, spread_queries
from pgan.visualization.rankings import rank_lists

_MAPS = {
    GUIDED: (
        "The map below shows where F_p, the part-guided feature map, is strong: the mean over channels of "
        "|F_p|, from the minimum of an image (dark) to its maximum (bright)."
    ),
    GLOBAL: (
        "This model has no parts and no F_p. The map below shows where its feature map F_g is strong (for "
        "SSR-Net, the map after its attention): the mean over channels of |F_g|, from the minimum of an "
        "image (dark) to its maximum (bright)."
    ),
    CELLS: "Each cell of the map is a part; the first map shows the weights of the cells.",
}


@dataclass
class Figures:
    """Figures drawn in each format, and written all together or not at all.

    Args:
        formats: ``'png'``, and ``'pdf'`` if that is wanted, too.
    """

    formats: Sequence[str] = ("png",)
    files: dict[str, bytes] = field(default_factory=dict)

    def add(self, name: str, draw: Callable[[str], bytes], scale: float = 1) -> np.ndarray:
        """Draw a figure in each format, and return its pixels, RGB, scaled for a page."""
        for fmt in self.formats:
            self.files[f"{name}.{fmt}"] = draw(fmt)
        return pixels(self.files[f"{name}.png"], scale)

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write all figures."""
        for name, data in self.files.items():
            write_file(Path(folder) / name, data)


@dataclass(frozen=True)
class _Ranked:
    """What the panel of one query shows.

    Attributes:
        query: Path of the query.
        results: Rank -> path, distance and correctness of a result.
        first_match: Rank of the first good match, 0 if there is none.
        average_precision: 0 to 1.
    """

    query: str
    results: Mapping[int, tuple[str, float, bool]]
    first_match: int
    average_precision: float


def write_test_set(
    out_dir: str | os.PathLike[str],
    features: FeatureSet,
    view: Viewer,
    cache: PartCache | None,
    made: Mapping[str, str],
    queries: int = 6,
    top: int = 5,
    formats: Sequence[str] = ("png",),
) -> Path:
    """Write figures of a tested model, and a page of them, ``index.html`` (PGAN, Figures 8 to 11).

    ``query_1`` and so on are queries at even steps of average precision, ``mistake_1`` and so on those of
    `most_confident_errors`, both in the first repeat of the data set's protocol; ``attributes_selected`` and
    ``attention_density`` cover all test images. Nothing is written if something cannot be drawn.

    Args:
        out_dir: Folder for the files.
        features: Features of the test set.
        view: Returns its images as the model sees them.
        cache: The part cache that names the weighed parts; None if the model weighs none, or cells.
        made: How the page was created, name -> value, for its foot; ``Model`` is its title.
        queries: Number of queries, and of errors.
        top: Results per query.
        formats: ``'png'``, and ``'pdf'`` if that is wanted, too.

    Returns:
        Path of the page.

    Raises:
        RankingError: The features cannot be evaluated.
        VisualizationError, CacheError: The part weights do not fit the cache.
        ImageError: An image is missing or damaged.
    """
    evaluation = evaluate(features, top=top)
    figures = Figures(formats)
    sections = [
        *_rankings(evaluation, view, queries, top, figures),
        _attributes(features, cache, figures),
    ]
    metrics = evaluation.metrics((1,))
    page = Page(
        f"Inside {made['Model']}: {features.dataset or evaluation.protocol.name}",
        f"{evaluation.describe()}.",
        sections,
        [Highlight(name, f"{value:.1f}%") for name, value in metrics.items()],
        {"Date": datetime.date.today().isoformat(), **made},
    )
    figures.write(out_dir)
    return write_html(Path(out_dir) / "index.html", page)


def write_images(
    out_dir: str | os.PathLike[str],
    images: Sequence[str],
    view: Viewer,
    made: Mapping[str, str],
    formats: Sequence[str] = ("png",),
) -> Path:
    """Write a figure of each image as a model sees it, ``image_1`` and so on, and a page of them.

    Args:
        out_dir: Folder for the files.
        images: Paths relative to the data root.
        view: Returns them as the model sees them.
        made: How the page was created, name -> value, for its foot; ``Model`` is its title.
        formats: ``'png'``, and ``'pdf'`` if that is wanted, too.

    Returns:
        Path of the page.
    """
    figures, views = Figures(formats), view(images)
    blocks = []
    for number, (path, seen) in enumerate(zip(images, views), 1):
        image = figures.add(f"image_{number}", partial(image_panel, seen))
        blocks.append(Figure(image, path, f"{path} as the model sees it"))
    page = Page(
        f"Inside {made['Model']}: {len(images)} image{'s' * (len(images) > 1)}",
        _how_to_read(views[0]),
        [Section("Images", blocks=blocks)],
        made={"Date": datetime.date.today().isoformat(), **made},
    )
    figures.write(out_dir)
    return write_html(Path(out_dir) / "index.html", page)


def _rankings(
    evaluation: Evaluation, view: Viewer, count: int, top: int, figures: Figures
) -> list[Section]:
    """Return two sections: some queries, and the most confident errors."""
    scores = evaluation.rankings[0]
    nearest = rank_lists("the test set", evaluation, top).nearest
    rows = {
        "query": spread_queries(scores, count),
        "mistake": most_confident_errors(scores, nearest, count),
    }
    # A mistake has room for one image more, its first good match.
    room = {"query": top, "mistake": top + 1}
    ranked = {
        kind: [_ranked(evaluation, int(query), top, room[kind]) for query in queries]
        for kind, queries in rows.items()
    }
    everything = [item for items in ranked.values() for item in items]
    paths = [item.query for item in everything]
    paths += [path for item in everything for path, _, _ in item.results.values()]
    paths = list(dict.fromkeys(paths))
    views = dict(zip(paths, view(paths)))  # in one go: a model runs on each image once
    blocks = {
        kind: [
            _panel(f"{kind}_{number}", item, views, figures, room[kind])
            for number, item in enumerate(items, 1)
        ]
        for kind, items in ranked.items()
    }
    rule = (
        f"These {len(blocks['query'])} of {scores.num_valid} queries are not hand-picked: all were "
        "sorted by average precision, and taken at even steps from the highest to the lowest, both ends "
        "included. Above each result are its rank and its distance."
    )
    wrong = int(np.count_nonzero(scores.first_match > 1))
    worst = (
        f"Of the {wrong} queries whose nearest image shows another vehicle, those with the nearest such "
        "image: the errors that even the strictest threshold on the distance accepts. After the "
        f"{top} nearest images comes the first good match, if it is not among them."
        if wrong
        else "There is none: the nearest image of every query shows its vehicle."
    )
    reading = f"{MARKS} {_how_to_read(next(iter(views.values())))}"
    return [
        Section("Queries", f"{rule}\n\n{reading}", blocks["query"]),
        Section("The most confident errors", worst, blocks["mistake"]),
    ]


def _ranked(evaluation: Evaluation, query: int, top: int, room: int) -> _Ranked:
    """Return a query's first results and, if there is room, its first good match."""
    lists = rank_lists("the test set", evaluation, top)
    images, scores = lists.images, evaluation.rankings[0]
    paths = images.img_paths[images.roles == "gallery"]
    found = lists.nearest.query(query).truncate(top)
    match = lists.nearest_matches.query(query)
    gallery_ids = images.vehicle_ids[images.roles == "gallery"]
    own_id = images.vehicle_ids[images.roles == "query"][query]
    correct = gallery_ids[found.indices[0]] == own_id
    results = {
        rank: (str(paths[index]), float(distance), bool(good))
        for rank, (index, distance, good) in enumerate(
            zip(found.indices[0], found.distances[0], correct), 1
        )
    }
    first_match = int(scores.first_match[query])
    if room > found.k and not np.isin(match.indices, found.indices).all():
        path, distance = str(paths[match.indices[0, 0]]), float(match.distances[0, 0])
        results[first_match] = path, distance, True
    return _Ranked(
        str(images.img_paths[images.roles == "query"][query]),
        results,
        first_match,
        float(scores.average_precision[query]),
    )


def _panel(
    name: str, item: _Ranked, views: Mapping[str, AnnotatedImage], figures: Figures, room: int
) -> Figure:
    results = [views[path] for path, _, _ in item.results.values()]
    titles = [f"{rank} ({distance:.2f})" for rank, (_, distance, _) in item.results.items()]
    correct = [good for _, _, good in item.results.values()]
    query = views[item.query]
    image = figures.add(name, lambda fmt: ranking_panel(query, results, titles, correct, fmt, room))
    caption = (
        f"{item.query}: average precision {100 * item.average_precision:.1f}%, first good match at rank "
        f"{item.first_match}."
    )
    return Figure(image, caption, f"Ranking of {item.query}", wide=True)


def _how_to_read(view: AnnotatedImage) -> str:
    parts = f"{PARTS} (Unless other weights leave no room for it.)"
    with_boxes = view.boxes is not None
    return " ".join([parts] * with_boxes + [_MAPS[name] for name in view.maps])


def _attributes(features: FeatureSet, cache: PartCache | None, figures: Figures) -> Section:
    """Return a section on how often each attribute is selected, and on its weights."""
    title = "Attention by attribute"
    if features.part_weights is None:
        return Section(title, "This model uses no parts: it has no attention weights.")
    if cache is None:
        return Section(
            title, "The weights belong to cells or to masks without a name, not to attributes."
        )
    attributes = attribute_weights(features, cache)
    if not any(len(attribute.weights) for attribute in attributes):
        return Section(title, "No test image has a part.")
    selected = figures.add("attributes_selected", lambda fmt: selection_bars(attributes, fmt), 0.5)
    density = figures.add("attention_density", lambda fmt: weight_densities(attributes, fmt), 0.5)
    count = features.part_weights.shape[1]
    return Section(
        title,
        f"Over {len(features)} test images, each with its D = {count} most confident parts.",
        [
            Figure(
                selected,
                "How many of the images have the attribute among their D parts, and in how many such a part "
                "has the largest weight; of parts with equal weights, each counts.",
                "Bars of how often each attribute is selected",
            ),
            Figure(
                density,
                "Density of the attention weights on a logarithmic axis, each attribute scaled to the same "
                "height; the number of its boxes in brackets, the median in black. Weights below "
                f"{LEAST_WEIGHT:.5f} are drawn at the end of the axis.",
                "Histograms of the attention weights by attribute",
            ),
            _attribute_table(attributes),
        ],
    )


def _attribute_table(attributes: Sequence[AttributeWeights]) -> Table:
    rows = []
    for a in sorted(attributes, key=lambda a: -a.selected):
        middle = [
            100 * float(f(a.weights)) if len(a.weights) else None for f in (np.mean, np.median)
        ]
        rows.append([a.name, len(a.weights), 100 * a.selected, 100 * a.strongest, *middle])
    columns = ["Attribute", "Boxes", "Among the D, %", "Largest, %", "Mean weight, %", "Median, %"]
    return Table("Attributes", columns, rows, decimals=2)
