"""Evaluation protocols by name: which images are queries and gallery, what is junk, how often is drawn.

Numbers can be compared only if all of that agrees, so a result carries its protocol. The table needs
neither NumPy nor torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pgan.evaluation.errors import RankingError

if TYPE_CHECKING:
    from pgan.evaluation.features import FeatureSet

DEFAULT = "cross-camera"
RANKS = (1, 5, 10, 20)  # the k of Rank-k that are reported
FPRS = (1e-4, 1e-3, 1e-2)  # false positive rates at which the TPR is reported


@dataclass(frozen=True)
class Protocol:
    """How a test set is divided into queries and gallery.

    ``'listed'`` takes both as the data set lists them. The other protocols draw from all test images, each
    taken once, whatever its role: any features can be scored by any of them.

    Attributes:
        name: Name of the protocol.
        title: Description in one sentence.
        gallery: ``'listed'``; ``'one-per-vehicle'``: one drawn image of each vehicle is the gallery, all
            others are queries; ``'all-but-one'``: the drawn image is the query, all others are the gallery.
            If a vehicle has a single image, it is a distractor when drawn as gallery, and a query without a
            good match, counted and not scored, when drawn as query.
        junk: ``'same-camera'``: gallery images of the query's vehicle by its camera are removed from its
            ranking; ``'none'``: cameras are ignored.
        repeats: How often queries and gallery are drawn; results are means over the repeats.
        seed: Seed of the draws.
        vehicles: Vehicles in the test set that the name stands for; 0 for any. A test set with another
            number is scored, and the result says so.
        distance: Distance between features.

    Example:
        >>> protocol = get_protocol("vehicleid-800")
        >>> protocol.gallery, protocol.junk, protocol.repeats
        ('one-per-vehicle', 'none', 10)
    """

    name: str
    title: str
    gallery: str = "listed"
    junk: str = "same-camera"
    repeats: int = 1
    seed: int = 0
    vehicles: int = 0
    distance: str = "squared Euclidean"

    def draws(self, features: FeatureSet) -> Iterator[FeatureSet]:
        """Return the images of each repeat, with the roles of queries and gallery.

        Draws use SHA-256: the image drawn of a vehicle is the one with the smallest digest of
        ``'{seed} {repeat} {img_path}'``. So they depend on the images' paths alone, not on their order, the
        machine, Python or NumPy.

        Args:
            features: Features of all test images.

        Raises:
            RankingError: A listed protocol finds no query or no gallery image; a drawn one finds no
                vehicle with two images.

        Example:
            >>> import numpy as np
            >>> from pgan.evaluation import FeatureSet
            >>> features = FeatureSet(
            ...     features=np.eye(4, dtype=np.float32),
            ...     vehicle_ids=np.array([1, 1, 2, 2]),
            ...     camera_ids=np.array([0, 1, 0, 1]),
            ...     roles=np.array(["pool"] * 4),
            ...     img_paths=np.array(["a.jpg", "b.jpg", "c.jpg", "d.jpg"]),
            ... )
            >>> for draw in get_protocol("single-gallery-shot").draws(features):
            ...     assert sorted(draw.vehicle_ids[draw.roles == "gallery"].tolist()) == [1, 2]
        """
        from pgan.evaluation.draws import draw_repeats  # needs NumPy, which the table does not

        return draw_repeats(self, features)

    def to_dict(self) -> dict[str, str | int]:
        """Return all fields as built-in types."""
        return asdict(self)


def get_protocol(name: str | Protocol) -> Protocol:
    """Return the protocol with a name; a `Protocol` is returned as it is.

    Raises:
        RankingError: There is no such protocol.

    Example:
        >>> get_protocol("veri776").vehicles
        200
    """
    if isinstance(name, Protocol):
        return name
    if name not in PROTOCOLS:
        raise RankingError(
            f"there is no protocol named {name!r}: choose one of {', '.join(PROTOCOLS)}"
        )
    return PROTOCOLS[name]


def _listed(name: str, of: str, vehicles: int = 0, junk: str = "same-camera") -> Protocol:
    rule = {
        "same-camera": "images of the query's vehicle by the query's camera removed",
        "none": "no image removed, whatever its camera",
    }[junk]
    title = f"{of}: queries and gallery as listed, {rule}"
    return Protocol(name, title, "listed", junk, vehicles=vehicles)


def _drawn(name: str, of: str, vehicles: int = 0, gallery: str = "one-per-vehicle") -> Protocol:
    rule = {
        "one-per-vehicle": "one random image of each vehicle is the gallery, the others are queries",
        "all-but-one": "one random image of each vehicle is the query, the others are the gallery",
    }[gallery]
    title = f"{of}: {rule}; mean and standard deviation of 10 seeded repeats"
    return Protocol(name, title, gallery, "none", repeats=10, vehicles=vehicles)


_VERI_WILD = {"small": 3000, "medium": 5000, "large": 10000}

# VehicleID: Liu et al., "Deep Relative Distance Learning", CVPR 2016. VERI-Wild: Lou et al., CVPR 2019.
# VRIC: Kanaci et al., GCPR 2018; it has one probe and one gallery image per vehicle, so that a junk image
# would leave its query without a match. The gallery shots are named as in SSR-Net, ACM TOMM 2022.
PROTOCOLS: dict[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        _listed(DEFAULT, "any test set"),
        _listed("veri776", "VeRi-776, cross-camera", 200),
        *(
            _listed(
                f"veriwild-{size}{ending}", f"VERI-Wild {size}, {count:,} vehicles", count, junk
            )
            for ending, junk in (("", "same-camera"), ("-without-cameras", "none"))
            for size, count in _VERI_WILD.items()
        ),
        _listed("vric", "VRIC, a probe and a gallery image of each vehicle", 2811, "none"),
        *(
            _drawn(f"vehicleid-{count}", f"VehicleID, {count:,} vehicles", count)
            for count in (800, 1600, 2400, 3200, 6000, 13164)
        ),
        *(
            _drawn(f"vehicle1m-{count}", f"Vehicle-1M, {count:,} vehicles", count)
            for count in (1000, 2000, 3000, 5527)
        ),
        _drawn("one-gallery-image", "any test set"),
        _drawn("single-gallery-shot", "any test set, single gallery shot"),
        _drawn("multi-gallery-shot", "any test set, multiple gallery shots", 0, "all-but-one"),
    )
}
