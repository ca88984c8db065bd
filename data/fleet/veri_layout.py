"""The layout and file formats of the VeRi-776 release.

    OUT/image_train/ image_query/ image_test/        0002_c002_00030600_0.jpg
    OUT/train_label.xml test_label.xml               root TrainingImages, declared gb2312, CRLF
    OUT/name_train.txt name_query.txt name_test.txt  LF
    OUT/gt_image.txt jk_image.txt                    1-based positions in name_test, trailing space, CRLF
    OUT/list_color.txt list_type.txt test_track.txt camera_Dist.txt

Source: Liu et al., "Large-scale vehicle re-identification in urban surveillance videos", ICME 2016, and the
files of its release.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from .camera import Camera
from .schedule import Frame
from .spec import CAMERA, FleetSpec
from .styles import PAINTS, STYLES
from .vehicle import Vehicle

FOLDERS = {"train": "image_train", "test": "image_test"}
QUERY_FOLDER = "image_query"


def write_indices(
    root: Path,
    spec: FleetSpec,
    vehicles: Sequence[Vehicle],
    frames: Mapping[int, Sequence[Frame]],
    cameras: Sequence[Camera],
) -> None:
    """Write all files except the training and gallery images, which must already exist.

    Args:
        root: Folder of the fleet.
        spec: Parameters of the fleet.
        vehicles: All vehicles; those of the detector split are skipped.
        frames: The images by vehicle id.
        cameras: The cameras.
    """
    by_number = {vehicle.number: vehicle for vehicle in vehicles}
    chosen = {
        split: [f for v in vehicles if v.split == split for f in frames[v.number]]
        for split in FOLDERS
    }
    for split, images in chosen.items():
        _write(root / f"name_{split}.txt", [frame.name for frame in images])
        _write(root / f"{split}_label.xml", _labels(images, by_number), end="\r\n")
    queries = first_of_each_track(chosen["test"])
    _write(root / "name_query.txt", [frame.name for frame in queries])
    (root / QUERY_FOLDER).mkdir(exist_ok=True)
    for frame in queries:
        shutil.copyfile(root / FOLDERS["test"] / frame.name, root / QUERY_FOLDER / frame.name)
    _write_matches(root, queries, chosen["test"])
    _write_tracks(root, chosen["test"])
    _write(root / "list_color.txt", [f"{number} {name}" for name, (number, _) in PAINTS.items()])
    styles = sorted(STYLES, key=lambda style: style.type_id)
    _write(root / "list_type.txt", [f"{style.type_id} {style.name}" for style in styles])
    _write(root / "camera_Dist.txt", _distances(spec, len(cameras)))


def first_of_each_track(frames: Sequence[Frame]) -> list[Frame]:
    """The query images: the first one of each vehicle in each camera."""
    found: dict[tuple[int, int], Frame] = {}
    for frame in frames:
        found.setdefault((frame.vehicle, frame.camera), frame)
    return list(found.values())


def _write(path: Path, lines: Sequence[str], end: str = "\n") -> None:
    path.write_bytes("".join(line + end for line in lines).encode("ascii"))


def _labels(frames: Sequence[Frame], vehicles: Mapping[int, Vehicle]) -> list[str]:
    lines = ['<?xml version="1.0" encoding="gb2312" ?>', '<TrainingImages Version="1.0">']
    lines.append(f'    <Items number="{len(frames)}">')
    for frame in frames:
        vehicle = vehicles[frame.vehicle]
        lines.append(
            f'        <Item imageName="{frame.name}" vehicleID="{frame.vehicle:04d}" '
            f'cameraID="c{frame.camera:03d}" colorID="{vehicle.colour_id}" '
            f'typeID="{vehicle.body_style.type_id}" />'
        )
    return [*lines, "    </Items>", "</TrainingImages>"]


def _write_matches(root: Path, queries: Sequence[Frame], gallery: Sequence[Frame]) -> None:
    """Write the good matches (same vehicle, other camera) and junk images (same camera) of each query."""
    positions: dict[int, list[tuple[int, int]]] = {}
    for position, frame in enumerate(gallery, 1):
        positions.setdefault(frame.vehicle, []).append((frame.camera, position))
    good, junk = [], []
    for query in queries:
        own = positions[query.vehicle]
        good.append("".join(f"{position} " for camera, position in own if camera != query.camera))
        junk.append("".join(f"{position} " for camera, position in own if camera == query.camera))
    _write(root / "gt_image.txt", good, end="\r\n")
    _write(root / "jk_image.txt", junk, end="\r\n")


def _write_tracks(root: Path, gallery: Sequence[Frame]) -> None:
    tracks: dict[tuple[int, int], list[str]] = {}
    for frame in gallery:
        tracks.setdefault((frame.vehicle, frame.camera), []).append(frame.name)
    count: dict[int, int] = {}
    lines = []
    for (vehicle, camera), names in tracks.items():
        count[camera] = count.get(camera, 0) + 1
        lines.append(
            f"{vehicle:04d}_c{camera:03d}_t{count[camera]:04d} " + "".join(f"{n} " for n in names)
        )
    _write(root / "test_track.txt", lines)


def _distances(spec: FleetSpec, count: int) -> list[str]:
    """Road distance in metres between each two cameras, above the diagonal, as in the release."""
    rng = spec.rng(CAMERA, count + 1)
    along = np.cumsum([10 * (1 + int(rng.random() * 14)) for _ in range(count)])
    return [
        " ".join(str(along[j] - along[i]) if j > i else "0" for j in range(count))
        for i in range(count)
    ]
