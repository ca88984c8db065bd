"""Figures that a paper can print: PNG, or PDF with lines and text as such; a column or a page wide."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from itertools import product

import cv2
import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from pgan.visualization.attention import AttributeWeights, View
from pgan.visualization.panels import WRITTEN_FROM, Picture
from pgan.visualization.plots import COLOURS

COLUMN, PAGE = 3.5, 7.16  # inches: one and both columns of IEEE's journals
LEAST_WEIGHT = 1e-5  # smaller ones stand at the axis' end

_BLUE, _GOOD, _WRONG, _AMBER = COLOURS[1], COLOURS[2], COLOURS[5], COLOURS[0]
_GAP, _TITLE, _LABEL, _BAR, _EDGE = 0.06, 0.17, 0.17, 0.22, 0.03  # inches
_MAP = "viridis"  # even steps to every kind of eye
_STYLE = {
    "font.size": 7,
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # whole fonts: text stays text
}


def ranking_figure(
    query: View,
    results: Sequence[View],
    titles: Sequence[str],
    correct: Sequence[bool],
    fmt: str = "png",
    room: int = 0,
) -> bytes:
    """A query and what was found for it, and below each image its maps (PGAN, Figures 8 to 10).

    Args:
        query: The query.
        results: Nearest first.
        titles: What to write above each, such as rank and distance.
        correct: Whether each is the query's vehicle: told by a mark and by the colour.
        fmt: ``'png'`` or ``'pdf'``.
        room: Results that would fill the width, so that figures with fewer keep their scale.
    """
    views = [query, *results]
    marks = ["query", *(f"{'✓' if good else '✗'} {title}" for good, title in zip(correct, titles))]
    colours = [_BLUE, *(_GOOD if good else _WRONG for good in correct)]
    names = list(query.maps)
    left = _LABEL if names else _EDGE
    count = max(len(results), room) + 1
    side = ((COLUMN if count <= 4 else PAGE) - left - _EDGE + _GAP) / count - _GAP
    width = left + _EDGE + (side + _GAP) * len(views) - _GAP
    tall = side * _tallest(views)
    height = _TITLE + (tall + _GAP) * (1 + len(names))

    def draw(figure: Figure) -> None:
        for column, (view, mark, colour) in enumerate(zip(views, marks, colours)):
            x = left + column * (side + _GAP)
            axes = _place(figure, x, _TITLE, side, tall)
            _show_parts(axes, view.picture, named=False)
            _frame(axes, colour)
            axes.set_title(mark, color=colour, pad=2, fontsize=7)
            for row, name in enumerate(names, 1):
                axes = _place(figure, x, _TITLE + row * (tall + _GAP), side, tall)
                _show_map(axes, view.picture.image, view.maps[name])
                if column == 0:
                    axes.set_ylabel(name, labelpad=2)

    return _render(draw, width, height, fmt)


def image_figure(view: View, fmt: str = "png") -> bytes:
    """An image with its parts and their weights, and beside it its maps, each with its scale.

    Args:
        view: The image as a model sees it.
        fmt: ``'png'`` or ``'pdf'``.
    """
    count = 1 + len(view.maps)
    side = min((COLUMN - 2 * _EDGE - _GAP * (count - 1)) / count, COLUMN / 2)
    tall = side * _tallest([view])
    with_parts = view.picture.boxes is not None

    def draw(figure: Figure) -> None:
        axes = _place(figure, _EDGE, _TITLE, side, tall)
        _show_parts(axes, view.picture, named=True)
        axes.set_title("parts and their weights" if with_parts else "image", pad=2, fontsize=7)
        for column, (name, cells) in enumerate(view.maps.items(), 1):
            x = _EDGE + column * (side + _GAP)
            axes = _place(figure, x, _TITLE, side, tall)
            shown = _show_map(axes, view.picture.image, cells)
            axes.set_title(name, pad=2, fontsize=7)
            bar = _place(figure, x + 0.15 * side, _TITLE + tall + _GAP, 0.7 * side, 0.05)
            ends = [float(cells.min()), float(cells.max())]
            colours = figure.colorbar(shown, cax=bar, orientation="horizontal")
            colours.solids.set_alpha(1)
            colours.set_ticks(ends, labels=[f"{end:.2g}" for end in ends])
            colours.ax.tick_params(labelsize=6, length=0, pad=1)
            colours.outline.set_visible(False)

    width = 2 * _EDGE + side * count + _GAP * (count - 1)
    below = _GAP + _BAR if view.maps else _EDGE
    return _render(draw, width, _TITLE + tall + below, fmt)


def selection_bars(attributes: Sequence[AttributeWeights], fmt: str = "png") -> bytes:
    """How often each attribute is selected, and how often it weighs most (PGAN, Figure 11).

    Args:
        attributes: Of :func:`pgan.visualization.attention.attribute_weights`.
        fmt: ``'png'`` or ``'pdf'``.
    """
    order = sorted(attributes, key=lambda a: (a.selected, a.strongest))
    places = np.arange(len(order))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for shift, key, colour, label in (
            (0.19, "selected", COLOURS[4], "among the D parts"),
            (-0.19, "strongest", _BLUE, "has the largest weight"),
        ):
            values = [100 * getattr(attribute, key) for attribute in order]
            bars = axes.barh(places + shift, values, 0.36, color=colour, label=label)
            axes.bar_label(bars, [f"{value:.0f}" for value in values], padding=1.5, fontsize=6)
        axes.set_yticks(places, [attribute.name for attribute in order])
        axes.set(xlabel="images, %", xlim=(0, 106), ylim=(-0.6, len(order) - 0.4))
        axes.tick_params(axis="y", length=0)
        axes.legend(loc="lower right")

    return _render(draw, COLUMN, 0.5 + 0.23 * len(order), fmt, layout="constrained")


def weight_densities(attributes: Sequence[AttributeWeights], fmt: str = "png") -> bytes:
    """The density of each attribute's attention weights, on a logarithmic axis (PGAN, Figure 11).

    A histogram per attribute, each to its own height; the black line is the median. Attributes without a box
    are left out.

    Args:
        attributes: Of :func:`pgan.visualization.attention.attribute_weights`.
        fmt: ``'png'`` or ``'pdf'``.

    Raises:
        ValueError: No attribute has a box.
    """
    order = sorted((a for a in attributes if len(a.weights)), key=lambda a: np.median(a.weights))
    if not order:
        raise ValueError("there is nothing to plot: no image has a part")
    edges = np.geomspace(LEAST_WEIGHT, 1, 41)
    # In float64, where the axis' end is the first bin's.
    values = [a.weights.astype(np.float64).clip(LEAST_WEIGHT, 1) for a in order]
    counts = [np.histogram(v, edges)[0] for v in values]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, (weights, count) in enumerate(zip(values, counts)):
            heights = place + 0.85 * count / count.max()
            axes.stairs(heights, edges, baseline=place, fill=True, color=COLOURS[4])
            axes.vlines(np.median(weights), place, place + 0.5, color="black", lw=1)
        axes.set_yticks(range(len(order)), [f"{a.name} ({len(a.weights)})" for a in order])
        axes.set(xscale="log", xlim=(LEAST_WEIGHT, 1), ylim=(-0.1, len(order)))
        ticks = [LEAST_WEIGHT, 1e-4, 1e-3, 1e-2, 1e-1, 1]
        axes.set_xticks(ticks, ["< 0.00001", "0.0001", "0.001", "0.01", "0.1", "1"])
        axes.set_xlabel("attention weight")
        axes.tick_params(axis="y", length=0)
        axes.hlines(range(len(order)), LEAST_WEIGHT, 1, color="0.8", lw=0.4, zorder=0)
        axes.minorticks_off()

    return _render(draw, COLUMN, 0.5 + 0.24 * len(order), fmt, layout="constrained")


def _render(
    draw: Callable[[Figure], None], width: float, height: float, fmt: str, layout: str | None = None
) -> bytes:
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout=layout)
        FigureCanvasAgg(figure)  # measures text
        draw(figure)
        buffer = io.BytesIO()
        metadata = {"CreationDate": None} if fmt == "pdf" else None
        figure.savefig(buffer, format=fmt, dpi=300, metadata=metadata)
    return buffer.getvalue()


def _tallest(views: Sequence[View]) -> float:
    """Height over width of the tallest image, within bounds that keep a row of them readable."""
    shapes = [view.picture.image.shape for view in views]
    return float(np.clip(max(height / width for height, width, _ in shapes), 0.4, 1.3))


def _place(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Axes at inches from the top left."""
    across, down = figure.get_size_inches()
    box = (x / across, 1 - (y + height) / down, width / across, height / down)
    axes = figure.add_axes(box, anchor="N")
    axes.set(xticks=[], yticks=[])
    return axes


def _frame(axes: Axes, colour: str | None) -> None:
    for spine in axes.spines.values():
        spine.set(visible=colour is not None, color=colour or "none", linewidth=1.6)


def _show(axes: Axes, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0), interpolation="bicubic")
    _frame(axes, None)


def _show_map(axes: Axes, image: np.ndarray, cells: np.ndarray) -> matplotlib.image.AxesImage:
    """A map over the grey image, each map on a scale of its own."""
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    _show(axes, np.repeat(grey[..., None], 3, 2))
    return axes.imshow(
        cells, _MAP, extent=(0, width, height, 0), interpolation="bilinear", alpha=0.6
    )


def _show_parts(axes: Axes, picture: Picture, named: bool) -> None:
    """Boxes filled the more, the greater their weight is among the image's; the heaviest on top."""
    _show(axes, picture.image)
    if picture.boxes is None or not len(picture.boxes):
        return
    shares = picture.weights / max(float(picture.weights.max()), 1e-12)
    for index in np.argsort(shares, kind="stable"):
        x1, y1, x2, y2 = picture.boxes[index].tolist()
        share = float(shares[index])
        for face, edge, line in (("none", "black", 0.9 + share), (_AMBER, _AMBER, 0.4 + share)):
            box = Rectangle((x1, y1), x2 - x1, y2 - y1, ec=edge, lw=line, fc="none")
            if face != "none":
                box.set_facecolor((*matplotlib.colors.to_rgb(face), 0.45 * share))
            axes.add_patch(box)
    axes.apply_aspect()
    taken: list[Bbox] = []
    for index in np.argsort(-picture.weights, kind="stable"):
        if picture.weights[index] >= WRITTEN_FROM:
            name = f"{picture.labels[index]} " if named else ""
            _tag(axes, f"{name}{100 * picture.weights[index]:.0f}%", picture.boxes[index], taken)


def _tag(axes: Axes, text: str, box: np.ndarray, taken: list[Bbox]) -> None:
    """Write at a corner of the box where nothing is written yet; where all are taken, leave it out."""
    style = {"boxstyle": "square,pad=0.1", "fc": _AMBER, "ec": "none"}
    tag = axes.text(0, 0, text, fontsize=5, ha="left", va="bottom", bbox=style)
    size = tag.get_window_extent(axes.figure.canvas.get_renderer()).padded(1)
    width, height, frame = size.width, size.height, axes.bbox
    (left, top), (right, bottom) = axes.transData.transform(box.reshape(2, 2))
    for y, x in product((top, bottom - height, top - height, bottom), (left, right - width)):
        x = np.clip(x, frame.x0, frame.x1 - width)
        y = np.clip(y, frame.y0, frame.y1 - height)
        place = Bbox.from_bounds(x, y, width, height)
        if not any(place.overlaps(other) for other in taken):
            taken.append(place)
            tag.set_position(axes.transData.inverted().transform((x + 1, y + 1)))
            return
    tag.remove()
