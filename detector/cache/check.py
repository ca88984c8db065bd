"""Check the records of a part cache, count its parts, and compare its boxes with true ones."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np

from detector.cache.layout import CacheError, is_plain_path
from detector.cache.reader import PartCache
from detector.cache.records import FAILED

_QUANTILES = (0, 25, 50, 75, 100)


def open_sound(path: str | os.PathLike[str]) -> PartCache:
    """Open a cache and check all its records, before they are copied, exported or counted.

    Raises:
        CacheError: As `PartCache.open` and `verify_content`.
    """
    cache = PartCache.open(path)
    verify_content(cache)
    return cache


def verify_content(cache: PartCache) -> None:
    """Compare the checksums, then check every record: a cache that passes cannot stop a training run later.

    Raises:
        CacheError: A record is not sound; names the first such image.
    """
    cache.verify()
    images, records = list(cache.images()), cache.records()
    if images != sorted(set(images)):
        raise CacheError(f"{cache.path}: its images are not sorted, or one stands twice")
    outside = np.array([not is_plain_path(image) for image in images])
    _refuse(
        cache, [*map(repr, images)], outside, "a name is no plain path relative to the data root"
    )
    for image in images:
        try:
            known = image in cache
        except IndexError:  # it points behind the last image
            known = False
        if not known:
            raise CacheError(f"{cache.path}: {image} is not found through table.npy")
    counts = records["count"].astype(int)
    _refuse(
        cache, images, (counts < FAILED) | (counts > cache.max_parts), "its count is impossible"
    )
    failed = np.array([image in cache.failed for image in images])
    _refuse(
        cache, images, (counts == FAILED) != failed, "the manifest and parts.npy disagree on it"
    )
    empty = np.arange(cache.max_parts) >= np.maximum(counts, 0)[:, None]
    if cache.mask_size:
        _refuse(cache, images, (records["masks"].any(2) & empty).any(1), "an empty slot has a mask")
        return
    boxes, scores, labels = records["boxes"], records["scores"], records["labels"]
    size = records["size"][:, [1, 0, 1, 0]][:, None]
    inside = (boxes >= 0) & (boxes <= size) & (boxes[..., [0, 1, 0, 1]] < boxes[..., [2, 3, 2, 3]])
    _refuse(cache, images, (~inside.all(2) & ~empty).any(1), "a box is empty or outside the image")
    valid = (labels >= 0) & (labels < len(cache.classes))
    _refuse(cache, images, (~valid & ~empty).any(1), "a label is not one of the classes")
    _refuse(cache, images, (~np.isfinite(scores) & ~empty).any(1), "a score is no number")
    falling = (scores[:, :-1] >= scores[:, 1:]) | empty[:, 1:]
    _refuse(cache, images, ~falling.all(1), "its scores do not fall")
    _refuse(cache, images, (boxes.any(2) & empty).any(1), "an empty slot has a box")


def statistics(cache: PartCache, num_parts: Sequence[int] = (4, 6, 8, 10, 12, 16)) -> list[str]:
    """Return statistics of a cache as lines to print.

    Args:
        cache: The cache.
        num_parts: Values of D for which to count the images with at least D parts.
    """
    records = cache.records()
    read = records[records["count"] != FAILED]
    counts = read["count"].astype(int)
    lines = [f"images: {len(records)}, of which {len(records) - len(read)} could not be read"]
    if not len(read):
        return lines
    spread = ", ".join(f"{value:g}" for value in np.percentile(counts, _QUANTILES))
    lines.append(f"parts: {counts.sum()}, {counts.mean():.2f} an image (quartiles {spread})")
    enough = ", ".join(f"{d} in {100 * (counts >= d).mean():.1f}%" for d in num_parts)
    lines.append(f"at least so many parts, in so many images: {enough}")
    lines.append(f"images without parts: {(counts == 0).sum()}")
    slots = np.arange(cache.max_parts) < counts[:, None]
    return lines + (
        _mask_lines(cache, read, slots) if cache.mask_size else _box_lines(cache, read, slots)
    )


def compare(
    cache: PartCache, truth: PartCache, num_parts: int, iou: float = 0.5
) -> tuple[float, float]:
    """Return recall and precision of the boxes of a cache against true boxes, over the images in both.

    Labels are ignored, as in PGAN.

    Args:
        cache: With boxes.
        truth: With the true boxes, such as `detector.cache.perturb.import_fleet` makes.
        num_parts: D, how many of the most confident boxes of an image count; all true ones do.
        iou: Least overlap, as intersection over union.

    Returns:
        Recall: the share of true boxes that one of the boxes overlaps so. Precision: the share of boxes that
        so overlap a true one.

    Raises:
        CacheError: No image with parts is in both, or a cache holds masks alone or fewer parts an image.
    """
    failed = cache.failed.keys() | truth.failed.keys()
    images = [image for image in truth.images() if image in cache and image not in failed]
    near = [
        _overlaps(truth.parts(image).boxes, cache.parts(image, num_parts).boxes) >= iou
        for image in images
    ]
    none = [np.zeros((0, 0), bool)]
    found, right = (np.concatenate([n.any(axis) for n in near or none]) for axis in (1, 0))
    if not len(found) or not len(right):
        raise CacheError(
            f"{cache.path} and {truth.path} share no image with parts: give caches of the same images"
        )
    return float(found.mean()), float(right.mean())


def _overlaps(some: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Return the (n, m) intersection over union of (n, 4) and (m, 4) boxes."""
    low = np.maximum(some[:, None, :2], others[:, :2])
    high = np.minimum(some[:, None, 2:], others[:, 2:])
    shared = np.clip(high - low, 0, None).prod(2)
    areas = [np.prod(boxes[:, 2:] - boxes[:, :2], 1) for boxes in (some, others)]
    return shared / (areas[0][:, None] + areas[1] - shared)


def _mask_lines(cache: PartCache, records: np.ndarray, slots: np.ndarray) -> list[str]:
    rows, columns = cache.mask_size or (1, 1)
    cells = np.unpackbits(records["masks"], axis=2).sum(2, dtype=int)[slots]
    covered = 100 * cells.mean() / (rows * columns) if len(cells) else 0
    return [
        f"masks alone, of {rows}x{columns} cells: one covers {covered:.1f}% of the image on average",
        f"masks without a cell: {(cells == 0).sum()}",
    ]


def _box_lines(cache: PartCache, records: np.ndarray, slots: np.ndarray) -> list[str]:
    width, height = (records["boxes"][..., i + 2] - records["boxes"][..., i] for i in (0, 1))
    areas = 100 * width * height / np.maximum(records["size"].astype(float).prod(1), 1)[:, None]
    lines = [f"{'class':<16}{'parts':>9}{'in images':>13}{'mean score':>12}{'mean area':>11}"]
    for index, name in enumerate(cache.classes):
        chosen = slots & (records["labels"] == index)
        row = f"{name:<16}{chosen.sum():>9}{100 * chosen.any(1).mean():>12.1f}%"
        if chosen.any():
            row += f"{records['scores'][chosen].mean():>12.3f}{areas[chosen].mean():>10.1f}%"
        lines.append(row)
    return lines


def _refuse(cache: PartCache, images: list[str], wrong: np.ndarray, why: str) -> None:
    if wrong.any():
        first = images[int(np.argmax(wrong))]
        raise CacheError(
            f"{cache.path} is not sound: {why}, in {first} ({wrong.sum()} images): make it again"
        )
