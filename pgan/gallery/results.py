"""What a search has found, for people and for programs: a table, JSON, panels and a page."""

from __future__ import annotations

import datetime
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from detector.common.files import write_atomically
from detector.common.images import ImageError, read_image
from pgan.gallery.info import short_path
from pgan.gallery.search import Hit, Query
from pgan.gallery.store import Entry, Gallery
from pgan.tables import markdown_table
from pgan.visualization.panels import Picture, ranked_row
from pgan.visualization.report import Figure, Report, Section, Table, write_report
from pgan.visualization.retrieval import PARTS

_COLUMNS = 6  # tiles in a row of a panel
_DISTANCES = "Distances are squared Euclidean, from 0 to 4."


@dataclass(frozen=True, eq=False)
class Result:
    """A query and what was found for it, nearest first.

    Attributes:
        query: What was searched for.
        hits: What was found.
        entries: What is known of each of them.
        limit: Distance up to which an image is taken for the query's vehicle; None if there is no limit.
    """

    query: Query
    hits: Sequence[Hit]
    entries: Sequence[Entry]
    limit: float | None = None

    def same_vehicle(self) -> list[bool | None]:
        """Whether each is taken for the query's vehicle; None without a limit."""
        return [None if self.limit is None else hit.distance <= self.limit for hit in self.hits]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Columns and rows of texts; columns that would say nothing are left out."""
        reranked = any(hit.reranked is not None for hit in self.hits)
        columns = {
            "rank": [str(rank) for rank in range(1, len(self.hits) + 1)],
            "distance": [f"{hit.distance:.4f}" for hit in self.hits],
            "re-ranked": [_optional(hit.reranked) for hit in self.hits] if reranked else [""],
            "same vehicle": [{None: "", True: "yes", False: "no"}[s] for s in self.same_vehicle()],
            "vehicle": [entry.vehicle for entry in self.entries],
            "camera": [entry.camera for entry in self.entries],
            "time": [str(entry.time) for entry in self.entries],
            "image": [short_path(entry.path) for entry in self.entries],
        }
        told = {name: texts for name, texts in columns.items() if any(texts)}
        return list(told), [list(row) for row in zip(*told.values())]

    def to_json(self) -> dict[str, Any]:
        """All of it as JSON values."""
        found = [
            {
                "rank": rank,
                "distance": hit.distance,
                **({} if hit.reranked is None else {"reranked_distance": hit.reranked}),
                **({} if same is None else {"same_vehicle": same}),
                **_known(entry),
            }
            for rank, (hit, entry, same) in enumerate(
                zip(self.hits, self.entries, self.same_vehicle()), 1
            )
        ]
        return {"query": _known(self.query.known), "results": found}

    def panel(self) -> np.ndarray:
        """The query and what was found as a picture, RGB; an image file that is gone is a grey tile."""
        titles = [
            f"{rank}  {hit.distance:.3f}" + f"  cam {entry.camera}" * bool(entry.camera)
            for rank, (hit, entry) in enumerate(zip(self.hits, self.entries), 1)
        ]
        pictures = [_picture(entry, title) for entry, title in zip(self.entries, titles)]
        query = _picture(self.query.known, "query")
        return ranked_row(query, pictures, self.same_vehicle(), columns=_COLUMNS)


def results(
    gallery: Gallery, queries: Sequence[Query], hits: Sequence[Sequence[Hit]], limit: float | None
) -> list[Result]:
    """Look up what is known of the images that were found, each shard read once."""
    known = iter(gallery.entries([hit.row for found in hits for hit in found]))
    return [
        Result(query, found, [next(known) for _ in found], limit)
        for query, found in zip(queries, hits)
    ]


def as_text(found: Sequence[Result]) -> str:
    """A table for each query, readable as it stands."""
    blocks = []
    for result in found:
        columns, rows = result.table()
        head = f"{short_path(result.query.known.path)}:"
        text = markdown_table(columns, rows, left=0) if rows else "nothing was found"
        blocks.append(f"{head}\n\n{text}")
    return "\n\n".join(blocks)


def as_json(
    gallery: Gallery, found: Sequence[Result], limit: float | None, failed: Mapping[str, str]
) -> dict[str, Any]:
    """All of it as JSON values, with what was searched and the queries that cannot be read."""
    return {
        "gallery": str(gallery.path.absolute()),
        "images": len(gallery),
        "model": {key: gallery.model[key] for key in ("type", "checkpoint", "fingerprint")},
        "max_distance": limit,
        "queries": [result.to_json() for result in found],
        "unreadable": dict(failed),
    }


def write_page(
    out: str | os.PathLike[str], found: Sequence[Result], made: Mapping[str, str], summary: str
) -> Path:
    """Write a panel of each query, ``query_1.png`` and so on, and a page of them.

    Args:
        out: Folder for the files.
        found: Of the queries.
        made: How, name -> value, for the page's foot.
        summary: What was searched, and how.
    """
    sections = []
    for number, result in enumerate(found, 1):
        panel = result.panel()
        png = cv2.imencode(".png", panel[..., ::-1])[1].tobytes()
        write_atomically(Path(out) / f"query_{number}.png", lambda file, png=png: file.write(png))
        path = short_path(result.query.known.path)
        caption = f"Blue: the query, {path}. Below each result stand its rank and its distance."
        sections.append(
            Section(
                f"Query {number}",
                blocks=[
                    Figure(panel, caption, f"What was found for {path}", wide=True),
                    Table("Results", *result.table()),
                ],
            )
        )
    reading = [summary, _DISTANCES]
    if any(result.limit is not None for result in found):
        reading.append(
            "Green with a tick: taken for the same vehicle, since the distance is at most "
            f"{found[0].limit:.4g}; red with a cross: for another."
        )
    if any(entry.parts is not None for result in found for entry in result.entries):
        reading.append(PARTS)
    report = Report(
        "Search results",
        " ".join(reading),
        sections,
        made={"Date": datetime.date.today().isoformat(), **made},
    )
    return write_report(Path(out) / "index.html", report)


def _picture(entry: Entry, title: str) -> Picture:
    try:
        image = read_image(entry.path)
    except ImageError:
        return Picture(np.full((3, 4, 3), 190, np.uint8), title=f"{title}  (gone)")
    if entry.parts is None:
        return Picture(image, title=title)
    return Picture(image, entry.parts.boxes, None, entry.weights, title)


def _known(entry: Entry) -> dict[str, Any]:
    known = {
        "path": entry.path,
        "vehicle": entry.vehicle or None,
        "camera": entry.camera or None,
        "time": str(entry.time) or None,
    }
    if entry.parts is None:
        return known
    parts = zip(entry.labels, entry.parts.scores, entry.weights, entry.parts.boxes)
    known["parts"] = [
        {"label": label, "score": float(score), "weight": float(weight), "box": box.tolist()}
        for label, score, weight, box in parts
    ]
    return known


def _optional(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"
