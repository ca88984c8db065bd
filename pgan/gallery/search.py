"""Search a gallery: filters, approximate or exact search, re-ranking of the first images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import Any

import numpy as np

from pgan.evaluation.retrieval import RetrievalResult
from pgan.gallery.checksummed_json import write_checksummed_json
from pgan.gallery.errors import GalleryError
from pgan.gallery.index import Index, SearchIndexError, build_index, load_index
from pgan.gallery.store import INDEX, Entry, Gallery, read_json
from pgan.gallery.times import Time

BUILT = "built.json"  # describes the index
_SHAPE = {"kind": str, "recall": {str: float}, "shards": [str]}
_BATCH = 64  # queries compared together


@dataclass(frozen=True)
class Filters:
    """Conditions on the images that a search may find.

    Attributes:
        cameras: Only images by these cameras; empty for all.
        cameras_not: No images by these cameras.
        other_cameras: No images by the query's own camera. Images of unknown cameras stay, as in the
            metrics, where they are not junk.
        after: Only images of this time or later; None for all. Images without a time of that kind are not
            found.
        before: Only images earlier than this time; None for all. Images without a time of that kind are not
            found.
    """

    cameras: Sequence[str] = ()
    cameras_not: Sequence[str] = ()
    other_cameras: bool = False
    after: Time | None = None
    before: Time | None = None

    def among(self, gallery: Gallery, camera: str = "") -> np.ndarray | None:
        """Return which images may be found for a query by this camera, (N,) bool; None for all.

        Raises:
            GalleryError: No image of the gallery has such a camera, or a time of that kind.
        """
        masks = []
        known = set(gallery.cameras.tolist()) if self.cameras or self.cameras_not else set()
        for name in (*self.cameras, *self.cameras_not):
            if name not in known:
                named = ", ".join(sorted(known - {""})) or "no known camera"
                raise GalleryError(
                    f"no image of {gallery.path} is by camera {name!r}: it has {named}"
                )
        if self.cameras:
            masks.append(np.isin(gallery.cameras, list(self.cameras)))
        if self.cameras_not:
            masks.append(~np.isin(gallery.cameras, list(self.cameras_not)))
        if self.other_cameras and camera:
            masks.append(gallery.cameras != camera)
        for time, passes in ((self.after, np.greater_equal), (self.before, np.less)):
            if time is not None:
                masks.append(passes(_times(gallery, time), time.value))
        return np.logical_and.reduce(masks) if masks else None


@dataclass(frozen=True, eq=False)
class Query:
    """A query of a gallery.

    Attributes:
        feature: (C,) float32.
        known: The image, with vehicle and camera if they are known.
        row: Row of the image if it is in the gallery; it is removed from its own results.
    """

    feature: np.ndarray
    known: Entry
    row: int | None = None


class Searcher:
    """Search a gallery with its index, or exactly if it has none.

    Images that were added after the index was built are compared exactly, and the results are merged. After
    images were removed, the index is not used until it is built again.

    Args:
        gallery: A gallery with images.

    Attributes:
        stale (str): Why the gallery's index is not used; empty if it is used, or there is none.

    Raises:
        GalleryError: The gallery is empty.
    """

    def __init__(self, gallery: Gallery) -> None:
        gallery.refuse_empty()
        self.gallery = gallery
        self.stale = ""
        self._index = self._open()

    def _open(self) -> Index | None:
        covered, self.stale = covered_rows(self.gallery)
        if not covered:
            return None
        try:
            return load_index(self.gallery.path / INDEX, _LazyFeatures(self.gallery, covered))
        except SearchIndexError as error:
            self.stale = str(error)
            return None

    @property
    def covered(self) -> int:
        """Number of images in the index; the images after them are compared exactly."""
        return 0 if self._index is None else len(self._index)

    @cached_property
    def _exact(self) -> Index:
        """An exact index of the images that are not covered; they are all read, so they are verified."""
        self.gallery.verify(self.covered)
        return build_index(
            self.gallery.features(np.arange(self.covered, len(self.gallery))), "exact"
        )

    def nearest(
        self, queries: np.ndarray, k: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest images; images at equal distances are ordered by row.

        Args:
            queries: (Q, C) float32.
            k: At least 1.
            among: (N,) bool, the images that may be found; None for all.

        Returns:
            (Q, k) float32 squared Euclidean distances and (Q, k) int64 rows; infinity and -1 in empty slots.

        Raises:
            SearchIndexError: k is below 1, or the queries have other dimensions than the gallery.
        """
        covered, found = self.covered, []
        if self._index is not None:
            inside = None if among is None else among[:covered]
            distances, rows = self._index.search(queries, k, inside)
            # Images that pass a filter may be in lists that the index does not visit.
            possible = covered if inside is None else int(inside.sum())
            short = (rows >= 0).sum(1) < min(k, possible)
            if short.any():
                allowed = np.arange(covered) if inside is None else np.flatnonzero(inside)
                subset = build_index(self.gallery.features(allowed), "exact")
                distances[short], places = subset.search(queries[short], k)
                rows[short] = np.where(places >= 0, allowed[places], -1)
            found.append((distances, rows))
        if covered < len(self.gallery):
            inside = None if among is None else among[covered:]
            distances, rows = self._exact.search(queries, k, inside)
            found.append((distances, np.where(rows >= 0, rows + covered, -1)))
        distances, rows = (np.concatenate(side, axis=1) for side in zip(*found))
        order = np.lexsort((rows, distances))[:, :k]
        return np.take_along_axis(distances, order, 1), np.take_along_axis(rows, order, 1)

    def search(
        self,
        queries: Sequence[Query],
        k: int = 20,
        filters: Filters = Filters(),
        rerank: int = 0,
    ) -> RetrievalResult:
        """Return the first k images for each query, without the query itself.

        Args:
            queries: At least one query.
            k: At least 1.
            filters: Conditions on the images that may be found.
            rerank: How many of the nearest images are re-ranked by k-reciprocal encoding, each query with its
                own nearest images; 0 for none.

        Returns:
            Rows of the gallery with squared Euclidean distances, nearest first.

        Raises:
            GalleryError: k is below 1, a filter matches nothing, or a query's camera is unknown and
                ``other_cameras`` is set.
        """
        if k < 1:
            raise GalleryError(f"k={k}: ask for 1 image or more")
        camera = _camera_of if filters.other_cameras else lambda query: ""
        lists: dict[int, tuple[np.ndarray, np.ndarray, np.ndarray]] = {}
        numbered = sorted(enumerate(queries), key=lambda item: camera(item[1]))
        for own, group in groupby(numbered, key=lambda item: camera(item[1])):
            among, members = filters.among(self.gallery, own), list(group)
            for start in range(0, len(members), _BATCH):
                batch = members[start : start + _BATCH]
                features = np.stack([query.feature for _, query in batch])
                # One more, since a query may find itself.
                distances, rows = self.nearest(features, max(k, rerank) + 1, among)
                for (number, query), near, places in zip(batch, distances, rows):
                    kept = (places >= 0) & (places != (-1 if query.row is None else query.row))
                    ranked = self._rerank(query, places[kept], near[kept], rerank)
                    lists[number] = (ranked[0][:k], ranked[1][:k], ranked[2][:k])
        rows, distances, reranked = zip(*(lists[number] for number in range(len(queries))))
        return RetrievalResult.from_rows(
            rows, distances, reranked=reranked if rerank else None, dtype=np.float64
        )

    def _rerank(
        self, query: Query, rows: np.ndarray, distances: np.ndarray, count: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Re-rank the first images (Zhong et al., CVPR 2017); the others stay behind them.

        Returns:
            Rows, their distances, and the re-ranked distances, NaN for the others.
        """
        reranked = np.full(len(rows), np.nan)
        count = min(count, len(rows))
        if count < 2:
            return rows, distances, reranked
        from pgan.evaluation import KReciprocal, Refinement  # imports torch

        setting = Refinement(rerank=True)
        encoded = KReciprocal(
            np.concatenate([query.feature[None], self.gallery.features(rows[:count])]),
            setting.k1,
            setting.k2,
            setting.weight,
        )
        positions = np.arange(1, count + 1)
        values = np.asarray(encoded.distances(np.array([0]), positions).rows(0, 1)[0].tolist())
        order = np.argsort(values, kind="stable")
        reranked[:count] = values[order]
        order = np.concatenate([order, np.arange(count, len(rows))])
        return rows[order], distances[order], reranked


class _LazyFeatures:
    """Features of a gallery's first rows, read when they are indexed."""

    dtype = np.dtype(np.float32)
    ndim = 2

    def __init__(self, gallery: Gallery, count: int) -> None:
        self.gallery = gallery
        self.shape = (count, gallery.dimensions)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, rows: np.ndarray) -> np.ndarray:
        rows = np.asarray(rows)
        found = self.gallery.features(np.where(rows < 0, rows + len(self), rows).ravel())
        return found.reshape(*rows.shape, self.shape[1])


def build(gallery: Gallery, kind: str = "auto", seed: int = 0, progress: bool = False) -> Index:
    """Build the index of a gallery, measure its recall and store it in the gallery.

    Args:
        gallery: A gallery with images.
        kind: Kind of the index, see `pgan.gallery.index.build_index`.
        seed: Seed of the training, see `pgan.gallery.index.build_index`.
        progress: Show a progress bar.

    Raises:
        GalleryError: The gallery is empty, there is no such kind of index, or the images are too few for it.
    """
    gallery.refuse_empty()
    gallery.verify()
    index = build_index(gallery.features(), kind, seed, progress=progress)
    index.save(gallery.path / INDEX)
    about = {
        "kind": index.kind,
        "recall": index.recall,
        "seconds": index.seconds,
        "bytes_per_image": index.bytes_per_image,
        "shards": [shard.name for shard in gallery.shards],
    }
    write_checksummed_json(gallery.path / INDEX / BUILT, about)
    return index


def about_index(gallery: Gallery) -> dict[str, Any] | None:
    """Read the description of the gallery's index; None if there is none."""
    file = gallery.path / INDEX / BUILT
    return read_json(file, _SHAPE) if file.is_file() else None


def covered_rows(gallery: Gallery) -> tuple[int, str]:
    """Return how many of the gallery's first rows its index covers, and why it is unusable, if it is."""
    about = about_index(gallery)
    if about is None or about["kind"] == "exact":
        return 0, ""
    names = [shard.name for shard in gallery.shards]
    if names[: len(about["shards"])] != about["shards"]:
        return 0, "images were removed since the index was built"
    return sum(shard.rows for shard in gallery.shards[: len(about["shards"])]), ""


def _times(gallery: Gallery, time: Time) -> np.ndarray:
    times = gallery.times(time.kind)
    if not np.isfinite(times).any():
        raise GalleryError(
            f"no image of {gallery.path} has a {time.kind} as its time, to compare with {time}: omit "
            "--after and --before, or see `info`"
        )
    return times


def _camera_of(query: Query) -> str:
    if not query.known.camera:
        raise GalleryError(
            f"{query.known.path}: its camera is unknown, since the gallery has none for it: give "
            "--camera-not ID instead of --other-cameras"
        )
    return query.known.camera
