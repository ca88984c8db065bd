"""Search results as tables and as JSON; `pgan.gallery.result_page` draws them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pgan.evaluation.retrieval import RetrievalResult
from pgan.gallery.info import short_path
from pgan.gallery.search import Query
from pgan.gallery.store import Entry, Gallery
from pgan.tables import markdown_table


@dataclass(frozen=True, eq=False)
class QueryResult:
    """A query and the images found for it, nearest first.

    Attributes:
        query: The query.
        found: The search result of this query alone, without empty slots.
        entries: What the gallery knows of each image.
        limit: Greatest distance of the same vehicle; None if not calibrated.
    """

    query: Query
    found: RetrievalResult
    entries: Sequence[Entry]
    limit: float | None = None

    @property
    def distances(self) -> list[float]:
        """Squared Euclidean distance of each image."""
        return self.found.distances[0].tolist()

    @property
    def reranked(self) -> list[float | None]:
        """Re-ranked distance of each image; None for an image that was not re-ranked."""
        if self.found.reranked is None:
            return [None] * len(self.entries)
        return [None if value != value else value for value in self.found.reranked[0].tolist()]

    def same_vehicle(self) -> list[bool | None]:
        """Return whether each image shows the query's vehicle; None without a limit."""
        return [None if self.limit is None else d <= self.limit for d in self.distances]

    def table(self) -> tuple[list[str], list[list[str]]]:
        """Return column names and rows of text; empty columns are omitted."""
        reranked = self.reranked if any(r is not None for r in self.reranked) else []
        columns = {
            "rank": [str(rank) for rank in range(1, len(self.entries) + 1)],
            "distance": [f"{distance:.4f}" for distance in self.distances],
            "re-ranked": ["" if value is None else f"{value:.4f}" for value in reranked] or [""],
            "same vehicle": [{None: "", True: "yes", False: "no"}[s] for s in self.same_vehicle()],
            "vehicle": [entry.vehicle for entry in self.entries],
            "camera": [entry.camera for entry in self.entries],
            "time": [str(entry.time) for entry in self.entries],
            "image": [short_path(entry.path) for entry in self.entries],
        }
        shown = {name: texts for name, texts in columns.items() if any(texts)}
        return list(shown), [list(row) for row in zip(*shown.values())]

    def to_json(self) -> dict[str, Any]:
        """Return the query and the images as JSON values."""
        found = [
            {
                "rank": rank,
                "distance": distance,
                **({} if reranked is None else {"reranked_distance": reranked}),
                **({} if same is None else {"same_vehicle": same}),
                **_known(entry),
            }
            for rank, (distance, reranked, same, entry) in enumerate(
                zip(self.distances, self.reranked, self.same_vehicle(), self.entries), 1
            )
        ]
        return {"query": _known(self.query.known), "results": found}


def query_results(
    gallery: Gallery, queries: Sequence[Query], found: RetrievalResult, limit: float | None = None
) -> list[QueryResult]:
    """Look up the entries of the images that were found; each shard is read once.

    Args:
        gallery: The gallery that was searched.
        queries: The queries.
        found: What `pgan.gallery.search.Searcher.search` returned for them.
        limit: Greatest distance of the same vehicle; None if not calibrated.
    """
    entries = iter(gallery.entries(found.indices[found.filled].tolist()))
    results = []
    for number, query in enumerate(queries):
        own = found.query(number)
        results.append(QueryResult(query, own, [next(entries) for _ in range(own.k)], limit))
    return results


def as_text(results: Sequence[QueryResult]) -> str:
    """Return a table for each query as text."""
    blocks = []
    for result in results:
        columns, rows = result.table()
        text = markdown_table(columns, rows, left=0) if rows else "nothing was found"
        blocks.append(f"{short_path(result.query.known.path)}:\n\n{text}")
    return "\n\n".join(blocks)


def as_json(
    gallery: Gallery, results: Sequence[QueryResult], limit: float | None, failed: Mapping[str, str]
) -> dict[str, Any]:
    """Return the results as JSON values, with the gallery, its model and the unreadable queries."""
    return {
        "gallery": str(gallery.path.absolute()),
        "images": len(gallery),
        "model": {key: gallery.model[key] for key in ("type", "checkpoint", "fingerprint")},
        "max_distance": limit,
        "queries": [result.to_json() for result in results],
        "unreadable": dict(failed),
    }


def _known(entry: Entry) -> dict[str, Any]:
    known: dict[str, Any] = {
        "path": entry.path,
        "vehicle": entry.vehicle or None,
        "camera": entry.camera or None,
        "time": str(entry.time) or None,
    }
    if entry.parts is None or entry.weights is None:
        return known
    parts = zip(entry.labels, entry.parts.scores, entry.weights, entry.parts.boxes)
    known["parts"] = [
        {"label": label, "score": float(score), "weight": float(weight), "box": box.tolist()}
        for label, score, weight, box in parts
    ]
    return known
