"""Render a synthetic fleet in the layout of VeRi-776: ``python tools/make_fleet.py OUT --vehicles 60``."""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import time
from pathlib import Path

from fleet.spec import FleetSpec
from pgan.cli import ArgumentParser, report_errors

_HELP = {
    "vehicles": "vehicles of the re-identification splits",
    "images_per_vehicle": "images per vehicle",
    "seed": "random seed; the same seed gives the same bytes",
    "size": "side of the images in pixels",
    "cameras": "number of cameras",
    "cameras_per_vehicle": "cameras that see a vehicle",
    "rear_share": "fraction of the cameras behind the vehicles",
    "twins": "vehicles per group of near-twins",
    "twin_share": "fraction of the vehicles that have near-twins",
    "detail_change": "probability that a detail of a twin differs from its group's",
    "detail_size": "scale of the objects behind the windscreen",
    "test_share": "fraction of the vehicles in the test split",
    "occluded": "fraction of the images with an occluder",
    "detector_images": "images of the detector split",
    "detector_vehicles": "vehicles of the detector split, 0 for one per four images",
}


def parse_args() -> argparse.Namespace:
    """Parse the command line; every parameter of `FleetSpec` is an option."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("out", type=Path, help="folder to create")
    for field in dataclasses.fields(FleetSpec):
        option = "--" + field.name.replace("_", "-")
        text = f"{_HELP[field.name]} (default: {field.default})"
        parser.add_argument(option, type=type(field.default), default=field.default, help=text)
    parser.add_argument(
        "--workers", type=int, default=os.cpu_count() or 1, help="processes that render"
    )
    parser.add_argument(
        "--preview", action="store_true", help="also draw a contact sheet, OUT/preview.png"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace another fleet in OUT")
    return parser.parse_args()


@report_errors
def main() -> int:
    """Render a fleet and print the number of images."""
    args = parse_args()
    from tqdm import tqdm

    from fleet import make_fleet

    names = [field.name for field in dataclasses.fields(FleetSpec)]
    spec = FleetSpec(**{name: getattr(args, name) for name in names})
    start = time.perf_counter()
    total = spec.vehicles * spec.images_per_vehicle + spec.detector_images
    with tqdm(total=total, unit="image", disable=None) as bar:
        summary = make_fleet(args.out, spec, args.workers, args.overwrite, on_images=bar.update)
    rate = total / (time.perf_counter() - start)
    print(
        f"{args.out}: {summary.train} training images, {summary.query} queries, {summary.gallery} gallery "
        f"images, {summary.detector} detector images; "
        + (
            "the fleet already exists"
            if summary.kept
            else f"{rate:.0f} images/s with {args.workers} workers"
        )
    )
    if args.preview:
        from detector.cache.drawing import write_picture
        from fleet.preview import contact_sheet

        sheet = write_picture(args.out / "preview.png", contact_sheet(spec))
        print(f"contact sheet: {sheet}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
