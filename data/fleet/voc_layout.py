"""The detector split in Pascal VOC layout: ``parts_voc/{JPEGImages,Annotations,ImageSets/Main}``.

Boxes are 1-based integer pixels with both ends inclusive, as in the VOC release (Everingham et al., "The
Pascal Visual Object Classes Challenge", IJCV 2010).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

from .schedule import Frame
from .vehicle import Vehicle

FOLDER = "parts_voc"
IMAGES = f"{FOLDER}/JPEGImages"
VAL_SHARE = 0.2

Part = tuple[str, tuple[float, float, float, float]]


def write_annotations(
    root: Path,
    size: int,
    vehicles: Sequence[Vehicle],
    frames: Mapping[int, Sequence[Frame]],
    parts: Mapping[str, Sequence[Part]],
) -> None:
    """Write annotations and lists of the detector split, whose images must already exist.

    Args:
        root: Folder of the fleet.
        size: Side of the images in pixels.
        vehicles: All vehicles; only those of the detector split are written.
        frames: The images by vehicle id.
        parts: Pairs (label, box x1 y1 x2 y2) by image name.
    """
    own = [vehicle.number for vehicle in vehicles if vehicle.split == "detector"]
    held_out = max(1, round(len(own) * VAL_SHARE)) if len(own) > 1 else 0
    lists = {"train": own[: len(own) - held_out], "val": own[len(own) - held_out :]}
    annotations, sets = root / FOLDER / "Annotations", root / FOLDER / "ImageSets" / "Main"
    annotations.mkdir(parents=True, exist_ok=True)
    sets.mkdir(parents=True, exist_ok=True)
    for name, numbers in lists.items():
        chosen = [frame.name for number in numbers for frame in frames[number]]
        stems = [Path(image).stem for image in chosen]
        (sets / f"{name}.txt").write_bytes("".join(f"{stem}\n" for stem in stems).encode("ascii"))
        for image, stem in zip(chosen, stems):
            text = annotation(image, size, parts[image])
            (annotations / f"{stem}.xml").write_bytes(text.encode("ascii"))


def voc_box(box: tuple[float, float, float, float]) -> tuple[int, int, int, int]:
    """The 1-based inclusive pixels (xmin, ymin, xmax, ymax) that a box of float pixels touches.

    >>> voc_box((0.0, 2.5, 10.0, 4.0))
    (1, 3, 10, 4)
    """
    x1, y1, x2, y2 = box
    return math.floor(x1) + 1, math.floor(y1) + 1, math.ceil(x2), math.ceil(y2)


def annotation(image: str, size: int, parts: Sequence[Part]) -> str:
    """The XML annotation of the parts of one image."""
    lines = [
        "<annotation>",
        f"\t<folder>{FOLDER}</folder>",
        f"\t<filename>{image}</filename>",
        f"\t<size>\n\t\t<width>{size}</width>\n\t\t<height>{size}</height>\n\t\t<depth>3</depth>\n\t</size>",
        "\t<segmented>0</segmented>",
    ]
    for label, box in parts:
        truncated = int(min(box) <= 0 or max(box) >= size)
        corners = zip(("xmin", "ymin", "xmax", "ymax"), voc_box(box))
        lines += [
            "\t<object>",
            f"\t\t<name>{label}</name>\n\t\t<pose>Unspecified</pose>",
            f"\t\t<truncated>{truncated}</truncated>\n\t\t<difficult>0</difficult>",
            "\t\t<bndbox>",
            *(f"\t\t\t<{key}>{value}</{key}>" for key, value in corners),
            "\t\t</bndbox>\n\t</object>",
        ]
    return "\n".join([*lines, "</annotation>", ""])
