"""Which shards of an extraction are whose: processes that share nothing but files, on one machine or many."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from detector.cache import CacheError
from detector.cache.writer import PartCacheWriter
from detector.common.errors import DetectorError


@dataclass(frozen=True)
class Share:
    """One of several processes that extract the same images.

    Attributes:
        index: From 0.
        count: How many there are.
        helps: After its own shards, take up those of others that nobody is at work on: what a process that
            died has left, or one that is slower. For processes that write to the same folder.
    """

    index: int
    count: int
    helps: bool = False

    def __str__(self) -> str:
        return f"{self.index + 1}/{self.count}"

    @classmethod
    def parse(cls, text: str) -> Share:
        """Read ``i/n``, i from 1.

        Raises:
            DetectorError: It is something else.
        """
        first, _, second = text.partition("/")
        if first.isdecimal() and second.isdecimal() and 1 <= int(first) <= int(second):
            return cls(int(first) - 1, int(second))
        raise DetectorError(f"--shard {text}: give i/n, such as 1/4, 2/4, 3/4 and 4/4")

    @classmethod
    def of_launcher(cls, environment: Mapping[str, str] = os.environ) -> Share | None:
        """This process's share if torchrun has started it, beside others; else None."""
        if int(environment.get("WORLD_SIZE", 1)) < 2:
            return None
        return cls(int(environment["RANK"]), int(environment["WORLD_SIZE"]), helps=True)

    def own(self, number: int) -> range:
        """Its shards, of so many: consecutive, and as many as any other's but for one."""
        return range(self.index * number // self.count, (self.index + 1) * number // self.count)


def claim(writer: PartCacheWriter, share: Share | None) -> Iterator[int]:
    """The shards that this process is to extract, locked for it; one that helps locks each in its turn.

    Raises:
        CacheError: Another process is at work on them, or the folder cannot be written to.
    """
    if writer.finished:
        return iter(())
    if share is None:
        writer.take_all()
        return iter(writer.pending())
    own = share.own(len(writer.shards))
    if share.helps:
        return _claim_free(writer, [*own, *range(own.stop, len(writer.shards)), *range(own.start)])
    if not writer.take(own):
        raise CacheError(
            f"{writer.path}: another process is at work on share {share}: wait for it, or end it"
        )
    return iter([index for index in own if writer.lacks(index)])


def _claim_free(writer: PartCacheWriter, order: list[int]) -> Iterator[int]:
    for index in order:
        # Looked at again once it is locked: it may have been finished in between.
        if writer.lacks(index) and writer.take(range(index, index + 1)) and writer.lacks(index):
            yield index
