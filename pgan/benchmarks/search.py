"""How fast one query is answered among many features, and what an index costs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import faiss
import numpy as np

from pgan.benchmarks.search_extrapolation import ExtrapolationError, IndexCosts
from pgan.benchmarks.timing import paired_medians
from pgan.gallery.index import TRAINING_IMAGES, TRAINING_ROUNDS, Index, build_index
from pgan.tables import markdown_table

_DIM, _CAMERAS = 512, 20
_IMAGES = (10, 20)  # of a vehicle, at least and at most
_QUERIES = 1000
_BLOCK = 2048  # vehicles made at a time
_K = 10  # images found for a query
_RECALL_QUERIES = 500
# Variances of PGAN's features on the synthetic fleet's test set (256 dimensions, 90 vehicles, seed 0):
# squared distances average 1.96 between vehicles, 0.72 within one, 0.13 within one and a camera.
_VEHICLE, _VIEW, _NOISE = 0.64, 0.30, 0.06


def fleet_features(
    images: int, queries: int = _QUERIES, dims: int = _DIM, seed: int = 0
) -> tuple[np.ndarray, np.ndarray]:
    """Features that lie as those of vehicles do, in shuffled order.

    Each vehicle has a centre and 10 to 20 images, each by one of 20 cameras. The feature of an image is
    its vehicle's centre, plus a view that its images by one camera share, plus noise of its own, all
    Gaussian, scaled to length 1. Their variances are 0.64, 0.30 and 0.06: squared distances are then, as
    between PGAN's features of the synthetic fleet, near 2 between two vehicles, 0.7 within one and 0.1
    within one by one camera. The variance of dimension i falls as 1/i, so that 28 dimensions of 512 count
    (their sum squared over the sum of squares); of the fleet's features 16 of 256 do.

    Args:
        images: To search.
        queries: New images, each of a vehicle drawn from those, by a camera drawn likewise.
        dims: Of a feature.
        seed: Of all that is drawn.

    Returns:
        (images, dims) and (queries, dims) float32.
    """
    rng = np.random.default_rng(seed)
    vehicles = np.repeat(np.arange(images), rng.integers(_IMAGES[0], _IMAGES[1] + 1, images))[
        :images
    ]
    count = vehicles[-1] + 1
    asked = np.sort(rng.integers(0, count, queries))
    owners = np.concatenate([vehicles, asked])
    cameras = rng.integers(0, _CAMERAS, len(owners))
    places = np.concatenate([rng.permutation(images), images + np.arange(queries)])
    features = np.empty((images + queries, dims), np.float32)
    spectrum = 1 / np.arange(1, dims + 1)
    deviation = np.sqrt(spectrum / spectrum.sum()).astype(np.float32)
    for first in range(0, count, _BLOCK):
        rows = np.flatnonzero((owners >= first) & (owners < first + _BLOCK))
        vehicle = owners[rows] - first
        shape = (_BLOCK, dims)
        block = math.sqrt(_VEHICLE) * rng.standard_normal(shape, np.float32)[vehicle]
        seen, view = np.unique(vehicle * _CAMERAS + cameras[rows], return_inverse=True)
        block += math.sqrt(_VIEW) * rng.standard_normal((len(seen), dims), np.float32)[view]
        block += math.sqrt(_NOISE) * rng.standard_normal(block.shape, np.float32)
        block *= deviation
        block /= np.linalg.norm(block, axis=1, keepdims=True)
        features[places[rows]] = block
    return features[:images], features[images:]


def search_benchmark(
    images: Sequence[int] = (10_000, 100_000),
    kind: str = "auto",
    dims: int = _DIM,
    queries: int = _RECALL_QUERIES,
    repeats: int = 100,
    seed: int = 0,
) -> dict[str, float | str]:
    """One query against more and more features: by NumPy, by faiss exactly, and by the index of the rule.

    NumPy multiplies the query with all features and sorts all similarities, as practitioners' tables time
    it. All three take turns, each round with another query, which no side has just had in its cache.

    Args:
        images: Sizes.
        kind: ``'auto'``, the rule's, or one of `pgan.gallery.index.KINDS`.
        dims: Of a feature.
        queries: By which recall is measured; no image of them is in the index.
        repeats: Timed rounds; medians are taken.
        seed: Of features, queries and index.

    Returns:
        For each size N, under names that end in ``, N``: ``kind`` of the index, ``numpy_ms``, ``exact_ms``
        and ``index_ms`` of one query; ``row_ms``, the index's when it answers one query after the other and
        nothing else has swept the caches in between; ``numpy_over_index`` and ``exact_over_index`` of those;
        ``recall@1`` and ``recall@10``; ``build_s``, ``bytes_per_image``, and ``effort``, how far the index
        looks for a query. `search_table` prints them.
    """
    results: dict[str, float | str] = {}
    for size in images:
        features, asked = fleet_features(size, queries, dims, seed)
        index = build_index(features, kind, seed, progress=True)
        measured = _one_size(features, asked, index, repeats)
        results |= {f"{name}, {size}": value for name, value in measured.items()}
    return results


def search_table(results: Mapping[str, float | str]) -> str:
    """What `search_benchmark` found as a Markdown table, a row per size."""
    rows = [
        [
            f"{size:,}",
            f"{row['numpy_ms']:.3g}",
            f"{row['exact_ms']:.3g}",
            str(row["kind"]),
            f"{row['index_ms']:.3g}",
            f"{row['row_ms']:.3g}",
            f"{row['numpy_over_index']:.3g}",
            f"{row['recall@1']:.3f}",
            f"{row['recall@10']:.3f}",
            f"{row['build_s']:.3g}",
            f"{row['bytes_per_image']:,.0f}",
        ]
        for size, row in by_size(results).items()
    ]
    columns = ["images", "NumPy, ms", "exact, ms", "index", "index, ms", "in a row, ms"]
    columns += ["NumPy / index", "recall@1", "recall@10", "built in, s", "bytes per image"]
    return markdown_table(columns, rows)


def by_size(results: Mapping[str, float | str]) -> dict[int, dict[str, float | str]]:
    """Number of images -> name -> value, from the flat names of `search_benchmark`."""
    found: dict[int, dict[str, float | str]] = {}
    for name, value in results.items():
        name, size = name.rsplit(", ", 1)
        found.setdefault(int(size), {})[name] = value
    return found


def measure_index_costs(images: int = 100_000, repeats: int = 100, seed: int = 0) -> IndexCosts:
    """Measure what each part of a product-code index costs, for `search_extrapolation.extrapolate`.

    Args:
        images: To build it of; the more, the better do its parts tell of many more.
        repeats: Timed queries; medians are taken.
        seed: Of features, queries and index.

    Raises:
        ExtrapolationError: Other work on the machine took more time than what was measured.
    """
    features, queries = fleet_features(images, _RECALL_QUERIES, seed=seed)
    index = build_index(features, "ivfpq", seed, progress=True)
    lists, effort = index.settings.lists, min(index.settings.effort, index.settings.lists // 2)
    near, far = (
        replace(index, settings=replace(index.settings, effort=looked))
        for looked in (effort, lists)
    )
    transform = index._faiss.chain.at(0)
    centres = faiss.downcast_index(index._faiss.index).quantizer
    kept = transform.apply(queries)
    exact = build_index(features, "exact")
    sides = {
        "near": lambda query: near.search(query, _K),
        "far": lambda query: far.search(query, _K),
        "centres": lambda query: centres.search(kept[:1], effort),
        "exact": lambda query: exact.search(query, _K),
    }
    seconds = paired_medians({name: _turns(side, queries) for name, side in sides.items()}, repeats)
    many = np.tile(kept, (8, 1))
    compared = paired_medians({"many": lambda: centres.search(many, 1)}, 5)["many"]
    each = compared / len(many) / lists
    per_list = seconds["centres"] / lists
    per_code = (seconds["far"] - seconds["near"]) * lists / ((lists - effort) * images)
    if per_code <= 0:
        raise ExtrapolationError("looking at more codes took less time: measure on a quiet machine")
    scanned = effort * images / lists * per_code
    learnt = min(TRAINING_IMAGES * lists, images)
    building = lists * (images + TRAINING_ROUNDS * learnt) * each
    return IndexCosts(
        dims=features.shape[1],
        bytes_per_image=index.bytes_per_image,
        lists=lists,
        effort=effort,
        seconds_per_image=max(index.seconds - building, 0.0) / images,
        seconds_per_list_and_image=each,
        query_seconds=max(seconds["near"] - seconds["centres"] - scanned, 0.0),
        query_seconds_per_list=per_list,
        query_seconds_per_code=per_code,
        exact_seconds_per_image=seconds["exact"] / images,
    )


def _one_size(
    features: np.ndarray, queries: np.ndarray, index: Index, repeats: int
) -> dict[str, float | str]:
    exact = index if index.kind == "exact" else build_index(features, "exact")
    sides = {
        "numpy": lambda query: np.argsort(-(features @ query[0]))[:_K],
        "exact": lambda query: exact.search(query, _K),
        "index": lambda query: index.search(query, _K),
    }
    seconds = paired_medians({name: _turns(side, queries) for name, side in sides.items()}, repeats)
    in_a_row = paired_medians({"index": _turns(sides["index"], queries)}, repeats)["index"]
    truth, found = (side.search(queries, _K)[1] for side in (exact, index))
    return {
        "kind": index.kind,
        **{f"{name}_ms": 1e3 * value for name, value in seconds.items()},
        "row_ms": 1e3 * in_a_row,
        "numpy_over_index": seconds["numpy"] / seconds["index"],
        "exact_over_index": seconds["exact"] / seconds["index"],
        **{f"recall@{k}": _recall(found, truth[:, :k]) for k in (1, _K)},
        "build_s": index.seconds,
        "bytes_per_image": index.bytes_per_image,
        "effort": index.settings.effort,
    }


def _turns(side: Callable[[np.ndarray], object], queries: np.ndarray) -> Callable[[], object]:
    """The side with the next query at each call."""
    numbers = itertools.cycle(range(len(queries)))
    return lambda: side(queries[(number := next(numbers)) : number + 1])


def _recall(found: np.ndarray, truth: np.ndarray) -> float:
    """The share of the nearest images that is among the first as many found."""
    first = found[:, : truth.shape[1]]
    return float((first[:, :, None] == truth[:, None]).any(1).mean())
