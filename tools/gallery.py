"""Search in your own images: a gallery on disk that images are added to, and that is asked for a vehicle.

Images of a folder, or those of a data set with their vehicles and cameras::

    python tools/gallery.py add GALLERY FOLDER --model CONFIG CHECKPOINT --detector CONFIG CHECKPOINT
    python tools/gallery.py add GALLERY --dataset CONFIG --model CONFIG CHECKPOINT

Where was this vehicle? The gallery knows its model::

    python tools/gallery.py search GALLERY QUERY.jpg --top 20 --out DIR --json FILE

What is in it; take images out; an index for many images; from which distance on it is another vehicle::

    python tools/gallery.py info GALLERY
    python tools/gallery.py remove GALLERY 'data/cam2/*' --vehicle bus_3
    python tools/gallery.py index GALLERY
"""

from __future__ import annotations

import argparse
import os
import shlex
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.config import DictAction
from mmengine.logging import MMLogger

from detector.cache import PartCache
from pgan.datasets.records import Annotation
from pgan.files import write_json
from pgan.gallery.adding import (
    ROLES,
    add,
    dataset_images,
    image_files,
    make_queries,
    remembered_embedder,
    remove,
)
from pgan.gallery.embedding import Detect, Embedder, PartSource
from pgan.gallery.errors import GalleryError
from pgan.gallery.results import as_text, results, short_path, write_page
from pgan.gallery.search import Filters, Searcher, about_index, build, covered_rows
from pgan.gallery.store import Gallery
from pgan.gallery.times import Time
from pgan.tools.cli import report_errors


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run: Any, words: str) -> Any:
        made = commands.add_parser(name, help=words)
        made.set_defaults(run=run)
        made.add_argument("gallery", help="its folder")
        return made.add_argument

    arg = command("add", run_add, "add images")
    arg("images", nargs="*", metavar="IMAGE", help="files and folders")
    arg("--dataset", metavar="CONFIG", help="the images of this re-identification config")
    arg("--roles", nargs="+", choices=ROLES, default=["gallery"], help="which of them (gallery)")
    arg("--prefix", default="", help="put before the data set's vehicle and camera ids")
    arg("--vehicle", default="", metavar="ID", help="the vehicle on the IMAGEs, if known")
    arg("--camera", default="", metavar="ID", help="the camera of the IMAGEs, if known")
    arg("--cfg-options", nargs="+", action=DictAction, help="override keys of the configs")
    _add_model(arg)

    arg = command("search", run_search, "find the vehicle of an image")
    arg("queries", nargs="+", metavar="QUERY", help="image files and folders")
    arg("--top", type=_count, default=20, metavar="K", help="results of each (%(default)s)")
    arg("--camera", nargs="+", default=[], metavar="ID", help="only images by these cameras")
    arg("--camera-not", nargs="+", default=[], metavar="ID", help="no images by these cameras")
    arg("--other-cameras", action="store_true", help="none by the query's camera, if it is known")
    arg("--after", type=_time, metavar="TIME", help="a date, 2018-03-11T09:12:01, or a number")
    arg("--before", type=_time, metavar="TIME", help="likewise")
    arg("--rerank", nargs="?", type=_count, const=100, default=0, metavar="N",
        help="k-reciprocal re-ranking of the nearest N (%(const)s)")  # fmt: skip
    arg("--max-distance", type=float, metavar="X", help="same vehicle up to X (as calibrated)")
    arg("--json", metavar="FILE", help="also write all of it as JSON")
    arg("--out", metavar="DIR", help="also draw panels with parts and a page")
    _add_model(arg)

    command("info", run_info, "say what is in a gallery")
    arg = command("remove", run_remove, "take images out; the files stay")
    arg("images", nargs="*", metavar="IMAGE", help="files, folders, or patterns in quotes")
    arg("--vehicle", nargs="+", default=[], metavar="ID", help="all images of these vehicles")
    arg = command("index", run_index, "build an index for fast search, and measure its recall")
    arg("--kind", default="auto", help="auto, exact, hnsw or ivfpq (%(default)s)")
    arg("--seed", type=int, default=0, help="of the images it learns from (%(default)s)")
    return parser.parse_args()


def _add_model(arg: Any) -> None:
    pair = ("CONFIG", "CHECKPOINT")
    arg("--model", nargs=2, metavar=pair, help="of re-identification (the gallery's own)")
    arg("--part-cache", metavar="CACHE", help="has the parts of the images (the config's)")
    arg("--data-root", metavar="FOLDER", help="that the cache's paths are below (the config's)")
    arg("--detector", nargs=2, metavar=pair, help="finds the parts that are in no cache")
    arg("--device", help="cpu, cuda, cuda:1 ... (a GPU where there is one)")


def _count(text: str) -> int:
    count = int(text)
    if count < 1:
        raise argparse.ArgumentTypeError(f"at least 1, not {text}")
    return count


def _time(text: str) -> Time:
    try:
        return Time.parse(text)
    except GalleryError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run_add(args: argparse.Namespace) -> int:
    """Add images, and say what became of them."""
    if bool(args.images) == bool(args.dataset):
        raise GalleryError("name images to add or --dataset CONFIG, one of them")
    gallery = Gallery.open(args.gallery) if not args.model else None
    embedder = _embedder(args, gallery)
    roots = {}
    if args.dataset:
        dataset, images = dataset_images(args.dataset, args.cfg_options, args.roles, args.prefix)
        roots = {"data_root": dataset.data_root}
    else:
        files = image_files(args.images)
        images = [Annotation(file, args.vehicle, args.camera) for file in files]
    with tempfile.TemporaryDirectory() as scratch:
        source = _parts(args, embedder, gallery, scratch, **roots)
        detector = args.detector and [os.path.abspath(file) for file in args.detector]
        done = add(args.gallery, embedder, images, source, detector, progress=True)
    going_on = f" ({done.resumed} of them before it was stopped)" if done.resumed else ""
    print(f"{args.gallery}: {done.added} images added{going_on}, {done.skipped} were there already")
    return _tell_failed(done.failed)


def run_search(args: argparse.Namespace) -> int:
    """Search, print, and write what was asked for."""
    gallery = Gallery.open(args.gallery)
    searcher = Searcher(gallery)
    files = image_files(args.queries)
    with tempfile.TemporaryDirectory() as scratch:
        embedder: list[Embedder] = []

        def model() -> Embedder:
            embedder.append(_embedder(args, gallery))
            return embedder[0]

        queries, failed = make_queries(
            gallery, files, model, lambda: _parts(args, embedder[0], gallery, scratch)
        )
    filters = Filters(args.camera, args.camera_not, args.other_cameras, args.after, args.before)
    hits = searcher.search(queries, args.top, filters, args.rerank)
    limit, words = _limit(args, gallery)
    found = results(gallery, queries, hits, limit)
    if searcher.stale:
        print(
            f"the index is not used: {searcher.stale}; build it again with `index`", file=sys.stderr
        )
    print(as_text(found))
    print(f"\n{words}")
    if args.json:
        content = {
            "gallery": os.path.abspath(args.gallery),
            "images": len(gallery),
            "model": {key: gallery.model[key] for key in ("type", "checkpoint", "fingerprint")},
            "max_distance": limit,
            "queries": [result.to_json() for result in found],
            "unreadable": failed,
        }
        print(f"written: {write_json(args.json, content)}")
    if args.out and found:
        command = shlex.join(["python", "tools/gallery.py", *sys.argv[1:]])
        made = {"Gallery": args.gallery, "Model": gallery.model["type"], "Command": command}
        summary = f"{len(found)} queries in a gallery of {len(gallery)} images."
        print(f"written: {write_page(args.out, found, made, f'{summary} {words}')}")
    return _tell_failed(failed)


def run_info(args: argparse.Namespace) -> int:
    """Print what is in a gallery."""
    gallery = Gallery.open(args.gallery)
    count = len(gallery)
    vehicles, cameras = (
        {*column.tolist()} - {""} for column in (gallery.vehicles, gallery.cameras)
    )
    size = sum(sum(shard.sizes) for shard in gallery.shards)
    model = gallery.model
    print(f"{args.gallery}: {count} images, {len(vehicles) or 'unknown'} vehicles")
    print(f"  cameras: {', '.join(sorted(cameras)) or 'unknown'}")
    for kind in ("date", "number"):
        times = gallery.times(kind)
        if (known := times[times == times]).size:
            ends = [str(Time(kind, float(end))) for end in (known.min(), known.max())]
            print(f"  times: {len(known)} images, {' to '.join(ends)}")
    print(f"  model: {model['type']}, {short_path(model['checkpoint'])}")
    print(f"    config {short_path(model['config'])}, fingerprint {model['fingerprint'][:16]}")
    print(f"  features: {gallery.dimensions} dimensions; {size / max(count, 1):.0f} bytes an image")
    for root, cache in gallery.sources:
        print(f"  parts: from {short_path(cache)}, of images below {short_path(root)}")
    if gallery.detector:
        print(f"  parts: detected by {short_path(gallery.detector[1])}")
    print(f"  index: {_index_words(gallery)}")
    threshold = gallery.threshold()
    print(f"  same vehicle: {_threshold_words(threshold) if threshold else 'not calibrated'}")
    return 0


def run_remove(args: argparse.Namespace) -> int:
    """Take images out of a gallery."""
    if not args.images and not args.vehicle:
        raise GalleryError("name images to remove, or --vehicle ID")
    count = remove(args.gallery, args.images, args.vehicle)
    print(f"{args.gallery}: {count} images removed, {len(Gallery.open(args.gallery))} left")
    return 0


def run_index(args: argparse.Namespace) -> int:
    """Build an index, and print how good it is."""
    gallery = Gallery.open(args.gallery)
    index = build(gallery, args.kind, args.seed, progress=True)
    print(f"{args.gallery}: {len(gallery)} images, {_index_words(gallery)}")
    print(f"  built in {index.seconds:.1f} s; {index.bytes_per_image:.0f} bytes of memory an image")
    return 0


def _embedder(args: argparse.Namespace, gallery: Gallery | None) -> Embedder:
    if not args.model:
        return remembered_embedder(gallery)
    return Embedder(*args.model, getattr(args, "cfg_options", None), args.device)


def _parts(
    args: argparse.Namespace,
    embedder: Embedder,
    gallery: Gallery | None,
    scratch: str,
    data_root: str | None = None,
) -> PartSource:
    """Where the parts of images come from: what was named now, what the gallery remembers, the config's."""
    if not embedder.num_parts:
        return PartSource()
    settings = embedder.cfg.test_dataloader.dataset
    root = args.data_root or data_root or settings.data_root
    named = args.part_cache or settings.get("part_cache")
    sources = [(root, named)] if args.part_cache else []
    sources += [tuple(source) for source in reversed(gallery.sources)] if gallery else []
    if not args.part_cache and named and (Path(named).is_dir() or not args.detector):
        sources.append((root, named))
    detector = args.detector or (gallery.detector if gallery else None)
    caches = [(folder, PartCache.open(cache)) for folder, cache in dict.fromkeys(sources)]
    detect = _detect(detector, embedder.num_parts, scratch, args.device) if detector else None
    return PartSource(caches, detect)


def _detect(files: Sequence[str], num_parts: int, scratch: str, device: str | None) -> Detect:
    def detect(root: str, images: Sequence[str]) -> PartCache:
        # mmdet takes seconds to import, and most searches need no detector.
        from detector.extractor import extract, load_detector
        from pgan.apis import load_config

        detector = load_detector(load_config(files[0]), files[1], max(16, num_parts), device=device)
        return extract(detector, root, images, scratch, progress=len(images) > 1).cache

    return detect


def _limit(args: argparse.Namespace, gallery: Gallery) -> tuple[float | None, str]:
    """The distance up to which two images are of one vehicle, and where it is from."""
    if args.max_distance is not None:
        return args.max_distance, f"same vehicle: up to a distance of {args.max_distance:g}"
    if threshold := gallery.threshold():
        return float(threshold["distance"]), f"same vehicle: {_threshold_words(threshold)}"
    return None, "same vehicle or not: say --max-distance X, or calibrate the gallery"


def _threshold_words(threshold: dict[str, Any]) -> str:
    rate = 100 * threshold["false_match_rate"]
    return f"up to a distance of {threshold['distance']:.4g}, at a false-match rate of {rate:.4g}%"


def _index_words(gallery: Gallery) -> str:
    about = about_index(gallery)
    if about is None:
        return "none, searched exactly"
    recall = ", ".join(f"{name} {value:.4f}" for name, value in about["recall"].items())
    covered, stale = covered_rows(gallery)
    if stale:
        return f"{about['kind']}, not used: {stale}"
    words = f"{about['kind']}, {recall}"
    if about["kind"] != "exact" and covered < len(gallery):
        words += f"; of {covered} images, {len(gallery) - covered} newer ones are searched exactly"
    return words


def _tell_failed(failed: dict[str, str]) -> int:
    """Name what could not be read; the exit status."""
    for path, reason in list(failed.items())[:5]:
        print(f"  {short_path(path)}: {reason}", file=sys.stderr)
    if failed:
        print(f"error: {len(failed)} images could not be read and were left out", file=sys.stderr)
    return int(bool(failed))


@report_errors
def main() -> int:
    """Run the command."""
    args = parse_args()
    MMLogger.get_current_instance().setLevel("WARNING")
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
