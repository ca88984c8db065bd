"""Nearest-neighbour search in many features: exact if that is fast enough, else with a faiss index.

Every kind of index only proposes candidates; they are ranked by the distances of the features themselves,
so the distance of an image does not depend on the kind. The recall of an index is measured when it is built.

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
from typing import Any, Protocol

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
TRAINING_IMAGES = 40  # per list, as faiss recommends
TRAINING_ROUNDS = 10

_FILE, _SCHEMA = "index.npz", 1
_MIN_IMAGES = 256  # images that an approximate index needs
_SAMPLE = 1000  # queries that measure the recall
_RECALLS = (1, 10)
_MIN_EFFORT, _DOUBLINGS = {"hnsw": 100, "ivfpq": 8}, 8
_SPARE = 16  # candidates beyond k: faiss rounds distances, and ties are ordered by row here
_CHUNK = 1 << 15  # images added at a time
_RANKED_BYTES = 1 << 26  # of features that are compared at a time
_BAR_DELAY = 1.0  # seconds before a progress bar appears
# What reading a damaged file may raise.
_DAMAGES = (
    *(OSError, EOFError, ValueError, TypeError, KeyError, AttributeError, RuntimeError),
    *(zipfile.BadZipFile, zlib.error),
)


class LazyRows(Protocol):
    """The part of an array that a search needs: features that are read when they are indexed by row."""

    dtype: np.dtype
    ndim: int
    shape: tuple[int, int]

    def __len__(self) -> int: ...

    def __getitem__(self, rows: Any, /) -> np.ndarray: ...


Features = np.ndarray | LazyRows


@dataclass(frozen=True, eq=False)
class Index:
    """An index of features; `build_index` and `load_index` create one.

    Attributes:
        kind: ``'exact'``, ``'hnsw'`` or ``'ivfpq'``.
        features: The indexed features, (N, C) float32; they may be memory-mapped and are not changed.
        settings: The settings it was built with, completed by rule.
        recall: ``recall@1`` and ``recall@10``: the fraction of the nearest 1 and 10 other images that it
            finds for a sample of its own images. Measured when it is built; 1 if exact.
        seconds: Time of building it and measuring its recall.
        bytes_per_image: Memory of a search: that of the features for the exact kind; for the others, the
            memory on top of the features, which may stay on disk.
    """

    kind: str
    features: Features
    settings: Settings
    recall: dict[str, float]
    seconds: float
    bytes_per_image: float
    _faiss: Any = None  # a faiss.Index; None: exact, without a GPU

    def __len__(self) -> int:
        return len(self.features)

    def search(
        self, queries: np.ndarray, k: int, among: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Find the k nearest images of each query; images at equal distances are ordered by row.

        Args:
            queries: (Q, C) floats.
            k: At least 1.
            among: (N,) bool, the images that may be found; None for all.

        Returns:
            (Q, k) float32 squared Euclidean distances, ascending, and (Q, k) int64 rows of the features.
            Empty slots at the end hold infinity and -1.

        Raises:
            SearchIndexError: The queries have other dimensions than the features or are not finite, or k is
                below 1.
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
        distances, rows = self._rank(queries, self._candidates(queries, k, among))
        missing = ((0, 0), (0, max(k - rows.shape[1], 0)))
        return (
            np.pad(distances[:, :k], missing, constant_values=np.inf),
            np.pad(rows[:, :k], missing, constant_values=-1),
        )

    def save(self, folder: str | os.PathLike[str]) -> Path:
        """Write everything but the features into one file of a folder, atomically; returns its path."""
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

    def _candidates(self, queries: np.ndarray, k: int, among: np.ndarray | None) -> np.ndarray:
        """Return (Q, M) rows of the candidates that are compared exactly; -1 in empty slots."""
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
        # The nearest of fewer images are farther apart, so more lists or links are visited.
        effort = self.settings.effort * (1 if allowed is None else len(self) // len(allowed))
        if self.kind == "ivfpq":
            inner = faiss.SearchParametersIVF(nprobe=effort, **only)
        else:
            inner = faiss.SearchParametersHNSW(efSearch=max(effort, wanted), **only)
        params = faiss.SearchParametersPreTransform(index_params=inner)
        return self._faiss.search(queries, wanted, params=params)[1]

    def _rank(self, queries: np.ndarray, candidates: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return the distances and rows of the candidates, nearest first."""
        step = max(_RANKED_BYTES // (candidates.shape[1] * 4 * queries.shape[1]), 1)
        distances = np.empty(candidates.shape, np.float32)
        for start in range(0, len(queries), step):
            chunk = slice(start, start + step)
            difference = self.features[candidates[chunk]] - queries[chunk, None]
            distances[chunk] = np.einsum("qmc,qmc->qm", difference, difference)
        distances[candidates < 0] = np.inf
        order = np.lexsort((candidates, distances))
        return np.take_along_axis(distances, order, 1), np.take_along_axis(candidates, order, 1)


def build_index(
    features: np.ndarray,
    kind: str = "auto",
    seed: int = 0,
    settings: Settings | Mapping[str, int] | None = None,
    progress: bool = False,
) -> Index:
    """Build an index of features and measure its recall.

    ``'auto'`` compares up to ``EXACT_UP_TO`` images exactly. Above that, it builds ``'ivfpq'``: an inverted
    file with product quantization (Jegou et al., "Product Quantization for Nearest Neighbor Search", TPAMI
    2011) that visits as many lists as it takes to find ``TARGET_RECALL`` of the nearest images. ``'hnsw'`` is
    a graph (Malkov and Yashunin, TPAMI 2018) over one byte per principal component. The candidates of both
    are compared by the features themselves. ``'exact'`` uses all GPUs if faiss is built for them, except for
    a search among some of the images.

    Args:
        features: (N, C) float32; memory-mapped ones are read in chunks.
        kind: ``'auto'`` or one of ``KINDS``.
        seed: Seed of the training images and of the queries that measure the recall. The graph of
            ``'hnsw'`` differs between runs if several threads build it.
        settings: Settings, or some of their attributes.
        progress: Show a progress bar if building takes longer than a second.

    Raises:
        SearchIndexError: There is no kind or setting of that name, or the features are empty or not finite.

    Example:
        >>> features = np.eye(4, dtype=np.float32)
        >>> index = build_index(features)
        >>> distances, rows = index.search(features[:1] * 0.9, k=3)
        >>> rows, distances.round(2)
        (array([[0, 1, 2]]), array([[0.01, 1.81, 1.81]], dtype=float32))
    """
    if kind not in ("auto", *KINDS):
        raise SearchIndexError(f"there is no index kind {kind!r}: choose auto, {', '.join(KINDS)}")
    settings = read_settings(settings)
    features = _checked(features, "image")
    start = time.perf_counter()
    if kind == "auto":
        kind = "exact" if len(features) <= EXACT_UP_TO else "ivfpq"
    perfect = {f"recall@{k}": 1.0 for k in _RECALLS}
    if kind == "exact":
        size = 4.0 * features.shape[1]
        return Index(kind, features, settings, perfect, 0.0, size, _copy_to_gpus(features))
    if len(features) < _MIN_IMAGES:
        raise SearchIndexError(
            f"{len(features)} images are too few for an index of kind {kind!r}, which is trained on "
            f"at least {_MIN_IMAGES}: choose 'exact'"
        )
    settings = settings_by_rule(settings, kind, *features.shape)
    index = _train_and_fill(kind, features, settings, seed, progress)
    return replace(index, seconds=time.perf_counter() - start)


def load_index(folder: str | os.PathLike[str], features: Features) -> Index:
    """Read a file of `Index.save`.

    Args:
        folder: The folder it was saved in.
        features: The features it was built from, in the same order: an array, or an object with ``dtype``,
            ``shape`` and indexing by rows that reads them when they are needed.

    Raises:
        SearchIndexError: The file is missing, damaged, not an index, or built from other features.
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
        made = (
            faiss.deserialize_index(arrays["index"]) if kind != "exact" else _copy_to_gpus(features)
        )
        index = Index(kind, features, settings, **about, _faiss=made)
    except FileNotFoundError as error:
        raise SearchIndexError(f"{path}: no such file: build the index first") from error
    except _DAMAGES as error:
        raise SearchIndexError(
            f"{path}: not an index, or damaged ({error}): delete it and build the index again"
        ) from error
    if images != len(features) or fingerprint != _fingerprint(features):
        raise SearchIndexError(
            f"{path}: was built from {images} other features than the {len(features)} given: build the index "
            "again"
        )
    return index


def _checked(features: Any, name: str) -> np.ndarray:
    """Check features; returns (N, C) contiguous float32, copied only if necessary."""
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


def _train_and_fill(
    kind: str,
    features: np.ndarray,
    settings: Settings,
    seed: int,
    progress: bool,
) -> Index:
    """Train and fill an approximate index, and measure its recall."""
    rng = np.random.default_rng(seed)
    made = _new_faiss_index(kind, settings, features.shape[1], seed)
    trained = min(TRAINING_IMAGES * max(settings.lists, 256), len(features))
    with tqdm(
        desc=f"{kind} index: training on {trained} images",
        total=len(features),
        disable=not progress,
        delay=_BAR_DELAY,
        unit="image",
        unit_scale=True,
        leave=False,
    ) as bar:
        made.train(np.ascontiguousarray(features[_sample_rows(rng, len(features), trained)]))
        bar.set_description(f"{kind} index: adding images")
        for first in range(0, len(features), _CHUNK):
            made.add(np.ascontiguousarray(features[first : first + _CHUNK]))
            bar.update(min(_CHUNK, len(features) - first))
        bar.set_description(f"{kind} index: measuring recall")
        size = faiss.serialize_index(made).nbytes / len(features)
        return _with_recall(Index(kind, features, settings, {}, 0.0, size, made), rng)


def _new_faiss_index(kind: str, settings: Settings, dims: int, seed: int) -> Any:
    """Create the faiss index to train and fill."""
    kept = settings.dims
    if kind == "hnsw":
        inner: Any = faiss.IndexHNSWSQ(kept, faiss.ScalarQuantizer.QT_8bit, settings.links)
    else:
        pieces = 2 * settings.code_bytes  # of 4 bits each: their tables fit into SIMD registers
        inner = faiss.IndexIVFPQFastScan(faiss.IndexFlatL2(kept), kept, settings.lists, pieces, 4)
        inner.cp.seed = inner.pq.cp.seed = seed
        inner.cp.niter = TRAINING_ROUNDS
        inner.by_residual = (
            False  # one lookup table for all lists: a query takes a third of the time
        )
        inner.implem = 14  # several threads search the lists of one query
        inner.cp.min_points_per_centroid = 1
        inner.pq.cp.min_points_per_centroid = 1
    made = faiss.IndexPreTransform(inner)
    if kept != dims:
        # Rotated at random, so that the variance is spread evenly over the sub-vectors.
        made.prepend_transform(faiss.PCAMatrix(dims, kept, 0, kind == "ivfpq"))
    return made


def _copy_to_gpus(features: Features) -> Any:
    """Copy the features to all GPUs; None if there is no GPU, or faiss is built without GPU support."""
    if not getattr(faiss, "get_num_gpus", int)():
        return None
    made = faiss.index_cpu_to_all_gpus(faiss.IndexFlatL2(features.shape[1]))
    for first in range(0, len(features), _CHUNK):
        made.add(np.ascontiguousarray(features[first : first + _CHUNK]))
    return made


def _sample_rows(rng: np.random.Generator, count: int, wanted: int) -> np.ndarray:
    """Draw distinct rows, in ascending order, in which a memory-mapped file is read fastest."""
    return np.sort(rng.choice(count, min(wanted, count), replace=False))


def _with_recall(index: Index, rng: np.random.Generator) -> Index:
    """Measure the recall, at the least effort that reaches the target unless the effort is set."""
    rows = _sample_rows(rng, len(index), _SAMPLE)
    queries, most = np.ascontiguousarray(index.features[rows]), max(_RECALLS)
    exact = Index("exact", index.features, index.settings, {}, 0.0, 0.0)
    truth = _distances_to_others(exact, queries, rows, most)
    by_rule = [round(_MIN_EFFORT[index.kind] * 2 ** (step / 4)) for step in range(4 * _DOUBLINGS)]
    for effort in [index.settings.effort] if index.settings.effort else by_rule:
        index = replace(index, settings=replace(index.settings, effort=effort))
        found = _distances_to_others(index, queries, rows, most)
        index = replace(index, recall={f"recall@{k}": _recall(found, truth, k) for k in _RECALLS})
        if index.recall["recall@1"] >= TARGET_RECALL:
            break
    return index


def _distances_to_others(index: Index, queries: np.ndarray, rows: np.ndarray, k: int) -> np.ndarray:
    """Return (Q, k) distances of the nearest images other than the query itself."""
    distances, found = index.search(queries, k + 1)
    distances = np.where(found == rows[:, None], np.inf, distances)
    return np.sort(distances, axis=1)[:, :k]


def _recall(found: np.ndarray, truth: np.ndarray, k: int) -> float:
    """Return the fraction of the k nearest that is found, by distance: any of several ties counts."""
    real = np.isfinite(truth[:, :k])
    return float((found[:, :k] <= truth[:, k - 1 : k])[real].mean()) if real.any() else 1.0


def _fingerprint(features: Features) -> str:
    """Compute a checksum of the shape and of up to a thousand evenly spaced rows."""
    rows = np.linspace(0, len(features) - 1, min(len(features), 1000)).astype(np.int64)
    sample = np.ascontiguousarray(features[rows], dtype=np.float32)
    return f"{features.shape} {zlib.crc32(sample.tobytes()):08x}"
