"""Part caches of boxes that no detector found: a fleet's ground truth, or perturbed boxes of a cache.

They show how much of PGAN's gain depends on the detector.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import numpy as np

from detector.cache.formats.authors import slots
from detector.cache.layout import CacheError, encode_name
from detector.cache.parts import Parts
from detector.cache.reader import PartCache
from detector.cache.writer import PartCacheWriter
from detector.common.files import file_sha256

TRUE_PARTS = "true_parts.json"


def import_fleet(
    fleet: str | os.PathLike[str], out: str | os.PathLike[str], progress: bool = True
) -> PartCache:
    """Write the ground truth boxes of a fleet as a part cache: what a perfect detector would find.

    All scores are 1. The largest box comes first, since detectors are most confident of large parts.

    Args:
        fleet: Folder written by ``tools/make_fleet.py``.
        out: Folder of the cache; an interrupted call resumes when it is repeated.
        progress: Show a progress bar.

    Raises:
        CacheError: ``fleet`` is not a fleet, or ``out`` holds something else.
    """
    file = Path(fleet) / TRUE_PARTS
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
        true_parts, side, classes = (content[key] for key in ("images", "size", "labels"))
        queries = sorted(path.name for path in Path(fleet, "image_query").glob("*.jpg"))
        # Each query is a copy of a test image.
        true_parts |= {f"image_query/{name}": true_parts[f"image_test/{name}"] for name in queries}
    except (OSError, ValueError, KeyError, TypeError):
        raise CacheError(
            f"{file} is missing or damaged: give the folder of tools/make_fleet.py"
        ) from None
    identity = {
        "imported": "fleet",
        "classes": classes,
        "max_parts": slots(map(len, true_parts.values()), None),
        "file_sha256": file_sha256(file),
    }

    def read(image: str) -> Parts:
        rows = np.array(true_parts[image], np.float32).reshape(-1, 5)
        area = (rows[:, 3] - rows[:, 1]) * (rows[:, 4] - rows[:, 2])
        rows = rows[np.argsort(-area, kind="stable")]
        scores = np.ones(len(rows), np.float32)
        return Parts(rows[:, 1:], scores, rows[:, 0].astype(np.int64), (side, side))

    return PartCacheWriter(out, list(true_parts), identity).fill(read, progress)


def perturb(
    cache: PartCache,
    out: str | os.PathLike[str],
    noise: float | None,
    seed: int = 0,
    progress: bool = True,
) -> PartCache:
    """Copy a part cache with moved and resized boxes; scores, labels, counts and order stay.

    The result for an image depends only on the seed and its path.

    Args:
        cache: A part cache with boxes.
        out: Folder of the new cache; an interrupted call resumes when it is repeated.
        noise: Standard deviation, in sides of the box, of the centre's shift in each direction and of the
            logarithm of each side's scale; at least a pixel stays inside the image. None: the box moves to a
            uniformly random position in the image.
        seed: Seed of the random numbers.
        progress: Show a progress bar.

    Raises:
        CacheError: The cache has no boxes, ``noise`` is not positive, or ``out`` holds something else.
    """
    if cache.mask_size:
        raise CacheError(f"{cache.path} holds masks and no boxes: there is nothing to move")
    if noise is not None and not 0 < noise < np.inf:
        raise CacheError(f"noise={noise}: it must be positive, in sides of a box")
    identity = {
        # The key is part of the fingerprint of caches that exist.
        "disturbed": "anywhere" if noise is None else f"noise {noise:g}",
        "seed": seed,
        "of": {name: fact["sha256"] for name, fact in cache.manifest["files"].items()},
        "classes": list(cache.classes),
        "max_parts": cache.max_parts,
    }

    def read(image: str) -> Parts | str:
        if image in cache.failed:
            return cache.failed[image]
        parts = cache.parts(image, cache.max_parts)
        rng = np.random.default_rng([seed, *hashlib.sha256(encode_name(image)).digest()])
        boxes = _moved(parts.boxes, parts.image_size, noise, rng)
        return Parts(boxes, parts.scores, parts.labels, parts.image_size)

    return PartCacheWriter(out, list(cache.images()), identity).fill(read, progress)


def _moved(
    boxes: np.ndarray, image_size: tuple[int, int], noise: float | None, rng: np.random.Generator
) -> np.ndarray:
    """Return (n, 4) boxes, moved inside an image of this height and width; see `perturb`."""
    limit = np.array(image_size[::-1], np.float64)
    sides = boxes[:, 2:].astype(np.float64) - boxes[:, :2]
    if noise is None:
        low = rng.random(sides.shape) * (limit - sides)
        return np.concatenate([low, low + sides], 1).astype(np.float32).clip(0, [*limit, *limit])
    centres = boxes[:, :2] + sides / 2 + noise * sides * rng.standard_normal(sides.shape)
    sides = sides * np.exp(noise * rng.standard_normal(sides.shape))
    low = np.clip(centres - sides / 2, 0, limit - 1)
    high = np.clip(centres + sides / 2, low + 1, limit)
    return np.concatenate([low, high], 1).astype(np.float32)
