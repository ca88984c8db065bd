"""What ten million to a thousand million images would take, computed from what was measured at fewer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass

from pgan.gallery.errors import GalleryError
from pgan.gallery.index import TRAINING_IMAGES, TRAINING_ROUNDS
from pgan.gallery.index_settings import lists_by_rule
from pgan.tables import markdown_table

IMAGES = (10**7, 10**8, 10**9)
MACHINE_BYTES = 64 * 2**30  # of memory
_FULL = 0.8  # of a machine's memory, at most, is the index


class ExtrapolationError(GalleryError):
    """Measurements that nothing can be computed from."""


@dataclass(frozen=True)
class IndexCosts:
    """What an index of product codes was measured to cost, each part by what it grows with.

    Attributes:
        dims: Of a feature.
        bytes_per_image: Of the index, in memory and on disk.
        lists: Of the index that was measured.
        effort: Lists looked through for a query there.
        seconds_per_image: Of building, what is alike for every image: reading, coding, measuring recall.
        seconds_per_list_and_image: Of building, comparing an image with a list's centre.
        query_seconds: Of one query, what is alike for any number: calling, exact comparison of candidates.
        query_seconds_per_list: Comparing a query with a list's centre.
        query_seconds_per_code: Looking at an image's code.
        exact_seconds_per_image: Of a query compared with all features.
    """

    dims: int
    bytes_per_image: float
    lists: int
    effort: int
    seconds_per_image: float
    seconds_per_list_and_image: float
    query_seconds: float
    query_seconds_per_list: float
    query_seconds_per_code: float
    exact_seconds_per_image: float

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if not (isinstance(value, (int, float)) and math.isfinite(value) and value >= 0):
                raise ExtrapolationError(f"{name} must be a number of 0 or more, got {value!r}")
        if not 0 < self.effort <= self.lists:
            raise ExtrapolationError(
                f"{self.effort} of {self.lists} lists were looked through: nothing follows from that"
            )


@dataclass(frozen=True)
class Extrapolation:
    """What a number of images takes on a machine of the kind that was measured.

    Attributes:
        images: N.
        feature_bytes: On disk: float32 features, of which a query reads its candidates alone.
        index_bytes: In memory, and on disk.
        build_bytes: Of memory while it is built: the index, once more as it is saved, and the features
            that the lists are learnt from.
        build_seconds: On one machine.
        query_seconds: On one machine whose disk answers at once.
        exact_seconds: Of a query compared with all features, all in memory.
        machines: Whose memory holds the index, of 64 GiB of which a fifth is left free.
    """

    images: int
    feature_bytes: float
    index_bytes: float
    build_bytes: float
    build_seconds: float
    query_seconds: float
    exact_seconds: float
    machines: int


def extrapolate(parts: IndexCosts, images: int) -> Extrapolation:
    """Compute what N images take.

    An index has a power of two near 4 sqrt(N) lists. Learning them compares 40 images for each list with
    every list, ten times over; adding compares every image with every list. A query is compared with every
    list's centre, and with the codes in the same share of the lists as where it was measured; among 10^5
    and 10^6 images the share that recall asked for was alike, which beyond is an assumption.

    Args:
        parts: Measured.
        images: N, at least 1.

    Raises:
        ExtrapolationError: Fewer images than 1.
    """
    if images < 1:
        raise ExtrapolationError(f"images must be 1 or more, got {images}")
    lists = lists_by_rule(images)
    learnt = min(TRAINING_IMAGES * lists, images)
    compared = lists * (images + TRAINING_ROUNDS * learnt)
    index_bytes = images * parts.bytes_per_image
    feature_bytes = 4.0 * parts.dims
    return Extrapolation(
        images=images,
        feature_bytes=images * feature_bytes,
        index_bytes=index_bytes,
        build_bytes=2 * index_bytes + learnt * feature_bytes,
        build_seconds=images * parts.seconds_per_image
        + compared * parts.seconds_per_list_and_image,
        query_seconds=parts.query_seconds
        + lists * parts.query_seconds_per_list
        + images * parts.effort / parts.lists * parts.query_seconds_per_code,
        exact_seconds=images * parts.exact_seconds_per_image,
        machines=math.ceil(index_bytes / (_FULL * MACHINE_BYTES)),
    )


def extrapolation_table(parts: IndexCosts, images: Sequence[int] = IMAGES) -> str:
    """A Markdown table, a row per number of images."""
    rows = [
        [
            f"{made.images:,}",
            f"{made.feature_bytes / 1e9:,.0f}",
            f"{made.index_bytes / 1e9:,.1f}",
            f"{made.build_bytes / 1e9:,.1f}",
            f"{made.build_seconds / 3600:,.1f}",
            f"{1e3 * made.query_seconds:,.1f}",
            f"{made.exact_seconds:,.1f}",
            str(made.machines),
        ]
        for made in (extrapolate(parts, count) for count in images)
    ]
    columns = ["images", "features on disk, GB", "index, GB", "memory to build, GB"]
    columns += ["built in, h", "a query, ms", "exact, s", "machines of 64 GiB"]
    return markdown_table(columns, rows)
