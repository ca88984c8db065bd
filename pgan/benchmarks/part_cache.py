"""Reading masks from a part cache against a ``.npy`` of masks for each image; a cache of a million images."""

from __future__ import annotations

import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

from detector.cache import PartCache, Parts
from detector.cache.formats.authors_masks import export_masks
from detector.cache.masks import overlap_masks
from detector.cache.writer import PartCacheWriter
from pgan.benchmarks.timing import paired_medians

_IDENTITY = {"classes": ["part"], "max_parts": 16}
_BATCH = 64
# Pages of a mapped file are the system's, given back when they are needed elsewhere: private memory counts.
_READ = """
import sys
import numpy as np
from detector.cache import PartCache

def private():
    lines = open("/proc/self/smaps_rollup").read().splitlines()
    return 1024 * sum(int(l.split()[1]) for l in lines if l.startswith("Private_Dirty"))

before = private()
cache = PartCache.open(sys.argv[1])
for number in np.random.default_rng(0).integers(0, len(cache), int(sys.argv[2])):
    cache.slots(f"{number:07}.jpg", 8)
print(private() - before)
"""


def cache_benchmark(
    images: int = 2000, many: int = 1_000_000, num_parts: int = 8, side: int = 14, repeats: int = 3
) -> dict[str, float]:
    """Masks of D parts on a square map, for batches of 64 images in random order, in the system's file cache.

    The cache keeps 16 parts an image and serves any D and map; the ``.npy`` files are those that
    `detector.cache.formats.authors_masks.export_masks` writes, D masks of one size.

    Args:
        images: Files and entries that are compared.
        many: Entries of the large cache.
        num_parts: D.
        side: Rows and columns of the map.
        repeats: Timed rounds; medians are taken.

    Returns:
        ``speedup`` of reading, and ``speedup_of_many`` from the large cache; ``size_ratio`` of the blocks on
        disk; ``many``; ``many_private_mb``, memory of its own that a process needs to open the large one and
        read 10,000 entries; ``microseconds`` an image.
    """
    rng = np.random.default_rng(0)
    cells = np.arange(side, dtype=np.float32)

    def from_cache(cache: PartCache, names: list[str]) -> None:
        # As a training does: boxes image by image, which the crops move, then the masks of a batch at once.
        for start in range(0, len(names), _BATCH):
            batch = names[start : start + _BATCH]
            boxes = np.stack([cache.slots(name, num_parts) for name in batch])
            overlap_masks(boxes, (224, 224), cells, cells)

    with tempfile.TemporaryDirectory(prefix="part_cache_") as folder:
        root = Path(folder)
        cache = _write(root / "cache", images)
        export_masks(cache, root / "masks", num_parts, (side, side), progress=False)
        names = [f"{number:07}.jpg" for number in rng.permutation(images)]

        def from_npy() -> None:
            for start in range(0, len(names), _BATCH):
                batch = names[start : start + _BATCH]
                np.stack([np.load((root / "masks" / name).with_suffix(".npy")) for name in batch])

        large = _write(root / "many", many)
        asked = [f"{number:07}.jpg" for number in rng.integers(0, many, images)]
        seconds = paired_medians(
            {
                "cache": lambda: from_cache(cache, names),
                "npy": from_npy,
                "many": lambda: from_cache(large, asked),
            },
            repeats,
        )
        sizes = [_bytes(root / "cache"), _bytes(root / "masks")]
        command = [sys.executable, "-c", _READ, str(root / "many"), "10000"]
        extra = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return {
        "speedup": seconds["npy"] / seconds["cache"],
        "speedup_of_many": seconds["npy"] / seconds["many"],
        "size_ratio": sizes[0] / sizes[1],
        "many": many,
        "many_private_mb": int(extra) / 2**20,
        "microseconds": 1e6 * seconds["cache"] / images,
    }


def _write(folder: Path, images: int) -> PartCache:
    rng = np.random.default_rng(0)
    low = rng.random((1000, 16, 2), np.float32) * 150
    boxes = np.concatenate([low, low + 10 + 60 * rng.random(low.shape, np.float32)], 2)
    scores = -np.sort(-rng.random((1000, 16), np.float32))
    labels = np.zeros(16, np.int64)

    def read(image: str) -> Parts:
        number = int(image[:7]) % 1000
        return Parts(boxes[number], scores[number], labels, (224, 224))

    names = [f"{number:07}.jpg" for number in range(images)]
    return PartCacheWriter(folder, names, _IDENTITY, shard_size=65536).fill(read, progress=False)


def _bytes(folder: Path) -> int:
    return sum(file.stat().st_blocks * 512 for file in folder.rglob("*") if file.is_file())
