"""Search in many features: exact where that is fast enough, else an index of small codes, checked exactly.

Every kind only proposes images; the distances by which they are ranked are those of the features
themselves, so a found image's distance never depends on the kind. How many an index misses is measured
when it is built.

    index = build_index(features)             # (N, C); may be memory-mapped
    distances, rows = index.search(queries, k=10)
    index.save(folder)
    index = load_index(folder, features)
"""

from __future__ import annotations

import json
import os
import time
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import faiss
import numpy as np
from tqdm import tqdm

from detector.common.files import write_atomically
from pgan.gallery.index_settings import (
    TARGET_RECALL,
    SearchIndexError,
    Settings,
    read_settings,
    settings_by_rule,
)

KINDS = ("exact", "hnsw", "ivfpq")
EXACT_UP_TO = 20_000  # images; see docs/search.md
TRAINING_IMAGES = 40  # for each list, as faiss asks for
TRAINING_ROUNDS = 10

_FILE, _SCHEMA = "index.npz", 1
_LEAST = 256  # images that an index other than the exact one is made of
_SAMPLE = 1000  # images whose neighbours are looked for to measure recall
_RECALLS = (1, 10)
_LEAST_EFFORT, _DOUBLINGS = {"hnsw": 100, "ivfpq": 8}, 8
_SPARE = 16  # images proposed beyond k: faiss rounds distances, and ties are ordered by row here
_CHUNK = 1 << 15  # images added at a time
_REFINED_BYTES = 1 << 26  # of features compared at a time
_BAR_DELAY = 1.0  # seconds that pass before a bar is worth showing
_DAMAGES = (OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, RuntimeError)
_DAMAGES += (zipfile.BadZipFile, zlib.error)  # what reading a file that is not whole may raise


@dataclass(frozen=True, eq=False)
class Index:
    """An index of features; :func:`build_index` and :func:`load_index` make one.

    Attributes:
        kind: ``'exact'``, ``'hnsw'`` or ``'ivfpq'``.
        features: (N, C) float32, of which it is; they may be memory-mapped, and are not changed.
        settings: How it was made, what was chosen by rule filled in.
        recall: ``recall@1`` and ``recall@10``: of the nearest 1 and 10 other images of some of its own
            images, the share that it finds. Measured when built; 1 if exact.
        seconds: That building took, measuring included.
        bytes_per_image: Of memory that searching takes: an exact one's are the features'; the others'
            come on top of features that may stay on disk.
    """

    kind: str
    features: np.ndarray
    settings: Settings
    recall: dict[str, float]
    seconds: float
    bytes_per_image: float
    _faiss: faiss.Index | None = None

    def __len__(self) -> int:
        return len(self.features)

    def search(
        self, queries: np.ndarray, k: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """The k nearest images of each query; of images at one distance, the one of the lower row first.

        Args:
            queries: (Q, C) floats.
            k: At least 1.
            among: (N,) bool, images that may be found. None: all.

        Returns:
            (Q, k) float32 squared Euclidean distances, ascending, infinite where there is none; (Q, k)
            int64 rows of the features, there -1.

        Raises:
            SearchIndexError: Queries of another shape than the features, or not finite; k below 1.
        """
        queries = _checked(queries, "query")
        if queries.shape[1] != self.features.shape[1]:
            raise SearchIndexError(
                f"queries have {queries.shape[1]} dimensions, the index's features "
                f"{self.features.shape[1]}: take both from one model"
            )
        if k < 1:
            raise SearchIndexError(f"k must be at least 1, got {k}")
        if among is not None and np.shape(among) != (len(self),):
            raise SearchIndexError(
                f"among has shape {np.shape(among)}, but the index has {len(self)} images"
            )
        distances, rows = self._refined(queries, self._proposed(queries, k, among))
        missing = ((0, 0), (0, max(k - rows.shape[1], 0)))
        return (
            np.pad(distances[:, :k], missing, constant_values=np.inf),
            np.pad(rows[:, :k], missing, constant_values=-1),
        )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write all but the features into a folder, as one file, in one step; returns its path."""
        about = {
            "kind": self.kind,
            "settings": asdict(self.settings),
            "recall": self.recall,
            "seconds": self.seconds,
            "bytes_per_image": self.bytes_per_image,
            "images": len(self),
            "fingerprint": _fingerprint(self.features),
        }
        arrays = {"schema": np.int64(_SCHEMA), "about": np.str_(json.dumps(about))}
        if self.kind != "exact":
            arrays["index"] = faiss.serialize_index(self._faiss)
        return write_atomically(Path(folder) / _FILE, lambda file: np.savez(file, **arrays))

    def _proposed(self, queries: np.ndarray, k: int, among: np.ndarray | None) -> np.ndarray:
        """(Q, M) rows of images worth an exact comparison; -1 where there is none."""
        allowed = None if among is None else np.flatnonzero(among)
        if self.kind == "exact" and self._faiss is not None and allowed is None:
            return self._faiss.search(queries, min(k + _SPARE, len(self)))[1]
        if self.kind == "exact" or (allowed is not None and len(allowed) <= EXACT_UP_TO):
            features = self.features if allowed is None else self.features[allowed]
            if len(features) == 0:
                return np.full((len(queries), 1), -1)
            found = faiss.knn(queries, features, min(k + _SPARE, len(features)))[1]
            return found if allowed is None else allowed[found]
        wanted = min(max(k, 10) * self.settings.candidates, len(self))
        bits = None if among is None else np.packbits(among, bitorder="little")
        only = {} if bits is None else {"sel": faiss.IDSelectorBitmap(bits)}
        # The nearest of a share of the images lie farther apart by as much.
        effort = self.settings.effort * (1 if allowed is None else len(self) // len(allowed))
        if self.kind == "ivfpq":
            inner = faiss.SearchParametersIVF(nprobe=effort, **only)
        else:
            inner = faiss.SearchParametersHNSW(efSearch=max(effort, wanted), **only)
        params = faiss.SearchParametersPreTransform(index_params=inner)
        return self._faiss.search(queries, wanted, params=params)[1]

    def _refined(self, queries: np.ndarray, proposed: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Distances to the proposed images and their rows, nearest first."""
        step = max(_REFINED_BYTES // (proposed.shape[1] * 4 * queries.shape[1]), 1)
        distances = np.empty(proposed.shape, np.float32)
        for start in range(0, len(queries), step):
            chunk = slice(start, start + step)
            difference = self.features[proposed[chunk]] - queries[chunk, None]
            distances[chunk] = np.einsum("qmc,qmc->qm", difference, difference)
        distances[proposed < 0] = np.inf
        order = np.lexsort((proposed, distances))
        return (np.take_along_axis(array, order, 1) for array in (distances, proposed))


def build_index(
    features: np.ndarray,
    kind: str = "auto",
    seed: int = 0,
    settings: Settings | Mapping[str, int] | None = None,
    progress: bool = False,
) -> Index:
    """Make an index of features and measure its recall.

    By rule, up to :data:`EXACT_UP_TO` images are compared one by one, more by an inverted file of product
    codes (Jegou et al., "Product Quantization for Nearest Neighbor Search", TPAMI 2011), of which as many
    lists are looked through as it takes to find ``TARGET_RECALL`` of the nearest images. ``'hnsw'`` is a
    graph (Malkov and Yashunin, TPAMI 2018) over a byte per principal component. What either proposes is
    compared by the features themselves. ``'exact'`` uses the GPUs there are if faiss is built for them, but
    for a search among some images only.

    Args:
        features: (N, C) float32; memory-mapped ones are read in pieces.
        kind: ``'auto'`` or one of :data:`KINDS`.
        seed: Of the images learnt from and measured by. faiss's graph differs from run to run where
            threads build it.
        settings: Or some of its attributes.
        progress: Whether to show a bar where it takes more than a moment.

    Raises:
        SearchIndexError: No kind or setting of that name; features that are none, or not finite.
    """
    if kind not in ("auto", *KINDS):
        raise SearchIndexError(f"no index is called {kind!r}: choose auto, {', '.join(KINDS)}")
    settings = read_settings(settings)
    features = _checked(features, "image")
    start = time.perf_counter()
    if kind == "auto":
        kind = "exact" if len(features) <= EXACT_UP_TO else "ivfpq"
    perfect = {f"recall@{k}": 1.0 for k in _RECALLS}
    if kind == "exact":
        size = 4.0 * features.shape[1]
        return Index(kind, features, settings, perfect, 0.0, size, _on_gpus(features))
    if len(features) < _LEAST:
        raise SearchIndexError(
            f"{len(features)} images are too few for an index of kind {kind!r}, which learns from "
            f"{_LEAST}: choose 'exact'"
        )
    settings = settings_by_rule(settings, kind, *features.shape)
    index = _built(kind, features, settings, seed, progress)
    return replace(index, seconds=time.perf_counter() - start)


def load_index(folder: str | os.PathLike[str], features: np.ndarray) -> Index:
    """Read what :meth:`Index.save` wrote.

    Args:
        folder: Where it was saved.
        features: Those it was built of, in their order.

    Raises:
        SearchIndexError: Missing, damaged, no index, or one of other features.
    """
    path = Path(folder) / _FILE
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        if int(arrays["schema"]) != _SCHEMA:
            raise ValueError(f"its schema is {int(arrays['schema'])}, not {_SCHEMA}")
        about = json.loads(str(arrays["about"]))
        settings, images = Settings(**about.pop("settings")), about.pop("images")
        fingerprint, kind = about.pop("fingerprint"), about.pop("kind")
        made = faiss.deserialize_index(arrays["index"]) if kind != "exact" else _on_gpus(features)
        index = Index(kind, features, settings, **about, _faiss=made)
    except FileNotFoundError as error:
        raise SearchIndexError(f"{path}: no such file: build the index first") from error
    except _DAMAGES as error:
        raise SearchIndexError(
            f"{path}: not an index, or damaged ({error}): delete it and build the index again"
        ) from error
    if images != len(features) or fingerprint != _fingerprint(features):
        raise SearchIndexError(
            f"{path}: is of {images} other features than the {len(features)} given: build the index again"
        )
    return index


def _checked(features: Any, name: str) -> np.ndarray:
    """(N, C) float32, contiguous, without a copy where it is so already."""
    features = np.asanyarray(features)
    if features.ndim != 2 or not np.issubdtype(features.dtype, np.floating) or features.size == 0:
        raise SearchIndexError(
            f"{name} features must be a matrix of floats, one row per image, and not empty; got shape "
            f"{features.shape} of {features.dtype}"
        )
    features = np.ascontiguousarray(features, dtype=np.float32)
    for start in range(0, len(features), _CHUNK):
        finite = np.isfinite(features[start : start + _CHUNK]).all(axis=1)
        if not finite.all():
            raise SearchIndexError(
                f"{name} row {start + int(np.argmin(finite))} (the first is 0) holds NaN or infinity: "
                "has the model diverged?"
            )
    return features


def _built(
    kind: str,
    features: np.ndarray,
    settings: Settings,
    seed: int,
    progress: bool,
) -> Index:
    """An index that is not exact: trained, filled, its recall measured."""
    rng = np.random.default_rng(seed)
    made = _empty(kind, settings, features.shape[1], seed)
    trained = min(TRAINING_IMAGES * max(settings.lists, 256), len(features))
    with tqdm(
        desc=f"{kind} index: learning from {trained} images",
        total=len(features),
        disable=not progress,
        delay=_BAR_DELAY,
        unit="image",
        unit_scale=True,
        leave=False,
    ) as bar:
        made.train(np.ascontiguousarray(features[_some(rng, len(features), trained)]))
        bar.set_description(f"{kind} index: adding images")
        for first in range(0, len(features), _CHUNK):
            made.add(np.ascontiguousarray(features[first : first + _CHUNK]))
            bar.update(min(_CHUNK, len(features) - first))
        bar.set_description(f"{kind} index: measuring recall")
        size = faiss.serialize_index(made).nbytes / len(features)
        return _measured(Index(kind, features, settings, {}, 0.0, size, made), rng)


def _empty(kind: str, settings: Settings, dims: int, seed: int) -> faiss.Index:
    """The faiss index to train and fill."""
    kept = settings.dims
    if kind == "hnsw":
        inner = faiss.IndexHNSWSQ(kept, faiss.ScalarQuantizer.QT_8bit, settings.links)
    else:
        pieces = 2 * settings.code_bytes  # of 4 bits each, which a CPU's registers look up at once
        inner = faiss.IndexIVFPQFastScan(faiss.IndexFlatL2(kept), kept, settings.lists, pieces, 4)
        inner.cp.seed = inner.pq.cp.seed = seed
        inner.cp.niter = TRAINING_ROUNDS
        inner.by_residual = False  # one table for all lists: a query takes a third of the time
        inner.implem = 14  # threads share the lists of one query
        inner.cp.min_points_per_centroid = 1
        inner.pq.cp.min_points_per_centroid = 1
    made = faiss.IndexPreTransform(inner)
    if kept != dims:
        # Turned at random, so that each piece of a code has as much to tell.
        made.prepend_transform(faiss.PCAMatrix(dims, kept, 0, kind == "ivfpq"))
    return made


def _on_gpus(features: np.ndarray) -> faiss.Index | None:
    """The features on all GPUs; None where there is none, or faiss is not built for them."""
    if not getattr(faiss, "get_num_gpus", int)():
        return None
    made = faiss.index_cpu_to_all_gpus(faiss.IndexFlatL2(features.shape[1]))
    for first in range(0, len(features), _CHUNK):
        made.add(np.ascontiguousarray(features[first : first + _CHUNK]))
    return made


def _some(rng: np.random.Generator, count: int, wanted: int) -> np.ndarray:
    """Ascending rows, none twice: a memory-mapped file is read in its order."""
    return np.sort(rng.choice(count, min(wanted, count), replace=False))


def _measured(index: Index, rng: np.random.Generator) -> Index:
    """The index with its recall, at the least effort that reaches the target, if none was chosen."""
    rows = _some(rng, len(index), _SAMPLE)
    queries, most = np.ascontiguousarray(index.features[rows]), max(_RECALLS)
    exact = Index("exact", index.features, index.settings, {}, 0.0, 0.0)
    truth = _others(exact, queries, rows, most)
    by_rule = [round(_LEAST_EFFORT[index.kind] * 2 ** (step / 4)) for step in range(4 * _DOUBLINGS)]
    for effort in [index.settings.effort] if index.settings.effort else by_rule:
        index = replace(index, settings=replace(index.settings, effort=effort))
        found = _others(index, queries, rows, most)
        index = replace(index, recall={f"recall@{k}": _recall(found, truth, k) for k in _RECALLS})
        if index.recall["recall@1"] >= TARGET_RECALL:
            break
    return index


def _others(index: Index, queries: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """(Q, k) distances of the nearest images but the query itself."""
    distances, found = index.search(queries, k + 1)
    distances = np.where(found == rows[:, None], np.inf, distances)
    return np.sort(distances, axis=1)[:, :k]


def _recall(found: np.ndarray, truth: np.ndarray, k: int) -> float:
    """The share of the k nearest that is found; by distance, so that any of equals will do."""
    real = np.isfinite(truth[:, :k])
    return float((found[:, :k] <= truth[:, k - 1 : k])[real].mean()) if real.any() else 1.0


def _fingerprint(features: np.ndarray) -> str:
    """Of the shape and up to a thousand rows, spread evenly."""
    rows = np.linspace(0, len(features) - 1, min(len(features), 1000)).astype(np.int64)
    sample = np.ascontiguousarray(features[rows], dtype=np.float32)
    return f"{features.shape} {zlib.crc32(sample.tobytes()):08x}"
