"""Search results as panels of images and an HTML page."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from detector.common.files import write_bytes
from detector.common.images import ImageError, read_image
from pgan.gallery.info import short_path
from pgan.gallery.results import QueryResult
from pgan.gallery.store import Entry
from pgan.visualization.page import Figure, Page, Section, Table, write_html
from pgan.visualization.panels import PARTS, SCREEN_DPI, AnnotatedImage, ranking_panel

_COLUMNS = 6  # images in a row of a panel
_DISTANCES = "Distances are squared Euclidean, from 0 to 4."


def draw_panel(result: QueryResult) -> bytes:
    """Draw a query and the images found for it as PNG; a missing image file is a grey tile."""
    titles = []
    for rank, (distance, entry) in enumerate(zip(result.distances, result.entries), 1):
        camera = f"  cam {entry.camera}" if entry.camera else ""
        gone = "" if os.path.isfile(entry.path) else "  (gone)"
        titles.append(f"{rank}  {distance:.3f}{camera}{gone}")
    images = [_read(entry) for entry in result.entries]
    return ranking_panel(
        _read(result.query.known),
        images,
        titles,
        result.same_vehicle(),
        columns=_COLUMNS,
        dpi=SCREEN_DPI,
    )


def write_result_page(
    out: str | os.PathLike[str],
    results: Sequence[QueryResult],
    made: Mapping[str, str],
    summary: str,
) -> Path:
    """Write a panel of each query, ``query_1.png`` and so on, and an HTML page of them.

    Args:
        out: Folder for the files; created if it does not exist.
        results: One for each query.
        made: How the page was created, name -> value; shown at its foot.
        summary: One sentence on the search.

    Returns:
        Path of the page.
    """
    sections = []
    for number, result in enumerate(results, 1):
        panel = draw_panel(result)
        write_bytes(Path(out) / f"query_{number}.png", panel)
        path = short_path(result.query.known.path)
        caption = f"Blue: the query, {path}. Rank and distance are above each result."
        figure = Figure(panel, caption, f"Images found for {path}", wide=True)
        sections.append(
            Section(f"Query {number}", blocks=[figure, Table("Results", *result.table())])
        )
    reading = [summary, _DISTANCES]
    if results and results[0].limit is not None:
        reading.append(
            "Green with a tick: the same vehicle, since the distance is at most "
            f"{results[0].limit:.4g}; red with a cross: another vehicle."
        )
    if any(entry.parts is not None for result in results for entry in result.entries):
        reading.append(PARTS)
    page = Page(
        "Search results",
        " ".join(reading),
        sections,
        made={"Date": datetime.date.today().isoformat(), **made},
    )
    return write_html(Path(out) / "index.html", page)


def _read(entry: Entry) -> AnnotatedImage:
    try:
        image = read_image(entry.path)
    except ImageError:
        return AnnotatedImage(np.full((3, 4, 3), 190, np.uint8))
    if entry.parts is None:
        return AnnotatedImage(image)
    return AnnotatedImage(image, entry.parts.boxes, weights=entry.weights)
