"""Divide the shards of an extraction among processes, on one machine or on several.

The processes communicate through files only.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from detector.cache import CacheError
from detector.cache.writer import PartCacheWriter
from detector.common.errors import DetectorError


@dataclass(frozen=True)
class Split:
    """The part of the images that one of several processes extracts.

    Attributes:
        index: Number of the split, from 0.
        count: Number of splits.
        helps: Whether the process continues with shards of other splits that no process has locked, because
            their process died or is slower. All processes must then write to the same folder.
    """

    index: int
    count: int
    helps: bool = False

    def __str__(self) -> str:
        return f"{self.index + 1}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Split:
        """Read ``i/N``, with i from 1.

        Raises:
            DetectorError: The text has another form.

        >>> Split.parse("2/4")
        Split(index=1, count=4, helps=False)
        """
        first, _, second = text.partition("/")
        if first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second):
            return cls(int(first) - 1, int(second))
        raise DetectorError(f"--split {text}: give i/N, such as 1/4, 2/4, 3/4 and 4/4")

    @classmethod
    def from_launcher(cls, environment: Mapping[str, str] = os.environ) -> Split | None:
        """The split of a process that torchrun started beside others; None for a single process.

        >>> Split.from_launcher({"RANK": "3", "WORLD_SIZE": "8"})
        Split(index=3, count=8, helps=True)
        """
        if int(environment.get("WORLD_SIZE", 1)) < 2:
            return None
        return cls(int(environment["RANK"]), int(environment["WORLD_SIZE"]), helps=True)

    def shards(self, num_shards: int) -> range:
        """The consecutive shards of this split; the sizes of the splits differ by one at most.

        >>> [Split(index, 3).shards(8) for index in range(3)]
        [range(0, 2), range(2, 5), range(5, 8)]
        """
        return range(
            self.index * num_shards // self.count, (self.index + 1) * num_shards // self.count
        )


def claim(writer: PartCacheWriter, split: Split | None) -> Iterator[int]:
    """Lock the shards that this process extracts.

    Args:
        writer: Writer of the part cache.
        split: Split of this process; None for all shards. If the split helps, each shard is locked when the
            iterator reaches it.

    Raises:
        CacheError: Another process is using the shards, or the folder is not writable.
    """
    if writer.finished:
        return iter(())
    if split is None:
        writer.take_all()
        return iter(writer.pending())
    num_shards = len(writer.shards)
    own = split.shards(num_shards)
    if split.helps:
        return _claim_free(writer, [*own, *range(own.stop, num_shards), *range(own.start)])
    if not writer.take(own):
        raise CacheError(
            f"{writer.path}: another process is working on split {split}: wait for it or stop it"
        )
    return iter([index for index in own if writer.lacks(index)])


def _claim_free(writer: PartCacheWriter, order: list[int]) -> Iterator[int]:
    for index in order:
        # Checked again under the lock: another process may have finished the shard in between.
        if writer.lacks(index) and writer.take(range(index, index + 1)) and writer.lacks(index):
            yield index
