"""Images in, part cache out: the detector run over many images, resumable."""

from __future__ import annotations

import math
import os
import time
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmdet.registry import MODELS
from mmengine.config import Config, ConfigDict
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from detector.cache import PartCache, Parts
from detector.cache.layout import MANIFEST_SHAPE
from detector.cache.writer import SHARD_SIZES, PartCacheWriter
from detector.common.attributes import ATTRIBUTES
from detector.common.checkpoint import in_words, misfits, read_checkpoint, weights_of
from detector.common.device import usable_device
from detector.common.errors import DetectorError
from detector.common.files import file_sha256
from detector.common.images import ImageError
from detector.common.schema import fits
from detector.extraction.work_split import Share, claim
from detector.extraction.worker_threads import count_lanes, map_in_lanes
from detector.model.batch_norm_folding import fold_norms
from detector.model.preprocessing import with_fewer_copies

_ANNOTATION_STEPS = ("LoadAnnotations", "mmdet.LoadAnnotations")


@dataclass(frozen=True)
class PartDetector:
    """A trained detector, ready to predict.

    Attributes:
        model: mmdet's model on its device, in evaluation mode, see `detector.model.batch_norm_folding`.
        pipeline: The config's test pipeline without the annotations, see `detector.model.preprocessing`.
        classes: Names of the labels.
        identity: What its boxes depend on, as JSON values.
        config: The resolved config as text.
        device: Where it runs.
        amp: Whether it runs in half precision.
    """

    model: torch.nn.Module
    pipeline: list[dict[str, Any]]
    classes: tuple[str, ...]
    identity: dict[str, Any]
    config: str
    device: torch.device
    amp: bool

    def detect(self, batch: Sequence[dict[str, Any]]) -> list[Parts]:
        """Find the parts of images that the pipeline has prepared.

        Returns:
            For each image its parts in pixels of the stored image, clipped to it.
        """
        precision = torch.autocast(self.device.type) if self.amp else nullcontext()
        data = {key: [item[key] for item in batch] for key in ("inputs", "data_samples")}
        with torch.inference_mode(), precision:
            samples = self.model.test_step(data)
        return [_parts(sample) for sample in samples]


@dataclass(frozen=True)
class Extraction:
    """What one process has done of an extraction.

    Attributes:
        cache: What was written; None where shards of other processes are missing, or another one finishes it.
        processed: Images that this run looked at; those before a stop are not counted.
        seconds: What this run took.
    """

    cache: PartCache | None
    processed: int
    seconds: float


def load_detector(
    config: Config,
    checkpoint: str | os.PathLike[str],
    max_parts: int,
    score_threshold: float = 0.0,
    device: str | None = None,
    amp: bool | None = None,
) -> PartDetector:
    """Build a detector and load its weights.

    Args:
        config: Detector config.
        checkpoint: File of tensors and plain values.
        max_parts: Most confident boxes kept of an image, whatever their label.
        score_threshold: Boxes that are not above it are dropped; 0 keeps all, as the paper does.
        device: 'cpu', 'cuda', 'cuda:1'; None for a GPU where there is one.
        amp: Half precision; None for yes on a GPU.

    Raises:
        DetectorError: The checkpoint cannot be read, is damaged, of another model, or holds NaN; the
            device cannot be used; or a number makes no sense.
    """
    if max_parts not in (counts := MANIFEST_SHAPE["identity"]["max_parts"]):
        raise DetectorError(
            f"max_parts must be at least 1 and at most {counts[-1]}, not {max_parts}"
        )
    if not math.isfinite(score_threshold):
        raise DetectorError(f"score_threshold must be a number such as 0.5, not {score_threshold}")
    target = usable_device(device, DetectorError)
    if amp and target.type == "cpu":
        raise DetectorError("half precision needs a GPU: leave --amp out")
    amp = target.type == "cuda" if amp is None else amp
    text = config.pretty_text
    init_default_scope(config.get("default_scope", "mmdet"))
    settings = config.model.to_dict()
    test_cfg = settings.get("test_cfg") or {}
    settings["test_cfg"] = test_cfg | {"score_thr": score_threshold, "max_per_img": max_parts}
    pipeline = [
        step
        for step in config.test_dataloader.dataset.to_dict()["pipeline"]
        if step["type"] not in _ANNOTATION_STEPS
    ]
    settings["data_preprocessor"] = with_fewer_copies(settings["data_preprocessor"])
    model = MODELS.build(ConfigDict(settings))
    content = read_checkpoint(checkpoint, DetectorError)
    _load_weights(model, weights_of(content), checkpoint)
    classes = _classes(config, content, model, checkpoint)
    steps = [with_fewer_copies(step) for step in pipeline]
    model = fold_norms(model.to(target).eval(), steps).to(memory_format=torch.channels_last)
    identity = {
        "weights_sha256": file_sha256(checkpoint),
        "classes": list(classes),
        "max_parts": max_parts,
        "score_threshold": score_threshold,
        "precision": "half" if amp else "single",
        "pipeline": pipeline,
        "model": config.model.to_dict(),
    }
    return PartDetector(model, steps, classes, identity, text, target, amp)


def extract(
    detector: PartDetector,
    root: str | os.PathLike[str],
    images: Sequence[str],
    out: str | os.PathLike[str],
    batch_size: int | None = None,
    workers: int | None = None,
    shard_size: int = 1024,
    progress: bool = True,
    share: Share | None = None,
    max_bad: int | None = None,
) -> Extraction:
    """Find the parts of all images and write them as a part cache; goes on where it was stopped.

    Of processes that share the images, the one that ends last makes the cache of what all have found.

    Args:
        detector: Of `load_detector`.
        root: Folder that the images' paths are relative to.
        images: Paths with forward slashes.
        out: Folder of the cache.
        batch_size: Images at once; None for 4 on a CPU, where larger ones are slower, and 64 on a
            GPU.
        workers: Processes that read and resize images; 0 does it in this one, while the batches before are in
            the network. None for one for each four threads on a CPU, none up to three, and up to 4 on a GPU.
        shard_size: Images between two points from which a stopped extraction goes on.
        progress: Show a bar.
        share: Which of the images, where several processes work on them; None for all.
        max_bad: Images that may be unreadable; the one after them stops the extraction, before the shard that
            it is in is written. Each process counts its own and those of shards finished before. None for any
            number of them: they are listed in the cache as failed.

    Raises:
        DetectorError: More images than ``max_bad`` cannot be read, or it or another number makes no sense.
        CacheError: `out` holds something else, was begun with another detector or other images, cannot be
            written to, or another process is writing the same.
    """
    start = time.perf_counter()
    if batch_size is None:
        batch_size = 4 if detector.device.type == "cpu" else 64
    workers = _readers(detector.device) if workers is None else workers
    if batch_size < 1 or shard_size not in SHARD_SIZES or workers < 0:
        raise DetectorError(
            f"--batch-size {batch_size} and --shard-size {shard_size} are at least 1, the latter at most "
            f"{SHARD_SIZES[-1]}; --workers {workers} is at least 0"
        )
    if max_bad is not None and max_bad < 0:
        raise DetectorError(f"--max-bad {max_bad}: it is 0 or more; leave it out for any number")
    facts = {"config": detector.config}
    writer = PartCacheWriter(out, images, detector.identity, facts, shard_size)
    total = len(writer.images)
    if share is None or not share.helps:
        shards = list(claim(writer, share))
        total = sum(len(writer.shard(index)) for index in shards)
    else:
        shards = claim(writer, share)
    processed, gathered = 0, []
    bad = 0 if max_bad is None else writer.shards.num_failed()
    bar = tqdm(total=total, unit="image", desc="parts", disable=not progress or not total)
    with bar, closing(_detect_all(detector, root, writer, shards, batch_size, workers)) as batches:
        for shard, last, results in batches:
            reasons = zip(writer.shard(shard)[len(gathered) :], results)
            unread = [": ".join(pair) for pair in reasons if isinstance(pair[1], str)]
            bad += len(unread)
            if max_bad is not None and unread and bad > max_bad:
                raise DetectorError(
                    f"{bad} images could not be read, more than --max-bad {max_bad}; the last is "
                    f"{unread[-1]}: mend the files or say a larger number; the same command goes on from here"
                )
            gathered += results
            processed += len(results)
            bar.update(len(results))
            if last:
                writer.write(shard, gathered)
                gathered = []
    return Extraction(_finish(writer, share), processed, time.perf_counter() - start)


def _readers(device: torch.device) -> int:
    """Processes that keep a device supplied; a CPU takes some five times as long for an image as they do."""
    if device.type == "cpu":
        return torch.get_num_threads() // 4
    return min(4, max(1, (os.cpu_count() or 2) - 1))


def _finish(writer: PartCacheWriter, share: Share | None) -> PartCache | None:
    """Make the cache, if this is the last process to end and nothing is missing."""
    if share is None:
        return writer.finish()
    # Let go first: of two that end at once and keep theirs, neither could take all.
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
) -> Iterator[tuple[int, bool, list[Parts | str]]]:
    """Yield (shard, whether it is the shard's last batch, results of the batch)."""
    begun: deque[tuple[int, bool]] = deque()

    def batches() -> Iterator[list[str]]:
        # Batches begin anew with each shard: a resumed run, or another process, makes up the same ones.
        for shard in shards:
            names = writer.shard(shard)
            for start in range(0, len(names), batch_size):
                begun.append((shard, start + batch_size >= len(names)))
                yield names[start : start + batch_size]

    loader = DataLoader(
        _Images(Path(root), detector.pipeline),
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

    # Processes are begun before threads.
    for results in map_in_lanes(detect, iter(loader), count_lanes(detector.device)):
        yield *begun.popleft(), results


class _Images(Dataset):
    """Images by path, prepared for the network; a reason in words for one that cannot be read."""

    def __init__(self, root: Path, pipeline: list[dict[str, Any]]) -> None:
        self.root = root
        self.prepare = Compose(pipeline)

    def __getitem__(self, image: str) -> dict[str, Any] | str:
        try:
            return self.prepare({"img_path": str(self.root / image), "img_id": 0})
        except ImageError as error:
            return error.reason


def _parts(sample: Any) -> Parts:
    """The boxes of mmdet's answer for one image, clipped to it; empty ones go."""
    found = sample.pred_instances
    height, width = (int(length) for length in sample.ori_shape)
    boxes = found.bboxes.float().cpu().numpy()
    boxes = np.clip(boxes, 0, np.array([width, height, width, height], np.float32))
    real = (boxes[:, :2] < boxes[:, 2:]).all(1)
    scores, labels = found.scores.float().cpu().numpy(), found.labels.cpu().numpy()
    return Parts(boxes[real], scores[real], labels[real].astype(np.int64), (height, width))


def _load_weights(model: torch.nn.Module, weights: dict[str, torch.Tensor], path: Any) -> None:
    if faults := misfits(model.state_dict(), weights):
        raise DetectorError(
            f"{path} is of another model than the config: {in_words(faults)}. Give the config that it was "
            "trained with"
        )
    if broken := [name for name, value in weights.items() if not value.isfinite().all()]:
        raise DetectorError(
            f"{path}: {len(broken)} tensors hold NaN or infinity (first: {broken[0]}): its training "
            "diverged; use another checkpoint"
        )
    model.load_state_dict(weights)


def _classes(
    config: Config, content: dict[str, Any], model: torch.nn.Module, path: Any
) -> tuple[str, ...]:
    """Names of the labels: the checkpoint's, else the config's, else Table I's."""
    stated = (content.get("meta") or {}).get("dataset_meta", {})
    names = stated.get("classes") or () if isinstance(stated, dict) else None
    if not isinstance(names, list | tuple) or not fits([*names], [str]):
        raise DetectorError(
            f"{path}: meta.dataset_meta.classes are no names: save its state_dict alone, and the config's "
            "are taken"
        )
    metainfo = config.test_dataloader.dataset.get("metainfo") or {}
    classes = tuple(names or metainfo.get("classes") or ATTRIBUTES)
    number = getattr(getattr(model, "bbox_head", None), "num_classes", len(classes))
    if number != len(classes):
        raise DetectorError(
            f"the model tells {number} classes apart, the data set has {len(classes)}: set "
            "model.bbox_head.num_classes to that number, and train again"
        )
    return classes
