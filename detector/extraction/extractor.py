"""Run the part detector over many images and write a part cache; a stopped run resumes."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from mmengine.dataset import Compose
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from detector.cache import PartCache, Parts
from detector.cache.writer import SHARD_SIZES, PartCacheWriter
from detector.common.errors import DetectorError
from detector.common.images import ImageError
from detector.extraction.part_detector import PartDetector
from detector.extraction.work_split import Split, claim
from detector.extraction.worker_threads import count_worker_threads, map_in_threads


@dataclass(frozen=True)
class Extraction:
    """What one process did of an extraction.

    Attributes:
        cache: The finished part cache; None if shards of other processes are missing, or if another process
            assembles the cache.
        processed: Number of images that this run processed, without those of an earlier, stopped run.
        seconds: Duration of this run.
    """

    cache: PartCache | None
    processed: int
    seconds: float


def extract(
    detector: PartDetector,
    root: str | os.PathLike[str],
    images: Sequence[str],
    out: str | os.PathLike[str],
    batch_size: int | None = None,
    workers: int | None = None,
    shard_size: int = 1024,
    progress: bool = True,
    split: Split | None = None,
    max_bad: int | None = None,
) -> Extraction:
    """Find the parts of all images and write them as a part cache; a stopped run resumes where it left off.

    If several processes split the images, the last one to finish assembles the cache from all their shards.

    Args:
        detector: As `detector.extraction.loading.load_detector` returns it.
        root: Folder that the image paths are relative to.
        images: Paths with forward slashes.
        out: Folder of the part cache.
        batch_size: Images per batch; None for 4 on a CPU, where larger batches are slower, and 64 on a GPU.
        workers: Processes that read and resize images; with 0 this process reads them while the network
            computes earlier batches. None for one per four torch threads on a CPU (none below four), and up
            to 4 on a GPU.
        shard_size: Images per shard. A stopped extraction resumes at the start of a shard.
        progress: Whether to show a progress bar.
        split: The part of the images that this process extracts; None for all.
        max_bad: Number of unreadable images that are tolerated. One more stops the extraction before its
            shard is written. Each process counts its own images and those of finished shards. None tolerates
            any number: the cache lists them as failed.

    Raises:
        DetectorError: More than ``max_bad`` images are unreadable, or a number is out of range.
        CacheError: ``out`` contains something else, was started with another detector or other images, or is
            not writable; or another process is writing the same shards.

    >>> from tempfile import TemporaryDirectory
    >>> import numpy as np
    >>> from mmdet.registry import MODELS
    >>> from mmengine.config import Config
    >>> from mmengine.registry import init_default_scope
    >>> from PIL import Image
    >>> from detector.extraction.loading import load_detector
    >>> config = Config.fromfile("configs/detector/ssdlite_resnet_fleet.py")
    >>> init_default_scope("mmdet")
    >>> weights = MODELS.build(config.model.copy()).state_dict()  # random; use a trained checkpoint
    >>> with TemporaryDirectory() as folder:
    ...     torch.save(weights, f"{folder}/detector.pth")
    ...     Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(f"{folder}/a.png")
    ...     detector = load_detector(config, f"{folder}/detector.pth", max_parts=4, device="cpu")
    ...     done = extract(detector, folder, ["a.png"], f"{folder}/parts", workers=0, progress=False)
    ...     done.processed, done.cache.parts("a.png").boxes.shape
    (1, (4, 4))
    """
    start = time.perf_counter()
    if batch_size is None:
        batch_size = 4 if detector.device.type == "cpu" else 64
    workers = _default_workers(detector.device) if workers is None else workers
    _check_numbers(batch_size, shard_size, workers, max_bad)
    facts = {"config": detector.config}
    writer = PartCacheWriter(out, images, detector.identity, facts, shard_size)
    shards: Iterable[int] = claim(writer, split)
    total = len(writer.images)
    if split is None or not split.helps:
        shards = list(shards)
        total = sum(len(writer.shard(index)) for index in shards)
    bad_images = _BadImages(max_bad, writer)
    processed = 0
    gathered: list[Parts | str] = []
    bar = tqdm(total=total, unit="image", desc="parts", disable=not progress or not total)
    with bar, closing(_detect_all(detector, root, writer, shards, batch_size, workers)) as batches:
        for shard, is_last, results in batches:
            bad_images.count(writer.shard(shard)[len(gathered) :], results)
            gathered += results
            processed += len(results)
            bar.update(len(results))
            if is_last:
                writer.write(shard, gathered)
                gathered = []
    return Extraction(_finish(writer, split), processed, time.perf_counter() - start)


def _check_numbers(batch_size: int, shard_size: int, workers: int, max_bad: int | None) -> None:
    if batch_size < 1 or shard_size not in SHARD_SIZES or workers < 0:
        raise DetectorError(
            f"--batch-size {batch_size} and --shard-size {shard_size} must be at least 1, the latter at most "
            f"{SHARD_SIZES[-1]}; --workers {workers} must be at least 0"
        )
    if max_bad is not None and max_bad < 0:
        raise DetectorError(f"--max-bad {max_bad} must be 0 or more; omit it for any number")


def _default_workers(device: torch.device) -> int:
    """Processes that keep a device busy: a CPU takes about five times as long per image as one of them."""
    if device.type == "cpu":
        return torch.get_num_threads() // 4
    return min(4, max(1, (os.cpu_count() or 2) - 1))


class _BadImages:
    """Counts unreadable images and stops the extraction above the limit."""

    def __init__(self, limit: int | None, writer: PartCacheWriter) -> None:
        self.limit = limit
        self.number = 0 if limit is None else writer.shards.num_failed()

    def count(self, images: Sequence[str], results: Sequence[Parts | str]) -> None:
        """Count the results of a batch, given the images that begin with it."""
        bad = [
            f"{image}: {result}"
            for image, result in zip(images, results)
            if isinstance(result, str)
        ]
        self.number += len(bad)
        if self.limit is not None and bad and self.number > self.limit:
            raise DetectorError(
                f"{self.number} images could not be read, more than --max-bad {self.limit}; the last is "
                f"{bad[-1]}: fix the files or raise the limit; the same command resumes from here"
            )


def _finish(writer: PartCacheWriter, split: Split | None) -> PartCache | None:
    """Assemble the cache if this is the last process to finish and no shard is missing."""
    if split is None:
        return writer.finish()
    # Release first: if two processes finished at once and kept their locks, neither could lock all shards.
    writer.shards.release()
    if not writer.pending() and writer.take():
        return writer.finish()
    return None


def _detect_all(
    detector: PartDetector,
    root: str | os.PathLike[str],
    writer: PartCacheWriter,
    shards: Iterable[int],
    batch_size: int,
    workers: int,
) -> Generator[tuple[int, bool, list[Parts | str]], None, None]:
    """Yield (shard, whether the batch is the last of its shard, results of the batch)."""
    started: deque[tuple[int, bool]] = deque()

    def batches() -> Iterator[list[str]]:
        # Batches do not cross shards, so a resumed run or another process forms the same ones.
        for shard in shards:
            names = writer.shard(shard)
            for start in range(0, len(names), batch_size):
                started.append((shard, start + batch_size >= len(names)))
                yield names[start : start + batch_size]

    loader = DataLoader(
        _ImageDataset(Path(root), detector.pipeline),
        batch_sampler=batches(),
        num_workers=workers,
        collate_fn=list,
        pin_memory=False,
        prefetch_factor=4 if workers else None,
    )

    def detect(items: list[dict[str, Any] | str]) -> list[Parts | str]:
        readable = [item for item in items if not isinstance(item, str)]
        found = iter(detector.detect(readable) if readable else [])
        return [item if isinstance(item, str) else next(found) for item in items]

    # `iter` forks the reader processes, which must happen before threads start.
    for results in map_in_threads(detect, iter(loader), count_worker_threads(detector.device)):
        yield *started.popleft(), results


class _ImageDataset(Dataset):
    """Images by path, prepared for the network; an unreadable image gives the reason instead."""

    def __init__(self, root: Path, pipeline: list[dict[str, Any]]) -> None:
        self.root = root
        self.prepare = Compose(pipeline)

    def __getitem__(self, image: str) -> dict[str, Any] | str:
        try:
            return self.prepare({"img_path": str(self.root / image), "img_id": 0})
        except ImageError as error:
            return error.reason
