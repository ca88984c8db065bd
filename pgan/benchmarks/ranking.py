"""How fast the evaluation is, and how little memory it takes, at the sizes of the real test sets."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import torch

from pgan.benchmarks.ranking_reference import argsort_average_precision, literal_evaluate
from pgan.benchmarks.timing import paired_medians
from pgan.evaluation.features import FeatureSet
from pgan.evaluation.protocols import PROTOCOLS
from pgan.evaluation.ranking import RankingScores, evaluate_distances
from pgan.evaluation.scoring import evaluate

# VeRi-776: queries, gallery images, test vehicles, cameras.
_QUERIES, _GALLERY, _VEHICLES, _CAMERAS = 1678, 11579, 200, 20
_DIM = 512
_GROWING = ((500, 4000), (1000, 8000), (2000, 16000), (4000, 32000))  # queries, gallery images


def ranking_benchmark(
    repeats: int = 5, literal_queries: int = 48, seed: int = 0
) -> dict[str, float | int]:
    """Time the ranking of one distance matrix, between random features, three ways.

    The literal loop's time is the same for every query, so it runs on some of them and is scaled up.
    All must agree, or the timing is worth nothing.

    Args:
        repeats: Timed rounds; medians are compared.
        literal_queries: Queries that the literal loop runs on.
        seed: Of the features and labels.

    Returns:
        ``speedup`` (literal / ours, for all queries), ``speedup_over_argsort`` (sorting each row, then a
        vectorised scan for the average precision alone / ours), the ``seconds`` of each for all queries,
        ``literal_queries`` timed, ``queries`` and ``gallery``.

    Raises:
        RuntimeError: They disagree.
    """
    rng = np.random.default_rng(seed)
    features = _random_features(rng, _QUERIES + _GALLERY)
    distances = 2 - 2 * features[:_QUERIES] @ features[_QUERIES:].T
    query_ids, gallery_ids, query_cameras, gallery_cameras = (
        rng.integers(0, bound, count)
        for bound in (_VEHICLES, _CAMERAS)
        for count in (_QUERIES, _GALLERY)
    )
    labels = (query_ids, gallery_ids, query_cameras, gallery_cameras)
    some = slice(literal_queries)
    few = (distances[some], query_ids[some], gallery_ids, query_cameras[some], gallery_cameras)
    if not _agree(evaluate_distances(*few), literal_evaluate(*few)):
        raise RuntimeError("the ranking and the literal loop disagree")
    ours = evaluate_distances(distances, *labels).average_precision
    scanned = argsort_average_precision(distances, *labels)
    if abs(np.nanmean(ours) - np.nanmean(scanned)) > 1e-4:  # it leaves ties to chance
        raise RuntimeError("the ranking and the sorted scan disagree")
    seconds = paired_medians(
        {
            "ours": lambda: evaluate_distances(distances, *labels),
            "argsort": lambda: argsort_average_precision(distances, *labels),
            "literal": lambda: literal_evaluate(*few),
        },
        repeats=repeats,
    )
    literal = seconds["literal"] * _QUERIES / literal_queries
    return {
        "speedup": literal / seconds["ours"],
        "speedup_over_argsort": seconds["argsort"] / seconds["ours"],
        "seconds": seconds["ours"],
        "argsort_seconds": seconds["argsort"],
        "literal_seconds": literal,
        "literal_queries": literal_queries,
        "queries": _QUERIES,
        "gallery": _GALLERY,
    }


def veriwild_large_benchmark() -> dict[str, float | int]:
    """VERI-Wild large end to end: 10,000 queries, 128,517 gallery images, mAP, CMC, mINP and ROC.

    Returns:
        See `full_size`.
    """
    return _in_a_process_of_its_own("veriwild-large", 10_000, 128_517, 10_000, 1)


def vehicleid_13164_benchmark(repeats: int = 10) -> dict[str, float | int]:
    """VehicleID's largest test end to end: 108,221 images of 13,164 vehicles, drawn 10 times.

    Args:
        repeats: Draws, if not all ten.

    Returns:
        See `full_size`.
    """
    return _in_a_process_of_its_own("vehicleid-13164", 0, 108_221, 13_164, repeats)


def full_size(
    protocol: str, queries: int, gallery: int, vehicles: int, repeats: int, threads: int
) -> dict[str, float | int]:
    """Make features of a test set's size and score them, in a process that does nothing else.

    Args:
        protocol: Its name.
        queries: Listed queries; the vehicles take turns.
        gallery: All other images, likewise.
        vehicles: On both.
        repeats: Of the protocol.
        threads: For torch.

    Returns:
        ``seconds`` of the evaluation, ``peak_memory_gb`` of the whole process, the libraries and the
        features included, ``pairs`` compared, ``nanoseconds_per_pair``, and ``mAP``, which says only
        that something was found.
    """
    torch.set_num_threads(threads)
    rng = np.random.default_rng(0)
    count = queries + gallery
    ids = np.concatenate([np.arange(queries), np.arange(gallery)]) % vehicles
    features = _random_features(rng, count, ids)
    roles = np.where(np.arange(count) < queries, "query", "gallery")
    paths = np.array([f"{row:07}.jpg" for row in range(count)])
    test_set = FeatureSet(features, ids, rng.integers(0, 174, count), roles, paths)
    shortened = replace(PROTOCOLS[protocol], repeats=repeats)
    start = time.perf_counter()
    evaluation = evaluate(test_set, shortened, roc=True, progress=True)
    seconds = time.perf_counter() - start
    counts = evaluation.counts()
    scored = counts["queries"] + counts["queries_without_match"]
    pairs = scored * counts["gallery"] * repeats
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {
        "seconds": seconds,
        "peak_memory_gb": peak * (1 if sys.platform == "darwin" else 1024) / 1e9,
        "pairs": pairs,
        "nanoseconds_per_pair": 1e9 * seconds / pairs,
        "repeats": repeats,
        "mAP": evaluation.metrics()["mAP"],
    }


def scaling_benchmark(repeats: int = 3) -> dict[str, float]:
    """Time per pair of a query and a gallery image as their number grows 64-fold.

    Args:
        repeats: Timed rounds; medians are compared.

    Returns:
        ``nanoseconds_per_pair`` at each size, and ``largest_over_smallest`` of them by size: 1 is
        a time in proportion to queries x gallery.
    """
    rng = np.random.default_rng(0)
    runs = {}
    for queries, gallery in _GROWING:
        ids = np.concatenate([np.arange(queries), np.arange(gallery)]) % (gallery // 16)
        roles = np.where(np.arange(len(ids)) < queries, "query", "gallery")
        paths = np.array([f"{row}.jpg" for row in range(len(ids))])
        made = FeatureSet(_random_features(rng, len(ids), ids), ids, ids * 0 - 1, roles, paths)
        runs[f"{queries} x {gallery}"] = queries * gallery, lambda made=made: evaluate(made)
    seconds = paired_medians({size: run for size, (_, run) in runs.items()}, repeats)
    times = [1e9 * seconds[size] / pairs for size, (pairs, _) in runs.items()]
    named = {f"nanoseconds_per_pair, {size}": value for size, value in zip(runs, times)}
    return {**named, "largest_over_smallest": times[-1] / times[0]}


def _in_a_process_of_its_own(*task: str | int) -> dict[str, float | int]:
    """Run `full_size` where the peak of the memory is nobody else's; the bar is passed on."""
    program = (
        "import json, sys; from pgan.benchmarks.ranking import full_size; "
        "print(json.dumps(full_size(*json.loads(sys.argv[1]))))"
    )
    words = [sys.executable, "-c", program, json.dumps([*task, torch.get_num_threads()])]
    done = subprocess.run(words, stdout=subprocess.PIPE, check=True, text=True)
    return json.loads(done.stdout)


def _random_features(
    rng: np.random.Generator, count: int, ids: np.ndarray | None = None
) -> np.ndarray:
    """(count, 512) float32 of length 1; given ids, images of one vehicle are near one another."""
    features = rng.standard_normal((count, _DIM), dtype=np.float32)
    if ids is not None:
        centres = rng.standard_normal((ids.max() + 1, _DIM), dtype=np.float32)
        for start in range(0, count, 4096):  # in place: the memory is measured
            features[start : start + 4096] += 0.5 * centres[ids[start : start + 4096]]
    for start in range(0, count, 4096):
        chunk = features[start : start + 4096]
        chunk /= np.linalg.norm(chunk, axis=1, keepdims=True)
    return features


def _agree(ours: RankingScores, literal: RankingScores) -> bool:
    same_ranks = np.array_equal(ours.first_match, literal.first_match)
    return same_ranks and all(
        np.allclose(getattr(ours, name), getattr(literal, name), rtol=1e-12, equal_nan=True)
        for name in ("average_precision", "inverse_negative_penalty", "num_matches")
    )
