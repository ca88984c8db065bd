"""Extractions for the crash test: noise images and a detector that takes no time, so kills hit the rest."""

from __future__ import annotations

import multiprocessing
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.registry import init_default_scope

import detector.model.dataset  # noqa: F401 - registers the transforms
from detector.cache import Parts
from detector.cache.writer import PartCacheWriter
from detector.common.files import file_sha256, temporary_files
from detector.extraction.extractor import extract
from detector.extraction.part_detector import PartDetector
from detector.extraction.work_split import Split
from pgan.benchmarks.crash_test.images import png, write_once
from pgan.benchmarks.crash_test.kills import Job

_PIPELINE: list[dict[str, Any]] = [
    {"type": "LoadVehicleImage"},
    {"type": "Resize", "scale": (32, 32), "keep_ratio": False},
    {"type": "PackDetInputs", "meta_keys": ("ori_shape",)},
]
_IDENTITY = {"classes": ["wheel", "plate"], "max_parts": 4}


class _MeanDetector(PartDetector):
    """Computes one box from an image's mean: different for each image, the same in every run."""

    def detect(self, batch: Sequence[dict[str, Any]]) -> list[Parts]:
        means = [float(item["inputs"].float().mean()) for item in batch]
        boxes = [np.array([[1, 1, 2 + mean / 16, 20]], np.float32) for mean in means]
        return [
            Parts(box, np.array([mean / 256], np.float32), np.array([int(mean) % 2]), (32, 32))
            for box, mean in zip(boxes, means)
        ]


def extraction(
    data_root: Path, images: int = 120, workers: int = 2, processes: int = 1, shard_size: int = 8
) -> Job:
    """Return an extraction by one process or several ranks; one image in ten is unreadable.

    Args:
        data_root: Folder for the images; existing ones are kept.
        images: Number of images.
        workers: Decoding workers of each rank.
        processes: Number of ranks.
        shard_size: Images per shard.
    """
    names = _draw(data_root, images)
    device = torch.device("cpu")
    stub = _MeanDetector(
        torch.nn.Identity(), _PIPELINE, ("wheel", "plate"), _IDENTITY, "", device, False
    )

    def rank(place: Path, split: Split | None) -> None:
        torch.set_num_threads(1)
        init_default_scope("mmdet")
        extract(
            stub,
            data_root,
            names,
            place,
            batch_size=4,
            workers=workers,
            shard_size=shard_size,
            progress=False,
            split=split,
        )

    def run(place: Path) -> None:
        if processes == 1:
            return rank(place, None)
        context = multiprocessing.get_context("fork")
        splits = [Split(index, processes, helps=True) for index in range(processes)]
        ranks = [context.Process(target=rank, args=(place, split)) for split in splits]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join()
        if any(process.exitcode for process in ranks):
            raise RuntimeError("a rank failed without being killed")
        return None

    return Job(run, temporary_files, _content)


def shared_extraction(data_root: Path) -> Job:
    """Return an extraction by two ranks; see `extraction`."""
    return extraction(data_root, workers=1, processes=2)


def finalisation(data_root: Path, images: int = 20_000) -> Job:
    """Return an import of boxes that takes no time, so that kills hit the assembly of the cache.

    Args:
        data_root: Not used; no image is read.
        images: Number of images.
    """
    names = [f"camera_{number % 20:02}/{number:06}.jpg" for number in range(images)]
    box = np.array([[0, 0, 5, 5]], np.float32)
    parts = Parts(box, np.array([0.5], np.float32), np.array([1]), (10, 10))

    def run(place: Path) -> None:
        writer = PartCacheWriter(place, names, _IDENTITY, shard_size=images // 4)
        writer.fill(lambda image: parts, progress=False)

    return Job(run, temporary_files, _content)


def _content(place: Path) -> dict[str, str]:
    """Return the checksums of all files: a leftover shard or lock is a difference as well."""
    half = set(temporary_files(place))
    return {file.name: file_sha256(file) for file in place.iterdir() if file not in half}


def _draw(root: Path, images: int) -> list[str]:
    rng = np.random.default_rng(0)
    names = [f"images/{number:04}.png" for number in range(images)]
    for number, name in enumerate(names):
        data = png(rng, 32, number + 2)
        if number % 10 == 9:
            data = data[: len(data) // 2] if number % 20 == 9 else b""
        write_once(root / name, data)
    return names
