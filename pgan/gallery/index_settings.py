"""How an index that is not exact is made, and what is chosen by rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from pgan.gallery.errors import GalleryError

TARGET_RECALL = 0.99


class SearchIndexError(GalleryError):
    """Features that cannot be indexed, or an index file that is not whole or not of these features."""


@dataclass(frozen=True)
class Settings:
    """How an index that is not exact is made; 0 is a choice by rule, from the number of images.

    Attributes:
        dims: Principal components kept in the index, at most the features' own.
        code_bytes: Of each image's code (``'ivfpq'``).
        lists: The images are divided into (``'ivfpq'``); by rule a power of two near 4 sqrt(N).
        links: Of each image in the graph (``'hnsw'``).
        effort: Lists looked through (``'ivfpq'``) or images kept in view (``'hnsw'``) for each query; by
            rule raised until :data:`TARGET_RECALL` is reached at 1.
        candidates: Images compared exactly for each one asked for, and no fewer than for ten.
    """

    dims: int = 128
    code_bytes: int = 32
    lists: int = 0
    links: int = 32
    effort: int = 0
    candidates: int = 10

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            least = 0 if name in ("lists", "effort") else 1
            if not isinstance(value, int) or value < least:
                raise SearchIndexError(f"{name} must be {least} or more, got {value!r}")


def read_settings(given: Settings | Mapping[str, int] | None) -> Settings:
    """Settings from some of their attributes.

    Raises:
        SearchIndexError: No setting of that name.
    """
    if isinstance(given, Settings):
        return given
    try:
        return Settings(**(given or {}))
    except TypeError as error:
        names = ", ".join(asdict(Settings()))
        raise SearchIndexError(f"the settings of an index are {names}; got {given}") from error


def lists_by_rule(images: int) -> int:
    """The power of two that is nearest to 4 sqrt(N), by ratio."""
    return 2 ** round(math.log2(4 * math.sqrt(images)))


def settings_by_rule(settings: Settings, kind: str, images: int, dims: int) -> Settings:
    """The settings with the zeros but the effort's filled in, fit for so many images and dimensions."""
    dims = min(settings.dims, dims)
    if kind == "hnsw":
        return replace(settings, dims=dims)
    code_bytes = min(settings.code_bytes, max(dims // 2, 1))
    lists = settings.lists or lists_by_rule(images)
    dims -= dims % (2 * code_bytes)  # a piece of the code has whole dimensions
    return replace(settings, dims=dims, code_bytes=code_bytes, lists=min(lists, images))
