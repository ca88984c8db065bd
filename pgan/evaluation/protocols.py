"""Evaluation protocols by name: which images are queries and gallery, what is junk, how often drawn.

Numbers compare only where all of that agrees, so a result carries its protocol. Draws are made with
SHA-256: the image drawn of a vehicle is the one with the least digest of ``'{seed} {repeat} {img_path}'``.
So they depend on the images' paths alone, not on their order, the machine, Python or numpy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np

from pgan.evaluation.errors import RankingError
from pgan.evaluation.features import FeatureSet
from pgan.evaluation.labels import UNKNOWN_CAMERA

DEFAULT = "cross-camera"
RANKS = (1, 5, 10, 20)  # k of the Rank-k that are reported
FPRS = (1e-4, 1e-3, 1e-2)  # false positive rates at which the ROC is read


@dataclass(frozen=True)
class Protocol:
    """How a test set is turned into queries and gallery.

    ``'listed'`` takes both as the data set lists them. The others draw from all test images, each taken
    once, whatever role they have: any features can be scored by any of them.

    Attributes:
        name: What results are filed under.
        title: One sentence for people.
        gallery: ``'listed'``; ``'one-per-vehicle'``: one drawn image of each vehicle is the gallery, all
            others are queries; ``'all-but-one'``: the drawn one is the query, all others the gallery.
            A vehicle's only image is, if drawn as gallery, there to be confused with; if drawn as query,
            one without a good match, counted and not scored.
        junk: ``'same-camera'``: gallery images of the query's vehicle by its camera are removed from its
            ranking; ``'none'``: cameras are ignored.
        repeats: How often it is drawn; results are means over the repeats.
        seed: Of the draws.
        vehicles: Of the test set that the name stands for; 0 for any. Another number is scored all the
            same, and said with the result.
        distance: Between features.
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
        """The queries and gallery of each repeat: the features again, with these roles.

        Raises:
            RankingError: A listed protocol has no queries or no gallery to go by; a drawn one finds no
                vehicle with two images.
        """
        if self.gallery == "listed":
            yield self._cameras(self._as_listed(features))
            return
        pool = self._cameras(_each_image_once(features))
        if len(np.unique(pool.vehicle_ids)) == len(pool):
            raise RankingError(
                f"protocol '{self.name}': no vehicle has two of the {len(pool)} test images, so there is "
                "nothing to find again: check the vehicle ids"
            )
        drawn, others = (
            ("gallery", "query") if self.gallery == "one-per-vehicle" else ("query", "gallery")
        )
        for repeat in range(self.repeats):
            yield replace(pool, roles=np.where(self._drawn(pool, repeat), drawn, others))

    def _cameras(self, features: FeatureSet) -> FeatureSet:
        if self.junk == "same-camera":
            return features
        return replace(features, camera_ids=np.full(len(features), UNKNOWN_CAMERA))

    def _as_listed(self, features: FeatureSet) -> FeatureSet:
        for role in ("query", "gallery"):
            if role not in features.roles:
                raise RankingError(
                    f"protocol '{self.name}' takes queries and gallery as the data set lists them, but "
                    f"none of the {len(features)} images has the role '{role}': choose one that draws "
                    "them, such as 'one-gallery-image'"
                )
        unlisted = ~np.isin(features.roles, ("query", "gallery"))
        return features.take(~unlisted) if unlisted.any() else features

    def _drawn(self, pool: FeatureSet, repeat: int) -> np.ndarray:
        """(N,) bool: the one image drawn of each vehicle."""
        least: dict[int, tuple[bytes, int]] = {}
        for row, (vehicle, path) in enumerate(zip(pool.vehicle_ids.tolist(), pool.img_paths)):
            text = f"{self.seed} {repeat} {path}"
            digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
            if vehicle not in least or (digest, row) < least[vehicle]:
                least[vehicle] = digest, row
        drawn = np.zeros(len(pool), dtype=bool)
        drawn[[row for _, row in least.values()]] = True
        return drawn

    def to_dict(self) -> dict[str, str | int]:
        """All fields in plain values."""
        return asdict(self)


def get_protocol(name: str | Protocol) -> Protocol:
    """The protocol of that name.

    Raises:
        RankingError: There is none.
    """
    if isinstance(name, Protocol):
        return name
    if name not in PROTOCOLS:
        raise RankingError(
            f"there is no protocol named {name!r}: choose one of {', '.join(PROTOCOLS)}"
        )
    return PROTOCOLS[name]


def _each_image_once(features: FeatureSet) -> FeatureSet:
    """One row per image, in the order of their paths, so that the order of the list changes no number.

    VeRi-776 lists its queries in the gallery, too, as files of that name in another folder: the same
    vehicle, camera and file name are one image.
    """
    order = np.argsort(features.img_paths, kind="stable")
    seen: set[str | tuple[int, int, str]] = set()
    rows = []
    for row in order.tolist():
        path, camera = str(features.img_paths[row]), int(features.camera_ids[row])
        image = int(features.vehicle_ids[row]), camera, path.rpartition("/")[2]
        if path in seen or (camera != UNKNOWN_CAMERA and image in seen):
            continue
        seen |= {path, image}
        rows.append(row)
    in_place = rows == list(range(len(features)))
    return features if in_place else features.take(np.array(rows))


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

# VehicleID's is of Liu et al., "Deep Relative Distance Learning", CVPR 2016; VERI-Wild's of Lou et al.,
# CVPR 2019; VRIC's of Kanaci et al., GCPR 2018: one probe and one gallery image of each vehicle, so none
# can be junk without leaving its query unscored. The shots are named as in SSR-Net, ACM TOMM 2022.
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
