"""Render a synthetic fleet in VeRi-776's layout: ``python tools/make_fleet.py OUT --vehicles 60``."""

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
    "images_per_vehicle": "images of each of them",
    "seed": "the same seed gives the same bytes",
    "size": "side of the images in pixels",
    "cameras": "cameras of the fleet",
    "cameras_per_vehicle": "cameras that see a vehicle",
    "rear_share": "share of the cameras behind the vehicles",
    "twins": "vehicles in a group of near-twins",
    "twin_share": "share of the vehicles that have near-twins",
    "detail_change": "chance that a twin's detail is its own and not its group's",
    "detail_size": "size of windscreen ornaments, 1 as designed",
    "test_share": "share of the vehicles in the test split",
    "occluded": "share of the images with something in the way",
    "detector_images": "images of the detector split, 0 for none",
    "detector_vehicles": "vehicles of the detector split, 0 for one in four images",
}


def parse_args() -> argparse.Namespace:
    """Parse the command line; every parameter of `FleetSpec` is an option."""
    parser = ArgumentParser(__doc__)
    parser.add_argument("out", type=Path, help="folder to make")
    for field in dataclasses.fields(FleetSpec):
        option = "--" + field.name.replace("_", "-")
        text = f"{_HELP[field.name]} ({field.default})"
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
    """Render as the arguments say and print what was written."""
    args = parse_args()
    from tqdm import tqdm

    from fleet import make_fleet

    names = [field.name for field in dataclasses.fields(FleetSpec)]
    spec = FleetSpec(**{name: getattr(args, name) for name in names})
    start = time.perf_counter()
    total = spec.vehicles * spec.images_per_vehicle + spec.detector_images
    with tqdm(total=total, unit="image", disable=None) as bar:
        made = make_fleet(args.out, spec, args.workers, args.overwrite, on_images=bar.update)
    rate = total / (time.perf_counter() - start)
    print(
        f"{args.out}: {made.train} training images, {made.query} queries, {made.gallery} gallery images, "
        f"{made.detector} detector images; "
        + ("was there already" if made.kept else f"{rate:.0f} images/s with {args.workers} workers")
    )
    if args.preview:
        from detector.cache.drawing import write_picture
        from fleet.preview import contact_sheet

        sheet = write_picture(args.out / "preview.png", contact_sheet(spec))
        print(f"{sheet}: the contact sheet")
    return 0


if __name__ == "__main__":
    sys.exit(main())
