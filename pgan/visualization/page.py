"""Pages: one HTML file with its images inside, without scripts, that fetches nothing.

A `Page` has text, tables, figures and compared rankings in sections; `write_html` renders it.
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from detector.common.files import write_atomically

Cell = str | float | int | None

_JPEG_QUALITY = 88


class PageError(ValueError):
    """A page that cannot be rendered."""


@dataclass(frozen=True)
class Highlight:
    """A number at the top of the page.

    Attributes:
        label: Name of the number.
        value: The number as it is printed, with its unit.
        detail: What to compare it with.
    """

    label: str
    value: str
    detail: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under named columns. Text is aligned left, numbers right; None is shown as a dash.

    Attributes:
        title: What the table holds.
        columns: Names, units included.
        rows: One value per column.
        note: How to read it.
        decimals: Decimal places of floats.
        strong: Indices of rows to emphasise.
    """

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    decimals: int = 1
    strong: Sequence[int] = ()

    def __post_init__(self) -> None:
        for index, row in enumerate(self.rows):
            if len(row) != len(self.columns):
                raise PageError(
                    f"table '{self.title}': row {index} has {len(row)} cells for "
                    f"{len(self.columns)} columns"
                )

    def is_numeric(self, column: int) -> bool:
        """Return whether a column has numbers and no text."""
        cells = [row[column] for row in self.rows if row[column] is not None]
        return bool(cells) and not any(isinstance(cell, str) for cell in cells)

    def text(self, cell: Cell) -> str:
        """Return a cell as it is printed."""
        if cell is None or cell != cell:  # NaN
            return "\N{EN DASH}"
        if isinstance(cell, (float, np.floating)):
            return f"{cell:.{self.decimals}f}"
        return str(cell)


@dataclass(frozen=True, eq=False)
class Figure:
    """An image with a caption.

    Attributes:
        image: (H, W, 3) uint8 RGB array, or the bytes of an SVG, PNG or JPEG file.
        caption: What it shows and how to read it.
        alt: What it shows, for screen readers.
        wide: Keep it large on a phone and let it scroll.
    """

    image: np.ndarray | bytes
    caption: str
    alt: str
    wide: bool = False


@dataclass(frozen=True, eq=False)
class RankingPanel:
    """A query's ranking by one method, drawn.

    Attributes:
        method: Name of the method.
        image: (H, W, 3) uint8 RGB.
        average_precision: Average precision of the query, 0 to 1; NaN if it is not valid.
        first_match: Rank of the first good match; 0 if there is none.
    """

    method: str
    image: np.ndarray
    average_precision: float
    first_match: int


@dataclass(frozen=True, eq=False)
class Rankings:
    """Compared rankings of several queries, one method below the other.

    Attributes:
        panels: Path of each query -> a panel per method.
        caption: How the queries were chosen, and how to read the panels.
    """

    panels: Mapping[str, Sequence[RankingPanel]]
    caption: str


@dataclass(frozen=True)
class Section:
    """A heading, paragraphs separated by empty lines, and the blocks below them."""

    title: str
    text: str = ""
    blocks: Sequence[Table | Figure | Rankings] = ()


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes:
        title: Title of the page.
        summary: What was done and what came out, in a few sentences.
        sections: The body.
        highlights: The numbers to see first.
        made: How the page was created, name -> value: date, machine, seed, durations, versions.
        commands: The commands that create it again, one per line.
    """

    title: str
    summary: str
    sections: Sequence[Section]
    highlights: Sequence[Highlight] = ()
    made: Mapping[str, str] = field(default_factory=dict)
    commands: Sequence[str] = ()


def write_html(path: str | os.PathLike[str], page: Page) -> Path:
    """Render a page and write it, atomically, as one self-contained HTML file.

    Raises:
        PageError: An image of an unknown kind.
    """
    return write_file(path, render_html(page).encode("utf-8"))


def write_file(path: str | os.PathLike[str], data: bytes) -> Path:
    """Write a file, such as a figure beside a page, atomically."""
    return write_atomically(path, lambda file: file.write(data))


def render_html(page: Page) -> str:
    """Return the HTML of a page; all text is escaped.

    Raises:
        PageError: An image of an unknown kind.

    Example:
        >>> table = Table("Scores", ["Model", "mAP, %"], [["PGAN", 79.3]])
        >>> html = render_html(Page("Results", "One model.", [Section("Metrics", blocks=[table])]))
        >>> "79.3" in html
        True
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pgan.visualization", ""),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["data_uri"] = data_uri
    environment.filters["paragraphs"] = lambda text: [p for p in text.split("\n\n") if p.strip()]
    environment.filters["size"] = image_size
    environment.tests["table"] = lambda block: isinstance(block, Table)
    environment.tests["rankings"] = lambda block: isinstance(block, Rankings)
    return environment.get_template("page.html").render(page=page)


def data_uri(image: np.ndarray | bytes) -> str:
    """Return an image as a ``data:`` address: arrays as JPEG, file bytes as they are.

    Raises:
        PageError: Neither an RGB array, nor the bytes of an SVG, PNG or JPEG.
    """
    if isinstance(image, np.ndarray):
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise PageError(f"an image is (H, W, 3) uint8, got {image.shape} of {image.dtype}")
        import cv2

        # Full chroma, since thin coloured lines are what these images are about.
        options = [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
        options += [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
        image = cv2.imencode(".jpg", image[..., ::-1], options)[1].tobytes()
    return f"data:{_media_type(image)};base64,{base64.b64encode(image).decode('ascii')}"


def image_size(image: np.ndarray | bytes) -> tuple[int, int] | None:
    """Return width and height of an array, so that the page does not jump; None for file bytes."""
    return (image.shape[1], image.shape[0]) if isinstance(image, np.ndarray) else None


def _media_type(data: bytes) -> str:
    if data.startswith(b"\x89PNG"):
        return "image/png"
    if data.startswith(b"\xff\xd8"):
        return "image/jpeg"
    if b"<svg" in data[:2000]:
        return "image/svg+xml"
    raise PageError(f"image bytes must be SVG, PNG or JPEG; these begin with {data[:12]!r}")
