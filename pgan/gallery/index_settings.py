"""Settings of an approximate index, and the rule that fills them in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace

from pgan.gallery.errors import GalleryError

TARGET_RECALL = 0.99


class SearchIndexError(GalleryError):
    """The features cannot be indexed, or an index file is damaged or belongs to other features."""


@dataclass(frozen=True)
class Settings:
    """Settings of an approximate index; 0 chooses by rule from the number of images.

    Attributes:
        dims: Principal components kept in the index, at most C of the features.
        code_bytes: Bytes of each image's code (``'ivfpq'``).
        lists: Number of inverted lists (``'ivfpq'``); by rule a power of two near 4 sqrt(N).
        links: Links of each image in the graph (``'hnsw'``).
        effort: Lists (``'ivfpq'``) or candidate images (``'hnsw'``) visited for each query; by rule raised
            until recall@1 reaches ``TARGET_RECALL``.
        candidates: Images compared exactly per requested image; at least ten images count as requested.
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
    """Complete settings from some of their attributes.

    Raises:
        SearchIndexError: There is no setting of that name.
    """
    if isinstance(given, Settings):
        return given
    try:
        return Settings(**(given or {}))
    except TypeError as error:
        names = ", ".join(asdict(Settings()))
        raise SearchIndexError(f"the settings of an index are {names}; got {given}") from error


def lists_by_rule(images: int) -> int:
    """Return the power of two whose ratio to 4 sqrt(N) is nearest to 1."""
    return 2 ** round(math.log2(4 * math.sqrt(images)))


def settings_by_rule(settings: Settings, kind: str, images: int, dims: int) -> Settings:
    """Fill in the settings that are 0, except the effort, for N images and C dimensions."""
    dims = min(settings.dims, dims)
    if kind == "hnsw":
        return replace(settings, dims=dims)
    code_bytes = min(settings.code_bytes, max(dims // 2, 1))
    lists = settings.lists or lists_by_rule(images)
    dims -= dims % (2 * code_bytes)  # a sub-vector of the code has whole dimensions
    return replace(settings, dims=dims, code_bytes=code_bytes, lists=min(lists, images))
