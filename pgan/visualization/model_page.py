"""What a model does, as a page and as figures to print: rankings, its surest mistakes, its attention."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np

from detector.cache import PartCache
from detector.common.files import write_atomically
from pgan.evaluation import FeatureSet, evaluate
from pgan.evaluation.distances import feature_distances
from pgan.visualization.attention import (
    CELLS,
    GLOBAL,
    GUIDED,
    AttributeWeights,
    View,
    Viewer,
    attribute_weights,
)
from pgan.visualization.print_figures import (
    LEAST_WEIGHT,
    image_figure,
    ranking_figure,
    selection_bars,
    weight_densities,
)
from pgan.visualization.report import Figure, Highlight, Report, Section, Table, write_report
from pgan.visualization.retrieval import (
    MARKS,
    PARTS,
    Ranked,
    Shown,
    first_results,
    spread_queries,
    surest_mistakes,
)

_MAPS = {
    GUIDED: (
        "The map below shows where F_p, the part-guided feature map, is strong: the mean over channels of "
        "|F_p|, from the least of an image (dark) to its greatest (bright)."
    ),
    GLOBAL: (
        "This model has no parts and no F_p. The map below shows where its feature map F_g is strong (of "
        "SSR-Net, the map after its attention): the mean over channels of |F_g|, from the least of an image "
        "(dark) to its greatest (bright)."
    ),
    CELLS: "Every cell of the map is a part of its own; the first map shows the weights of the cells.",
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
        """Draw a figure; returns its pixels, RGB, scaled for a page."""
        for fmt in self.formats:
            self.files[f"{name}.{fmt}"] = draw(fmt)
        png = np.frombuffer(self.files[f"{name}.png"], np.uint8)
        pixels = cv2.imdecode(png, cv2.IMREAD_COLOR)[..., ::-1]
        return cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write all of them."""
        for name, data in self.files.items():
            write_atomically(Path(folder) / name, lambda file, data=data: file.write(data))


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
    :func:`surest_mistakes`, both in the first repeat of the data set's protocol; ``attributes_selected`` and
    ``attention_density`` are of all test images. Nothing is written if something cannot be drawn.

    Args:
        out_dir: Folder for the files.
        features: Of the test set.
        view: How its images are seen.
        cache: Names the parts that the features weigh; None where they weigh none, or cells.
        made: How, name -> value, for the page's foot; ``Model`` is its title.
        queries: How many queries, and how many mistakes.
        top: Results of each.
        formats: Of the files, ``'png'`` and others.

    Raises:
        RankingError, VisualizationError, CacheError, ImageError: See there.
    """
    evaluation = evaluate(features)
    draw = next(evaluation.protocol.draws(features))
    query, gallery = draw.query_and_gallery()
    distances = feature_distances(query.features, gallery.features)
    ranked = Ranked("", draw, evaluation.rankings[0], distances)
    figures = Figures(formats)
    sections = [
        *_rankings(ranked, view, queries, top, figures),
        _attributes(features, cache, figures),
    ]
    metrics = evaluation.metrics((1,))
    report = Report(
        f"Inside {made['Model']}: {features.dataset or evaluation.protocol.name}",
        f"{evaluation.describe()}.",
        sections,
        [Highlight(name, f"{value:.1f}%") for name, value in metrics.items()],
        {"Date": datetime.date.today().isoformat(), **made},
    )
    figures.write(out_dir)
    return write_report(Path(out_dir) / "index.html", report)


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
        view: How they are seen.
        made: How, name -> value, for the page's foot; ``Model`` is its title.
        formats: Of the files, ``'png'`` and others.
    """
    figures, views = Figures(formats), view(images)
    blocks = []
    for number, (path, seen) in enumerate(zip(images, views), 1):
        pixels = figures.add(f"image_{number}", lambda fmt, seen=seen: image_figure(seen, fmt))
        blocks.append(Figure(pixels, path, f"{path} as the model sees it"))
    report = Report(
        f"Inside {made['Model']}: {len(images)} image{'s' * (len(images) > 1)}",
        _how_to_read(views[0]),
        [Section("Images", blocks=blocks)],
        made={"Date": datetime.date.today().isoformat(), **made},
    )
    figures.write(out_dir)
    return write_report(Path(out_dir) / "index.html", report)


def _rankings(
    ranked: Ranked, view: Viewer, count: int, top: int, figures: Figures
) -> list[Section]:
    """Two sections: some queries, and the surest mistakes."""
    kinds = {
        "query": spread_queries(ranked.result, count),
        "mistake": surest_mistakes(ranked, count),
    }
    chosen = {
        kind: list(zip(rows.tolist(), first_results(ranked, rows, top))) if len(rows) else []
        for kind, rows in kinds.items()
    }
    views = _views(ranked, [item for items in chosen.values() for item in items], view)
    blocks = {
        kind: [
            _panel(f"{kind}_{number}", ranked, *item, views, figures, top + (kind == "mistake"))
            for number, item in enumerate(items, 1)
        ]
        for kind, items in chosen.items()
    }
    rule = (
        f"These {len(blocks['query'])} of {ranked.result.num_valid} queries are not hand-picked: all were "
        "sorted by average precision, and taken at even steps from the greatest to the least, both ends "
        "included. Above each result stand its rank and its distance."
    )
    wrong = int(np.count_nonzero(ranked.result.first_match > 1))
    worst = (
        f"Of the {wrong} queries whose nearest image is of another vehicle, those with the nearest such "
        f"image: the mistakes that even the strictest limit on the distance lets pass. After the {top} "
        "nearest images stands the first good match, where it is not among them."
        if wrong
        else "There is none: the nearest image of every query is of its vehicle."
    )
    reading = f"{MARKS} {_how_to_read(next(iter(views.values())))}"
    return [
        Section("Queries", f"{rule}\n\n{reading}", blocks["query"]),
        Section("The surest mistakes", worst, blocks["mistake"]),
    ]


def _views(ranked: Ranked, chosen: Sequence[tuple[int, Shown]], view: Viewer) -> dict[str, View]:
    """Path -> view of all images to be shown, in one go: a model runs on each once."""
    query, gallery = ranked.features.query_and_gallery()
    paths = [str(query.img_paths[row]) for row, _ in chosen]
    for _, shown in chosen:
        paths += map(str, gallery.img_paths[[*shown.columns, shown.match]])
    paths = list(dict.fromkeys(paths))
    return dict(zip(paths, view(paths)))


def _panel(
    name: str,
    ranked: Ranked,
    row: int,
    shown: Shown,
    views: Mapping[str, View],
    figures: Figures,
    room: int,
) -> Figure:
    """A query's first results and, where there is room for it, its first good match."""
    query, gallery = ranked.features.query_and_gallery()
    path = str(query.img_paths[row])
    columns = dict(enumerate(shown.columns, 1))  # by rank
    if room > len(columns) and shown.match not in shown.columns:
        columns[shown.first_match] = shown.match
    results = [views[str(gallery.img_paths[column])] for column in columns.values()]
    titles = [f"{rank} ({shown.distances[column]:.2f})" for rank, column in columns.items()]
    correct = (gallery.vehicle_ids[list(columns.values())] == query.vehicle_ids[row]).tolist()
    pixels = figures.add(
        name, lambda fmt: ranking_figure(views[path], results, titles, correct, fmt, room)
    )
    precision = 100 * ranked.result.average_precision[row]
    caption = (
        f"{path}: average precision {precision:.1f}%, first good match at rank {shown.first_match}."
    )
    return Figure(pixels, caption, f"Ranking of {path}", wide=True)


def _how_to_read(view: View) -> str:
    parts = f"{PARTS} (Unless others leave no room for it.)"
    with_boxes = view.picture.boxes is not None
    return " ".join([parts] * with_boxes + [_MAPS[name] for name in view.maps])


def _attributes(features: FeatureSet, cache: PartCache | None, figures: Figures) -> Section:
    """How often each attribute is selected, and its weights."""
    title = "Attention by attribute"
    if features.part_weights is None:
        return Section(title, "This model looks at no parts: it has no attention weights.")
    if cache is None:
        return Section(
            title, "The weights are of cells or of masks without a name, not of attributes."
        )
    attributes = attribute_weights(features, cache)
    if not any(len(attribute.weights) for attribute in attributes):
        return Section(title, "No test image has a part.")
    selected = figures.add("attributes_selected", lambda fmt: selection_bars(attributes, fmt), 0.5)
    density = figures.add("attention_density", lambda fmt: weight_densities(attributes, fmt), 0.5)
    count = features.part_weights.shape[1]
    return Section(
        title,
        f"Of {len(features)} test images, each with its D = {count} most confident parts.",
        [
            Figure(
                selected,
                "How many of the images have the attribute among their D parts, and in how many such a part "
                "has the largest weight of all; parts of equal weight count each.",
                "Bars of how often each attribute is selected",
            ),
            Figure(
                density,
                "Density of the attention weights on a logarithmic axis, each attribute to its own height; "
                f"the number of its boxes in brackets, the median in black. Weights below {LEAST_WEIGHT:.5f} "
                "stand at the axis' end.",
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
