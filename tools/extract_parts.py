"""Find the parts of many images and write them as a part cache, which can be stopped and resumed.

For a re-identification data set, all images of its lists, of every size of the test set that is there::

    python tools/extract_parts.py DETECTOR_CONFIG CHECKPOINT --dataset REID_CONFIG --out CACHE

For a folder of your own images, with a picture of what was found::

    python tools/extract_parts.py DETECTOR_CONFIG CHECKPOINT --images FOLDER --out CACHE --draw 12

By several processes, on one machine or on many that see the same folder; who ends last makes the cache, and
whatever one that died has left, the next run of the same command does::

    torchrun --nproc-per-node 4 tools/extract_parts.py DETECTOR_CONFIG CHECKPOINT ... --out CACHE
    python tools/extract_parts.py DETECTOR_CONFIG CHECKPOINT ... --out CACHE --shard 1/4    # to 4/4

On machines that see no common folder, give each its --shard and then join what they wrote::

    python tools/part_cache.py merge CACHE_1 CACHE_2 CACHE_3 CACHE_4 --out CACHE
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from detector.common.errors import DetectorError
from pgan.cli import ArgumentParser, report_errors

if TYPE_CHECKING:
    from detector.extraction.extractor import Extraction


def parse_args() -> argparse.Namespace:
    """Parse the command line."""
    parser = ArgumentParser(__doc__)
    add = parser.add_argument
    add("config", help="config of the detector")
    add("checkpoint", help="its weights")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", metavar="REID_CONFIG", help="the images of this config")
    source.add_argument("--images", metavar="FOLDER", help="all images below this folder")
    add("--data-root", help="with --dataset: where its images are, if not where the config says")
    add("--out", required=True, metavar="CACHE", help="folder of the part cache")
    add("--max-parts", type=int, default=16, help="boxes kept of an image (%(default)s)")
    add("--score-thr", type=float, default=0.0, help="drop boxes not above it (%(default)s)")
    add("--batch-size", type=int, help="images at once (4 on a CPU, 64 on a GPU)")
    add("--workers", type=int, help="processes that read images (as many as it takes)")
    add("--shard-size", type=int, default=1024, help="images lost at most when it is stopped")
    add("--max-bad", type=int, metavar="N", help="stop at more than N unreadable images (never)")
    add("--shard", metavar="I/N", help="do the I-th of N shares of the images, I from 1")
    add("--device", help="cpu, cuda, cuda:1 ... (a GPU where there is one)")
    add("--amp", action=argparse.BooleanOptionalAction, help="half precision (on a GPU: yes)")
    add(
        "--reduced",
        action="store_true",
        help="decode large JPEGs at a part of their size: boxes move a bit",
    )
    add("--draw", type=int, default=0, metavar="N", help="write a picture of N images' parts")
    parser.add_cfg_options("override keys of the detector config")
    return parser.parse_args()


def images_to_extract(folder: str, out: str) -> list[str]:
    """All images below a folder but our own pictures, where the cache is below it as well."""
    from detector.common.images import list_images

    ours = os.path.relpath(os.path.realpath(out), os.path.realpath(folder)) + "/"
    return [image for image in list_images(folder) if not image.startswith(ours)]


def report(done: Extraction, args: argparse.Namespace) -> None:
    """Print what was found and what to do next."""
    if done.processed:
        rate = done.processed / done.seconds
        print(f"{done.processed} images in {done.seconds:.0f} s: {rate:.1f} images/s")
    else:
        print("nothing was left to do")
    if done.cache is None:
        print(
            f"{args.out}: this share is done; who ends last makes the cache. If others have died, "
            "run the same command again; if they wrote elsewhere, `python tools/part_cache.py merge`"
        )
        return
    cache, facts = done.cache, done.cache.manifest
    number, failed = facts["num_images"], facts["num_failed"]
    read = max(1, number - failed)
    print(f"{args.out}: {number} images, {facts['num_parts'] / read:.1f} parts each on average")
    print(f"  without parts: {facts['num_without_parts']}, unreadable: {failed}")
    for image, reason in list(cache.failed.items())[:5]:
        print(f"    {image}: {reason}")
    if args.dataset:
        root = f" data_root={args.data_root}" if args.data_root else ""
        print(
            f"next: python tools/train.py {args.dataset} --cfg-options part_cache={args.out}{root}"
        )
    else:
        print(f"next: detector.cache.PartCache.open({args.out!r}) serves boxes and masks")


@report_errors
def main() -> int:
    """Extract the parts."""
    args = parse_args()
    # Only now, since they take seconds: --help and a mistyped option are answered without them.
    import torch

    from detector.cache.drawing import draw_sheet
    from detector.extraction.extractor import extract, load_detector
    from detector.extraction.work_split import Share
    from detector.extraction.worker_threads import keep_freed_memory
    from detector.model.dataset import reduced_pipeline
    from pgan.apis import load_config
    from pgan.datasets.listing import images_of_config

    keep_freed_memory()
    config = load_config(args.config, args.cfg_options)
    if "data_preprocessor" not in config.model or "test_dataloader" not in config:
        raise DetectorError(f"{args.config} is not a detector config: see configs/detector")
    if args.reduced:
        dataset = config.test_dataloader.dataset
        dataset.pipeline = reduced_pipeline(dataset.pipeline)
    if args.images:
        root, images = args.images, images_to_extract(args.images, args.out)
    else:
        options = {"data_root": args.data_root} if args.data_root else None
        root, images = images_of_config(load_config(args.dataset, options))
    share = Share.parse(args.shard) if args.shard else Share.of_launcher()
    device = args.device
    if share and not device and torch.cuda.is_available():
        device = f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"
    detector = load_detector(
        config, args.checkpoint, args.max_parts, args.score_thr, device, args.amp
    )
    settings = (args.batch_size, args.workers, args.shard_size)
    done = extract(detector, root, images, args.out, *settings, share=share, max_bad=args.max_bad)
    report(done, args)
    if args.draw > 0 and done.cache:
        names = [image for image in done.cache.images() if image not in done.cache.failed]
        chosen = names[:: max(1, len(names) // args.draw)][: args.draw]
        picture = draw_sheet(root, done.cache, chosen, Path(args.out) / "parts.jpg")
        print(f"picture: {picture}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
