"""Merge caches or splits of an extraction into one cache, and compare two caches."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from detector.cache.check import open_sound
from detector.cache.layout import PLAN, CacheError
from detector.cache.parts import Parts
from detector.cache.reader import PartCache
from detector.cache.shards import ShardFolder
from detector.cache.writer import PartCacheWriter, differences, shown


def merge(folders: Sequence[str | os.PathLike[str]], out: str | os.PathLike[str]) -> PartCache:
    """Merge splits of one extraction, or caches of different images.

    The folders are not changed. An interrupted call resumes when it is repeated.

    Args:
        folders: Either unfinished extractions of the same images by the same detector, as written by
            ``extract_parts.py --split i/N``; or finished caches by the same detector. An image in several
            caches must have the same parts in each.
        out: Folder of the new cache; for splits it may be one of the folders.

    Raises:
        CacheError: The folders do not belong together, one is damaged, a shard is missing in all of them, or
            ``out`` holds something else or cannot be written to.
    """
    begun = [(Path(folder) / PLAN).is_file() for folder in folders]
    if not any(begun):
        return _merge_caches([open_sound(folder) for folder in folders], out)
    if not all(begun):
        done, going = (Path(folders[begun.index(state)]) for state in (False, True))
        raise CacheError(
            f"{going} is an unfinished extraction, {done} is none: merge one kind at a time"
        )
    return _merge_splits([PartCacheWriter.reopen(folder) for folder in folders], out)


def _merge_splits(splits: list[PartCacheWriter], out: str | os.PathLike[str]) -> PartCache:
    first = splits[0]
    settings = first.identity, first.facts, first.plan["shard_size"]
    writer = PartCacheWriter(out, first.images, *settings)
    sources = []
    for split in splits:
        if (split.identity, split.images) != (first.identity, first.images):
            found = differences(first.identity, split.identity)
            which = found[0][0] if found else "list of images"
            raise CacheError(
                f"{first.path} and {split.path} differ in their {which}: they are not one extraction"
            )
        # With the plan of the new folder, so that shards of another size do not count.
        sources.append(ShardFolder(split.path, writer.plan))
    writer.take_all()
    missing = []
    for index in writer.pending():
        shard = next((read for source in sources if (read := source.read(index))), None)
        if shard is None:
            missing.append(index)
        else:
            writer.shards.write(index, *shard)
    if missing:
        writer.shards.release()
        raise CacheError(
            f"{len(missing)} of {len(writer.shards)} shards are in none of the folders (first: "
            f"shard {missing[0]}, {writer.shard(missing[0])[0]}): run those splits again, "
            "with the same --shard-size, and merge again"
        )
    return writer.finish()


def _merge_caches(caches: list[PartCache], out: str | os.PathLike[str]) -> PartCache:
    first = caches[0]
    home: dict[str, tuple[PartCache, int]] = {}
    for cache in caches:
        if found := differences(first.manifest["identity"], cache.manifest["identity"]):
            raise CacheError(
                f"{first.path} and {cache.path} are not by the same detector: {found[0][0]} is "
                f"{shown(found[0][1])} in one, {shown(found[0][2])} in the other"
            )
        for index, image in enumerate(cache.images()):
            other, place = home.setdefault(image, (cache, index))
            if other.records()[place] != cache.records()[index]:
                raise CacheError(f"{image} has other parts in {cache.path} than in {other.path}")
    facts = {key: first.manifest[key] for key in ("config",) if key in first.manifest}
    writer = PartCacheWriter(out, list(home), first.manifest["identity"], facts)
    return writer.fill(lambda image: _result(home[image][0], image), progress=False)


def _result(cache: PartCache, image: str) -> Parts | np.ndarray | str:
    """Return what a writer stores of an image: its parts, its masks, or why it could not be read."""
    if image in cache.failed:
        return cache.failed[image]
    return cache.masks(image, None, cache.mask_size) if cache.mask_size else cache.parts(image)


@dataclass(frozen=True)
class Difference:
    """The differences between two caches.

    Attributes:
        settings: Dotted keys of differing settings, with the values of the first and the second cache.
        only_first: Images that only the first cache has.
        only_second: Images that only the second cache has.
        changed: Images of both caches whose parts differ, or that one could not read.
        common: Number of images in both caches.
        box_shift: Largest difference of a coordinate in pixels, over images with the same number of parts and
            the same labels.
        score_shift: Largest difference of a score over these images.
    """

    settings: list[tuple[str, object, object]]
    only_first: list[str]
    only_second: list[str]
    changed: list[str]
    common: int
    box_shift: float
    score_shift: float

    @property
    def same_parts(self) -> bool:
        """Whether both caches have the same images with equal parts."""
        return not (self.only_first or self.only_second or self.changed)


def diff(first: PartCache, second: PartCache) -> Difference:
    """Compare two caches image by image.

    Raises:
        CacheError: One holds masks and the other boxes.
    """
    if first.mask_size != second.mask_size:
        raise CacheError(
            f"{first.path} and {second.path} do not both hold boxes, or masks of one size"
        )
    ours, theirs = ({image: i for i, image in enumerate(c.images())} for c in (first, second))
    common = sorted(ours.keys() & theirs.keys())
    old = first.records()[[ours[image] for image in common]]
    new = second.records()[[theirs[image] for image in common]]
    changed = old != new if old.dtype == new.dtype else np.ones(len(common), bool)
    box_shift = score_shift = 0.0
    if not first.mask_size and old.dtype == new.dtype:
        # With other labels or another number of parts, slots do not correspond.
        alike = (old["count"] == new["count"]) & (old["labels"] == new["labels"]).all(1)
        box_shift = float(np.abs(old["boxes"] - new["boxes"])[alike].max(initial=0))
        score_shift = float(np.abs(old["scores"] - new["scores"])[alike].max(initial=0))
    return Difference(
        differences(first.manifest["identity"], second.manifest["identity"]),
        sorted(ours.keys() - theirs.keys()),
        sorted(theirs.keys() - ours.keys()),
        [image for image, moved in zip(common, changed) if moved],
        len(common),
        box_shift,
        score_shift,
    )
