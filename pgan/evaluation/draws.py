"""Dividing test images into queries and gallery by a protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from pgan.evaluation.errors import RankingError
from pgan.evaluation.features import FeatureSet
from pgan.evaluation.labels import UNKNOWN_CAMERA
from pgan.evaluation.protocols import Protocol


def draw_repeats(protocol: Protocol, features: FeatureSet) -> Iterator[FeatureSet]:
    """Yield the images of each repeat, with the roles of queries and gallery; see `Protocol.draws`."""
    if protocol.gallery == "listed":
        yield _with_cameras(protocol, _as_listed(protocol, features))
        return
    pool = _with_cameras(protocol, _each_image_once(features))
    if len(np.unique(pool.vehicle_ids)) == len(pool):
        raise RankingError(
            f"protocol '{protocol.name}': no vehicle has two of the {len(pool)} test images, so no query "
            "has a match: check the vehicle ids"
        )
    drawn, others = (
        ("gallery", "query") if protocol.gallery == "one-per-vehicle" else ("query", "gallery")
    )
    for repeat in range(protocol.repeats):
        is_drawn = _draw_one_per_vehicle(pool, protocol.seed, repeat)
        yield replace(pool, roles=np.where(is_drawn, drawn, others))


def _with_cameras(protocol: Protocol, features: FeatureSet) -> FeatureSet:
    if protocol.junk == "same-camera":
        return features
    return replace(features, camera_ids=np.full(len(features), UNKNOWN_CAMERA))


def _as_listed(protocol: Protocol, features: FeatureSet) -> FeatureSet:
    for role in ("query", "gallery"):
        if role not in features.roles:
            raise RankingError(
                f"protocol '{protocol.name}' takes queries and gallery as the data set lists them, but "
                f"none of the {len(features)} images has the role '{role}': choose one that draws "
                "them, such as 'one-gallery-image'"
            )
    unlisted = ~np.isin(features.roles, ("query", "gallery"))
    return features.take(~unlisted) if unlisted.any() else features


def _draw_one_per_vehicle(pool: FeatureSet, seed: int, repeat: int) -> np.ndarray:
    """Return (N,) bool: the image drawn of each vehicle."""
    least: dict[int, tuple[bytes, int]] = {}
    for row, (vehicle, path) in enumerate(zip(pool.vehicle_ids.tolist(), pool.img_paths)):
        text = f"{seed} {repeat} {path}"
        digest = hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
        if vehicle not in least or (digest, row) < least[vehicle]:
            least[vehicle] = digest, row
    drawn = np.zeros(len(pool), dtype=bool)
    drawn[[row for _, row in least.values()]] = True
    return drawn


def _each_image_once(features: FeatureSet) -> FeatureSet:
    """Return one row per image, ordered by path, so that the order of the list changes no number.

    VeRi-776 also lists its queries in the gallery, as files with the same name in another folder: rows with
    the same vehicle, camera and file name are one image.
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
