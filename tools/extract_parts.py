"""Find the parts of images and write them as a part cache; a stopped run resumes.

All images of a re-identification data set, with the test sets of every size that is on disk:

    python tools/extract_parts.py DETECTOR_CONFIG CHECKPOINT --dataset REID_CONFIG --out CACHE

A folder of your own images, with a figure of the parts that were found:

    python tools/extract_parts.py DETECTOR_CONFIG CHECKPOINT --images FOLDER --out CACHE --draw 12

Several processes, on one machine or on several that see the same folder. The last process to finish assembles
the cache. If a process died, run the same command again to extract its remaining images:

    torchrun --nproc-per-node 4 tools/extract_parts.py DETECTOR_CONFIG CHECKPOINT ... --out CACHE
    python tools/extract_parts.py DETECTOR_CONFIG CHECKPOINT ... --out CACHE --split 1/4    # to 4/4

On machines without a common folder, give each machine its --split, then merge the caches:

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
    add("checkpoint", help="weights of the detector")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--dataset", metavar="REID_CONFIG", help="the images of this config")
    source.add_argument("--images", metavar="FOLDER", help="all images below this folder")
    add("--data-root", help="with --dataset: folder of its images (default: that of the config)")
    add("--out", required=True, metavar="CACHE", help="folder of the part cache")
    add("--max-parts", type=int, default=16, help="boxes kept per image (default: %(default)s)")
    add(
        "--score-thr",
        type=float,
        default=0.0,
        help="keep boxes with a score above this (default: %(default)s)",
    )
    add("--batch-size", type=int, help="images per batch (default: 4 on a CPU, 64 on a GPU)")
    add("--workers", type=int, help="processes that read images (default: as many as needed)")
    add(
        "--shard-size",
        type=int,
        default=1024,
        help="images per shard; a stopped run loses one shard at most (default: %(default)s)",
    )
    add("--max-bad", type=int, metavar="N", help="stop at more than N unreadable images")
    add("--split", metavar="I/N", help="extract the I-th of N splits of the images, I from 1")
    add("--shard", help=argparse.SUPPRESS)  # the former name of --split
    add("--device", help="cpu, cuda, cuda:1, ... (default: the GPU if there is one)")
    add("--amp", action=argparse.BooleanOptionalAction, help="half precision (default: on a GPU)")
    add(
        "--reduced",
        action="store_true",
        help="decode large JPEGs at reduced size: faster, but boxes move slightly",
    )
    add("--draw", type=int, default=0, metavar="N", help="draw the parts of N images")
    parser.add_cfg_options("override keys of the detector config")
    args = parser.parse_args()
    if args.shard is not None:
        raise DetectorError(f"--shard is now called --split: give --split {args.shard}")
    return args


def images_to_extract(folder: str, out: str) -> list[str]:
    """All images below a folder, except figures in the cache if the cache is below the folder, too."""
    from detector.common.images import list_images

    cache = os.path.relpath(os.path.realpath(out), os.path.realpath(folder)) + "/"
    return [image for image in list_images(folder) if not image.startswith(cache)]


def report(done: Extraction, args: argparse.Namespace) -> None:
    """Print the result and the next command."""
    if done.processed:
        rate = done.processed / done.seconds
        print(f"{done.processed} images in {done.seconds:.0f} s: {rate:.1f} images/s")
    else:
        print("all images were already extracted")
    if done.cache is None:
        print(
            f"{args.out}: this split is done; the last process to finish assembles the cache. If another "
            "process died, run the same command again; if splits are in different folders, join them with "
            "`python tools/part_cache.py merge`"
        )
        return
    cache, facts = done.cache, done.cache.manifest
    number, failed = facts["num_images"], facts["num_failed"]
    read = max(1, number - failed)
    print(
        f"{args.out}: {number} images, {facts['num_parts'] / read:.1f} parts per image on average"
    )
    print(f"  without parts: {facts['num_without_parts']}, unreadable: {failed}")
    for image, reason in list(cache.failed.items())[:5]:
        print(f"    {image}: {reason}")
    if args.dataset:
        root = f" data_root={args.data_root}" if args.data_root else ""
        print(
            f"next: python tools/train.py {args.dataset} --cfg-options part_cache={args.out}{root}"
        )
    else:
        print(f"next: detector.cache.PartCache.open({args.out!r}) reads boxes and masks")


@report_errors
def main() -> int:
    """Extract the parts."""
    args = parse_args()
    import torch

    from detector.cache.drawing import draw_sheet
    from detector.common.memory import keep_freed_memory
    from detector.extraction.extractor import extract
    from detector.extraction.loading import load_detector
    from detector.extraction.work_split import Split
    from detector.model.image_loading import reduced_pipeline
    from pgan.apis import load_config, load_detector_config
    from pgan.datasets.listing import images_of_config

    keep_freed_memory()
    config = load_detector_config(args.config, args.cfg_options)
    if args.reduced:
        dataset = config.test_dataloader.dataset
        dataset.pipeline = reduced_pipeline(dataset.pipeline)
    if args.images:
        root, images = args.images, images_to_extract(args.images, args.out)
    else:
        options = {"data_root": args.data_root} if args.data_root else None
        root, images = images_of_config(load_config(args.dataset, options))
    split = Split.parse(args.split) if args.split else Split.from_launcher()
    device = args.device
    if split and not device and torch.cuda.is_available():
        device = f"cuda:{int(os.environ.get('LOCAL_RANK', 0)) % torch.cuda.device_count()}"
    detector = load_detector(
        config, args.checkpoint, args.max_parts, args.score_thr, device, args.amp
    )
    settings = (args.batch_size, args.workers, args.shard_size)
    done = extract(detector, root, images, args.out, *settings, split=split, max_bad=args.max_bad)
    report(done, args)
    if args.draw > 0 and done.cache:
        names = [image for image in done.cache.images() if image not in done.cache.failed]
        chosen = names[:: max(1, len(names) // args.draw)][: args.draw]
        figure = draw_sheet(root, done.cache, chosen, Path(args.out) / "parts.jpg")
        print(f"figure: {figure}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
