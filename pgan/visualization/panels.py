"""Panels of images: rank lists, single images with their parts and heat maps, contact sheets.

Panels are drawn with Matplotlib, as PNG or as PDF with lines and text, a column or a page wide.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, Any, Literal

import cv2
import matplotlib
import matplotlib.colors
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.transforms import Bbox

from pgan.visualization.plots import COLOURS

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

COLUMN, PAGE = 3.5, 7.16  # inches: one column and both columns of IEEE's journals
PRINT_DPI, SCREEN_DPI = 300, 180
WRITTEN_FROM = 0.03  # smaller weights are drawn but not written: text would hide the vehicle

MARKS = "Blue: the query. Green with a tick: the same vehicle; red with a cross: another."
PARTS = (
    "Amber boxes are the parts, filled the more, the greater their attention weight is in that image; "
    f"weights from {100 * WRITTEN_FROM:.0f}% are written."
)
HOW_TO_READ = f"{MARKS} {PARTS} Images of the query's vehicle by the query's camera are not shown."

Colour = tuple[int, int, int]


def _rgb(colour: str) -> Colour:
    red, green, blue = (round(255 * value) for value in matplotlib.colors.to_rgb(colour))
    return red, green, blue


BLUE, GREEN, RED, AMBER = (_rgb(COLOURS[i]) for i in (1, 2, 5, 0))
PAPER = (255, 255, 255)

_GAP, _TITLE, _LABEL, _BAR, _EDGE = 0.06, 0.17, 0.17, 0.22, 0.03  # inches
_MAP = "viridis"  # perceptually uniform, also for colour-blind readers
_STYLE: Any = {
    "font.size": 7,
    "font.family": "DejaVu Sans",
    "mathtext.fontset": "dejavusans",
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "pdf.fonttype": 42,  # embed whole fonts, so that text stays text
}


@dataclass(frozen=True, eq=False)
class AnnotatedImage:
    """An image with the parts found on it, and with heat maps of a model.

    Attributes:
        image: (H, W, 3) uint8 RGB.
        boxes: (n, 4) float ``x1 y1 x2 y2`` in pixels of the image, right and bottom exclusive; None
            for an image without parts.
        labels: n class names, or None.
        weights: (n,) attention weights, 0 to 1, or None.
        maps: Name -> (h, w) float32 over the cells of the whole image, row 0 on top.

    Raises:
        ValueError: The image is not RGB of 8 bits, or there are not as many labels or weights as boxes.
    """

    image: np.ndarray
    boxes: np.ndarray | None = None
    labels: Sequence[str] | None = None
    weights: np.ndarray | None = None
    maps: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        image = self.image
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(
                f"an image is (H, W, 3) uint8 RGB, got shape {image.shape} of {image.dtype}"
            )
        count = 0 if self.boxes is None else len(self.boxes)
        for name, values in (("labels", self.labels), ("weights", self.weights)):
            if values is not None and len(values) != count:
                raise ValueError(f"{count} boxes, but {len(values)} {name}")


def ranking_panel(
    query: AnnotatedImage,
    results: Sequence[AnnotatedImage],
    titles: Sequence[str],
    correct: Sequence[bool | None],
    fmt: str = "png",
    room: int = 0,
    columns: int | None = None,
    dpi: int = PRINT_DPI,
) -> bytes:
    """Draw a query and its first results, with their heat maps below them (PGAN, Figures 8 to 10).

    The query's frame is blue. A result's frame is green, with a tick, if it shows the query's vehicle;
    red, with a cross, if it does not.

    Args:
        query: The query.
        results: Gallery images, nearest first.
        titles: Written above each result, such as its rank and distance.
        correct: Whether each shows the query's vehicle; None where that is unknown: neither frame nor mark.
        fmt: ``'png'`` or ``'pdf'``.
        room: Results that would fill the width, so that panels with fewer keep their scale.
        columns: Images in a row, the query among them; None for all in one row.
        dpi: Pixels per inch of a PNG.

    Raises:
        ValueError: ``results``, ``titles`` and ``correct`` differ in length.

    Example:
        >>> grey = AnnotatedImage(np.full((48, 64, 3), 128, np.uint8))
        >>> png = ranking_panel(grey, [grey, grey], ["1 (0.12)", "2 (0.40)"], [True, False])
        >>> pixels(png).shape[1] == round(COLUMN * PRINT_DPI)
        True
    """
    if not len(results) == len(titles) == len(correct):
        raise ValueError(
            f"{len(results)} results, but {len(titles)} titles and {len(correct)} marks"
        )
    signs = {True: "✓ ", False: "✗ ", None: ""}
    colours = {True: GREEN, False: RED, None: None}
    tiles = [
        _Tile(query, "query", BLUE),
        *(
            _Tile(image, signs[good] + title, colours[good])
            for image, title, good in zip(results, titles, correct)
        ),
    ]
    width = columns or max(len(results), room) + 1
    return _grid(tiles, width, COLUMN if width <= 4 else PAGE, fmt, dpi)


def image_panel(image: AnnotatedImage, fmt: str = "png") -> bytes:
    """Draw an image with its parts and their weights, and beside it its maps, each with its scale.

    Args:
        image: The image.
        fmt: ``'png'`` or ``'pdf'``.

    Example:
        >>> boxes, weights = np.array([[8.0, 8.0, 40.0, 40.0]]), np.array([1.0])
        >>> image = np.full((48, 64, 3), 128, np.uint8)
        >>> png = image_panel(AnnotatedImage(image, boxes, ["wheel"], weights))
        >>> pixels(png).ndim
        3
    """
    count = 1 + len(image.maps)
    side = min((COLUMN - 2 * _EDGE - _GAP * (count - 1)) / count, COLUMN / 2)
    tall = side * _tallest([image])

    def draw(figure: Figure) -> None:
        axes = _place(figure, _EDGE, _TITLE, side, tall)
        _show_parts(axes, image, named=True)
        title = "image" if image.boxes is None else "parts and their weights"
        axes.set_title(title, pad=2, fontsize=7)
        for column, (name, cells) in enumerate(image.maps.items(), 1):
            x = _EDGE + column * (side + _GAP)
            axes = _place(figure, x, _TITLE, side, tall)
            shown = _show_map(axes, image.image, cells)
            axes.set_title(name, pad=2, fontsize=7)
            bar = _place(figure, x + 0.15 * side, _TITLE + tall + _GAP, 0.7 * side, 0.05)
            _draw_scale(figure, bar, shown, cells)

    width = 2 * _EDGE + side * count + _GAP * (count - 1)
    below = _GAP + _BAR if image.maps else _EDGE
    return render_print(draw, width, _TITLE + tall + below, fmt)


def contact_sheet(images: Sequence[AnnotatedImage], columns: int, tile: int = 208) -> np.ndarray:
    """Draw images with their named boxes on a grid, row by row.

    Args:
        images: At least one.
        columns: Images in a row.
        tile: Width of each, pixels.

    Returns:
        (height, width, 3) uint8 RGB.

    Raises:
        ValueError: No image, or no column.

    Example:
        >>> grey = AnnotatedImage(np.full((48, 64, 3), 128, np.uint8))
        >>> contact_sheet([grey] * 3, columns=2, tile=100).shape[1]
        200
    """
    if not images or columns < 1:
        raise ValueError(f"a sheet needs images and columns, got {len(images)} and {columns}")
    tiles = [_Tile(image, named=True) for image in images]
    dpi = SCREEN_DPI
    return pixels(_grid(tiles, columns, columns * tile / dpi, "png", dpi))


def pixels(png: bytes, scale: float = 1) -> np.ndarray:
    """Decode a PNG file as (H, W, 3) uint8 RGB, scaled by a factor of at most 1."""
    decoded = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    if decoded is None:
        raise ValueError("the bytes are not those of a PNG file")
    decoded = decoded[..., ::-1]
    if scale == 1:
        return np.ascontiguousarray(decoded)
    return cv2.resize(decoded, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)


def render_print(
    draw: Callable[[Figure], None],
    width: float,
    height: float,
    fmt: str,
    layout: Literal["constrained"] | None = None,
    dpi: int = PRINT_DPI,
) -> bytes:
    """Draw a figure in the style of the printed panels, and return the file's bytes.

    Args:
        draw: Is given the figure.
        width: Inches.
        height: Inches.
        fmt: ``'png'`` or ``'pdf'``.
        layout: Matplotlib's layout engine; None if the figure places its axes itself.
        dpi: Pixels per inch of a PNG.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout=layout)
        FigureCanvasAgg(figure)  # measures text
        draw(figure)
        buffer = io.BytesIO()
        metadata = {"CreationDate": None} if fmt == "pdf" else None
        figure.savefig(buffer, format=fmt, dpi=dpi, metadata=metadata)
    return buffer.getvalue()


@dataclass(frozen=True, eq=False)
class _Tile:
    image: AnnotatedImage
    title: str = ""
    frame: Colour | None = None
    named: bool = False


def _grid(tiles: Sequence[_Tile], columns: int, width: float, fmt: str, dpi: int) -> bytes:
    """Draw tiles row by row; the maps of a row's images are rows of their own below it."""
    images = [tile.image for tile in tiles]
    names = list(images[0].maps)
    left = _LABEL if names else _EDGE
    title = _TITLE if any(tile.title for tile in tiles) else _EDGE
    side = (width - left - _EDGE + _GAP) / columns - _GAP
    tall = side * _tallest(images)
    block = title + (tall + _GAP) * (1 + len(names))
    shown = min(columns, len(tiles))
    rows = -(-len(tiles) // columns)

    def draw(figure: Figure) -> None:
        for index, tile in enumerate(tiles):
            x = left + index % columns * (side + _GAP)
            y = index // columns * block + title
            axes = _place(figure, x, y, side, tall)
            _show_parts(axes, tile.image, tile.named)
            _frame(axes, tile.frame)
            colour = "black" if tile.frame is None else _hex(tile.frame)
            axes.set_title(tile.title, color=colour, pad=2, fontsize=7)
            for row, name in enumerate(names, 1):
                axes = _place(figure, x, y + row * (tall + _GAP), side, tall)
                _show_map(axes, tile.image.image, tile.image.maps[name])
                if index % columns == 0:
                    axes.set_ylabel(name, labelpad=2)

    total = left + _EDGE + (side + _GAP) * shown - _GAP
    return render_print(draw, total, rows * block, fmt, dpi=dpi)


def _draw_scale(figure: Figure, axes: Axes, shown: AxesImage, cells: np.ndarray) -> None:
    ends = [float(cells.min()), float(cells.max())]
    bar = figure.colorbar(shown, cax=axes, orientation="horizontal")
    if bar.solids is not None:
        bar.solids.set_alpha(1)
    bar.set_ticks(ends, labels=[f"{end:.2g}" for end in ends])
    bar.ax.tick_params(labelsize=6, length=0, pad=1)
    bar.outline.set_visible(False)


def _tallest(images: Sequence[AnnotatedImage]) -> float:
    """Height over width of the tallest image, within bounds that keep a row of them readable."""
    shapes = [image.image.shape for image in images]
    return float(np.clip(max(height / width for height, width, _ in shapes), 0.4, 1.3))


def _place(figure: Figure, x: float, y: float, width: float, height: float) -> Axes:
    """Add axes at inches from the top left."""
    across, down = figure.get_size_inches()
    box = (x / across, 1 - (y + height) / down, width / across, height / down)
    axes = figure.add_axes(box, anchor="N")
    axes.set(xticks=[], yticks=[])
    return axes


def _frame(axes: Axes, colour: Colour | None) -> None:
    for spine in axes.spines.values():
        shown = "none" if colour is None else _hex(colour)
        spine.set(visible=colour is not None, color=shown, linewidth=1.6)


def _show(axes: Axes, image: np.ndarray) -> None:
    height, width = image.shape[:2]
    axes.imshow(image, extent=(0, width, height, 0), interpolation="bicubic")
    _frame(axes, None)


def _show_map(axes: Axes, image: np.ndarray, cells: np.ndarray) -> AxesImage:
    """Draw a map over the grey image, each map on a scale of its own."""
    height, width = image.shape[:2]
    grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    _show(axes, np.repeat(grey[..., None], 3, 2))
    return axes.imshow(
        cells, _MAP, extent=(0, width, height, 0), interpolation="bilinear", alpha=0.6
    )


def _show_parts(axes: Axes, image: AnnotatedImage, named: bool) -> None:
    """Draw an image with its boxes.

    Boxes with weights are amber: the greater a weight is among the image's, the more its box is filled,
    and the heaviest is on top. Boxes without weights have the colour of their class.
    """
    _show(axes, image.image)
    if image.boxes is None or not len(image.boxes):
        return
    labels = image.labels or [""] * len(image.boxes)
    if image.weights is None:
        shares = np.zeros(len(image.boxes))
        texts = list(labels)
        colours = [_class_colour(name) for name in labels]
        order = np.arange(len(image.boxes))
    else:
        shares = image.weights / max(float(image.weights.max()), 1e-12)
        texts = [
            f"{label} {100 * weight:.0f}%" if named and label else f"{100 * weight:.0f}%"
            for label, weight in zip(labels, image.weights)
        ]
        texts = [t if w >= WRITTEN_FROM else "" for t, w in zip(texts, image.weights)]
        colours = [_hex(AMBER)] * len(image.boxes)
        order = np.argsort(-image.weights, kind="stable")
    for index in np.argsort(shares, kind="stable"):
        share = float(shares[index])
        line = 0.8 if image.weights is None else 0.4 + share
        _draw_box(axes, image.boxes[index], colours[index], share, line)
    axes.apply_aspect()
    taken: list[Bbox] = []
    for index in order:
        if texts[index]:
            _tag(axes, texts[index], image.boxes[index], colours[index], taken)


def _draw_box(axes: Axes, box: np.ndarray, colour: str, share: float, line: float) -> None:
    x1, y1, x2, y2 = box.tolist()
    face = (*matplotlib.colors.to_rgb(colour), 0.45 * share)
    # A black outline below sets the box off from any paint.
    for edge, width, fill in (("black", line + 0.5, "none"), (colour, line, face)):
        axes.add_patch(Rectangle((x1, y1), x2 - x1, y2 - y1, ec=edge, lw=width, fc=fill))


def _tag(axes: Axes, text: str, box: np.ndarray, colour: str, taken: list[Bbox]) -> None:
    """Write at the first corner of the box that is free; skip the text if none is."""
    style = {"boxstyle": "square,pad=0.1", "fc": colour, "ec": "none"}
    tag = axes.text(0, 0, text, fontsize=5, ha="left", va="bottom", bbox=style)
    size = tag.get_window_extent().padded(1)
    width, height, frame = size.width, size.height, axes.bbox
    (left, top), (right, bottom) = axes.transData.transform(box.reshape(2, 2))
    for y, x in product((top, bottom - height, top - height, bottom), (left, right - width)):
        x = np.clip(x, frame.x0, frame.x1 - width)
        y = np.clip(y, frame.y0, frame.y1 - height)
        place = Bbox.from_bounds(x, y, width, height)
        if not any(place.overlaps(other) for other in taken):
            taken.append(place)
            left, bottom = axes.transData.inverted().transform((x + 1, y + 1))
            tag.set_position((left, bottom))
            return
    tag.remove()


def _class_colour(name: str) -> str:
    return COLOURS[zlib.crc32(name.encode()) % len(COLOURS)]  # unlike hash(), the same in every run


def _hex(colour: Colour) -> str:
    return "#{:02x}{:02x}{:02x}".format(*colour)
