"""Build a gallery of your own images and search it for a vehicle.

Add the images of a folder, or those of a data set with their vehicles and cameras::

    python tools/gallery.py add GALLERY FOLDER --model CONFIG CHECKPOINT --detector CONFIG CHECKPOINT
    python tools/gallery.py add GALLERY CONFIG --model CONFIG CHECKPOINT

Find the vehicle of an image; the gallery remembers its model::

    python tools/gallery.py search GALLERY QUERY.jpg --top 20 --out DIR --json FILE

Describe, verify, remove images, build an index for many images, calibrate "the same vehicle"::

    python tools/gallery.py info GALLERY
    python tools/gallery.py verify GALLERY
    python tools/gallery.py remove GALLERY 'data/cam2/*' --vehicle bus_3
    python tools/gallery.py index GALLERY
    python tools/gallery.py calibrate GALLERY CONFIG --false-match-rate 0.001
"""

from __future__ import annotations

import argparse
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pgan.cli import ArgumentParser, positive_int, report_errors
from pgan.gallery.errors import GalleryError
from pgan.gallery.times import Time

# Commands that run a model import it themselves: torch takes seconds, and the other commands do not need it.
if TYPE_CHECKING:
    from mmengine.config import Config

    from pgan.gallery.embedding import Embedder
    from pgan.gallery.part_source import PartSource
    from pgan.gallery.store import Gallery


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name: str, run: Callable[[argparse.Namespace], int], words: str) -> Any:
        made = commands.add_parser(name, help=words)
        made.set_defaults(run=run)
        made.add_argument("gallery", help="folder of the gallery")
        return made.add_argument

    arg = command("add", run_add, "add images")
    arg("sources", nargs="+", metavar="SOURCE", help="images, folders, or a data set's CONFIG.py")
    roles = ("gallery", "query", "train")
    arg(
        "--roles", nargs="+", choices=roles, default=["gallery"], help="images of a data set to add"
    )
    arg("--prefix", default="", help="put before a data set's vehicle and camera ids")
    arg("--vehicle", default="", metavar="ID", help="vehicle id of image files, if known")
    arg("--camera", default="", metavar="ID", help="camera id of image files, if known")
    _add_model(arg)
    _add_options(arg)

    arg = command("search", run_search, "find the vehicle of an image")
    arg("queries", nargs="+", metavar="QUERY", help="image files and folders")
    arg("--top", type=positive_int, default=20, metavar="K", help="results per query (%(default)s)")
    arg("--camera", nargs="+", default=[], metavar="ID", help="only images by these cameras")
    arg("--camera-not", nargs="+", default=[], metavar="ID", help="no images by these cameras")
    arg("--other-cameras", action="store_true", help="no images by the query's camera")
    arg("--after", type=_time, metavar="TIME", help="a date, 2018-03-11T09:12:01, or a number")
    arg("--before", type=_time, metavar="TIME", help="a date or a number")
    arg("--rerank", nargs="?", type=positive_int, const=100, default=0, metavar="N",
        help="k-reciprocal re-ranking of the nearest N (%(const)s)")  # fmt: skip
    arg("--json", metavar="FILE", help="also write the results as JSON")
    arg("--out", metavar="DIR", help="also draw panels with parts and an HTML page")
    _add_model(arg)

    command("info", run_info, "describe a gallery")
    command("verify", run_verify, "verify the checksums of a gallery")
    arg = command("remove", run_remove, "remove images; the files are kept")
    arg("images", nargs="*", metavar="IMAGE", help="files, folders, or patterns in quotes")
    arg(
        "--vehicle", nargs="+", default=[], metavar="ID", help="remove all images of these vehicles"
    )
    arg = command("index", run_index, "build an index for fast search, and measure its recall")
    arg("--kind", default="auto", help="auto, exact, hnsw or ivfpq (%(default)s)")
    arg("--seed", type=int, default=0, help="seed of its training images (%(default)s)")
    arg = command("calibrate", run_calibrate, "find the greatest distance of the same vehicle")
    arg(
        "split",
        metavar="CONFIG|FEATURES",
        help="config of a validation set, or its .npz of features",
    )
    arg("--false-match-rate", type=float, default=1e-3, metavar="RATE", help="(%(default)s)")
    _add_model(arg)
    _add_options(arg)
    return parser.parse_args()


def _add_model(arg: Any) -> None:
    pair = ("CONFIG", "CHECKPOINT")
    arg("--model", nargs=2, metavar=pair, help="re-identification model (the gallery's own)")
    arg("--part-cache", metavar="CACHE", help="part cache of the images (the config's)")
    arg("--data-root", metavar="FOLDER", help="folder of the cache's images (the config's)")
    arg("--detector", nargs=2, metavar=pair, help="detector for images that are in no cache")
    arg("--device", help="cpu, cuda, cuda:1, ... (a GPU if there is one)")


def _add_options(arg: Any) -> None:
    arg(
        "--cfg-options",
        nargs="+",
        action="extend",
        metavar="KEY=VALUE",
        help="override keys of the configs",
    )


def _time(text: str) -> Time:
    try:
        return Time.parse(text)
    except GalleryError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def run_add(args: argparse.Namespace) -> int:
    """Add images and print the outcome."""
    from mmengine.logging import MMLogger

    from pgan.gallery.adding import add
    from pgan.gallery.embedding import Embedder
    from pgan.gallery.images import labelled_images
    from pgan.gallery.queries import gallery_model
    from pgan.gallery.store import Gallery

    MMLogger.get_current_instance().setLevel("WARNING")
    images, configs = labelled_images(
        args.sources, args.vehicle, args.camera, args.roles, args.prefix, args.cfg_options
    )
    if args.model:
        gallery = None
        config, checkpoint = args.model
        embedder = Embedder(config, checkpoint, args.detector, args.cfg_options, args.device)
    else:
        gallery = Gallery.open(args.gallery)
        embedder = gallery_model(gallery, None, args.detector, args.device)
    parts = _parts(args, embedder, gallery, configs)
    done = add(args.gallery, embedder, images, parts, args.detector, progress=True)
    resumed = f" ({done.resumed} of them before it was stopped)" if done.resumed else ""
    print(f"{args.gallery}: {done.added} images added{resumed}, {done.skipped} were there already")
    return _report_failed(done.failed)


def run_search(args: argparse.Namespace) -> int:
    """Search, print the results, and write them as JSON, panels and page if requested."""
    from detector.common.files import write_json
    from pgan.gallery.files import image_files
    from pgan.gallery.info import describe_threshold, threshold_of
    from pgan.gallery.queries import gallery_model, make_queries
    from pgan.gallery.results import as_json, as_text, query_results
    from pgan.gallery.search import Filters, Searcher
    from pgan.gallery.store import Gallery

    gallery = Gallery.open(args.gallery)
    searcher = Searcher(gallery)
    named = args.model and gallery_model(gallery, args.model, args.detector, args.device)

    def load_embedder() -> tuple[Embedder, PartSource]:
        embedder = named or gallery_model(gallery, None, args.detector, args.device)
        return embedder, _parts(args, embedder, gallery)

    queries, failed = make_queries(gallery, image_files(args.queries), load_embedder)
    filters = Filters(args.camera, args.camera_not, args.other_cameras, args.after, args.before)
    threshold = threshold_of(gallery)
    limit = threshold.distance if threshold else None
    found = []
    if queries:
        ranked = searcher.search(queries, args.top, filters, args.rerank)
        found = query_results(gallery, queries, ranked, limit)
    if searcher.stale:
        print(f"the index is not used: {searcher.stale}; `index` builds it again", file=sys.stderr)
    print(f"{as_text(found)}\n\n{describe_threshold(gallery)}")
    if args.json:
        print(f"written: {write_json(args.json, as_json(gallery, found, limit, failed))}")
    if args.out and found:
        from pgan.gallery.result_page import write_result_page

        command = shlex.join(["python", "tools/gallery.py", *sys.argv[1:]])
        made = {"Gallery": args.gallery, "Model": gallery.model["type"], "Command": command}
        summary = f"{len(found)} queries in a gallery of {len(gallery):,} images."
        print(f"written: {write_result_page(args.out, found, made, summary)}")
    return _report_failed(failed)


def run_info(args: argparse.Namespace) -> int:
    """Print what is in a gallery."""
    from pgan.gallery.info import describe
    from pgan.gallery.store import Gallery

    print(describe(Gallery.open(args.gallery)))
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Verify a gallery; damage is an error."""
    from pgan.gallery.store import Gallery

    gallery = Gallery.open(args.gallery)
    gallery.verify()
    print(f"{args.gallery}: sound, {len(gallery)} images")
    return 0


def run_remove(args: argparse.Namespace) -> int:
    """Take images out of a gallery."""
    from pgan.gallery.adding import remove
    from pgan.gallery.store import Gallery

    if not args.images and not args.vehicle:
        raise GalleryError("name images to remove, or --vehicle ID")
    removed = remove(args.gallery, args.images, args.vehicle)
    print(f"{args.gallery}: {removed} images removed, {len(Gallery.open(args.gallery))} left")
    return 0


def run_index(args: argparse.Namespace) -> int:
    """Build an index and print its recall."""
    from pgan.gallery.info import describe_index
    from pgan.gallery.search import build
    from pgan.gallery.store import Gallery

    gallery = Gallery.open(args.gallery)
    index = build(gallery, args.kind, args.seed, progress=sys.stderr.isatty())
    print(f"{args.gallery}: {len(gallery):,} images, index: {describe_index(gallery)}")
    print(f"built in {index.seconds:.1f} s; {index.bytes_per_image:.0f} bytes of memory an image")
    return 0


def run_calibrate(args: argparse.Namespace) -> int:
    """Calibrate the greatest distance of the same vehicle and draw the curve."""
    from pgan.apis import load_reid_config
    from pgan.gallery.calibration import (
        calibrate,
        features_of_config,
        features_of_file,
        write_threshold,
    )
    from pgan.gallery.queries import gallery_model
    from pgan.gallery.store import Gallery

    gallery = Gallery.open(args.gallery)
    if args.split.endswith(".npz"):
        features = features_of_file(gallery, args.split)
    else:
        embedder = gallery_model(gallery, args.model, args.detector, args.device)
        config = load_reid_config(args.split, args.cfg_options)
        parts = _parts(args, embedder, gallery, [config])
        features = features_of_config(embedder, config, parts, progress=True)
    threshold = calibrate(features, args.false_match_rate)
    written = write_threshold(threshold, gallery.path)
    print(f"{threshold.describe()}\nwritten: {', '.join(map(str, written))}")
    return 0


def _parts(
    args: argparse.Namespace,
    embedder: Embedder,
    gallery: Gallery | None = None,
    configs: Sequence[Config] = (),
) -> PartSource:
    """Open the part cache that is given, those that the gallery remembers, and those of the configs."""
    from pgan.gallery.part_source import PartSource, caches_of_configs

    if not embedder.num_parts:
        return PartSource()
    configs = [*configs, embedder.cfg]
    caches = [(root, cache) for root, cache in reversed(gallery.sources)] if gallery else []
    caches += caches_of_configs(configs)
    if args.part_cache:
        root = args.data_root or configs[0].test_dataloader.dataset.data_root
        caches.insert(0, (root, args.part_cache))
    return PartSource.open(caches)


def _report_failed(failed: dict[str, str]) -> int:
    """Report images that cannot be read; returns the exit status."""
    from pgan.gallery.info import short_path

    for path, reason in list(failed.items())[:5]:
        print(f"  {short_path(path)}: {reason}", file=sys.stderr)
    if failed:
        print(f"error: {len(failed)} images could not be read and were skipped", file=sys.stderr)
    return int(bool(failed))


@report_errors
def main() -> int:
    """Run the command."""
    args = parse_args()
    return args.run(args)


if __name__ == "__main__":
    sys.exit(main())
