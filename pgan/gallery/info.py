"""Describe the content of a gallery."""

from __future__ import annotations

import os

from pgan.gallery.search import about_index, covered_rows
from pgan.gallery.store import THRESHOLD, Gallery
from pgan.gallery.threshold import Threshold
from pgan.gallery.times import Time


def describe(gallery: Gallery) -> str:
    """Describe images, model, parts, index and threshold of a gallery, one line each."""
    count, model = len(gallery), gallery.model
    size = sum(sum(shard.sizes) for shard in gallery.shards)
    cameras = sorted({*gallery.cameras.tolist()} - {""})
    vehicles = {*gallery.vehicles.tolist()} - {""}
    lines = [
        f"{count:,} images, {len(vehicles) or 'unknown'} vehicles, {len(cameras) or 'unknown'} cameras"
        + f" ({', '.join(cameras)})" * bool(cameras),
        *_times(gallery),
        f"model: {model['type']}, {short_path(model['checkpoint'])}",
        f"  config {short_path(model['config'])}, fingerprint {model['fingerprint'][:16]}",
        f"features: {gallery.dimensions} dimensions; {size / max(count, 1):,.0f} bytes an image on disk",
        *(
            f"parts: from {short_path(cache)}, for images below {short_path(root)}"
            for root, cache in gallery.sources
        ),
    ]
    if gallery.detector:
        lines.append(f"parts: if in no cache, found by {short_path(gallery.detector[1])}")
    return "\n".join([*lines, f"index: {describe_index(gallery)}", describe_threshold(gallery)])


def describe_index(gallery: Gallery) -> str:
    """Describe kind and recall of the index, and whether it is used."""
    about = about_index(gallery)
    if about is None:
        return "none, searched exactly"
    covered, stale = covered_rows(gallery)
    if stale:
        return f"{about['kind']}, not used: {stale}; build it again with `index`"
    recall = ", ".join(f"{name} {value:.4f}" for name, value in about["recall"].items())
    words = f"{about['kind']}, {recall}"
    if about["kind"] != "exact" and covered < len(gallery):
        words += f"; covers {covered:,} images, {len(gallery) - covered:,} newer ones are searched exactly"
    return words


def describe_threshold(gallery: Gallery) -> str:
    """Describe the greatest distance of the same vehicle, and its calibration."""
    threshold = threshold_of(gallery)
    return (
        threshold.describe()
        if threshold
        else "same vehicle or not: not calibrated, see `calibrate`"
    )


def threshold_of(gallery: Gallery) -> Threshold | None:
    """Load the calibrated threshold; None if there is none.

    Raises:
        ThresholdError: The file is damaged.
    """
    file = gallery.path / THRESHOLD
    return Threshold.load(file) if file.is_file() else None


def short_path(path: str) -> str:
    """Return a path relative to the working directory if it is below it."""
    short = os.path.relpath(path)
    return path if short.startswith("..") else short


def _times(gallery: Gallery) -> list[str]:
    lines = []
    for kind in ("date", "number"):
        times = gallery.times(kind)
        known = times[times == times]
        if known.size:
            first, last = (Time(kind, float(end)) for end in (known.min(), known.max()))
            lines.append(f"times: of {known.size:,} images, {first} to {last}")
    return lines
