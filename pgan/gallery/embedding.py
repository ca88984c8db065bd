"""From image files to the features of a gallery, with parts from part caches or the detector."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import chain
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from detector.cache import PartCache, Parts
from detector.common.images import ImageError
from pgan.apis import load_reid_config
from pgan.engine import seed_worker
from pgan.engine.fingerprint import fingerprint
from pgan.gallery.errors import GalleryError
from pgan.gallery.part_source import PartSource
from pgan.inference.feature_extractor import Embedded, FeatureExtractor, SamplePipeline
from pgan.inference.part_finder import PartFinder
from pgan.inference.vehicle_reid import embed_images

# Config keys of a model that its test feature does not depend on.
_TRAINING = ("num_vehicles", "loss_weights", "metric_losses", "label_smoothing", "channels_last")
_FIX = (
    "give --part-cache CACHE, one that tools/extract_parts.py made of these images (and --data-root, the "
    "folder that its paths are relative to), or --detector CONFIG CHECKPOINT to find the parts now"
)


class Embedder:
    """A trained model that embeds image files, with parts from part caches or the detector.

    Args:
        config: Config file of the model.
        checkpoint: Weights of the model.
        detector: Config and checkpoint of the detector for images that are in no part cache; it is loaded
            when the first such image is embedded.
        options: Config keys to override.
        device: ``'cpu'``, ``'cuda'``, …; None for a GPU if there is one.

    Attributes:
        cfg: The config.
        num_parts: D; 0 for a model without part boxes.
        description: What a gallery remembers of the model: config, checkpoint, fingerprint, and what the
            fingerprint is computed from.

    Raises:
        ConfigError: The config or the device cannot be used.
        CheckpointError: The checkpoint cannot be read, or is that of another model.
    """

    def __init__(
        self,
        config: str,
        checkpoint: str,
        detector: Sequence[str] | None = None,
        options: dict[str, Any] | None = None,
        device: str | None = None,
    ) -> None:
        self.cfg = load_reid_config(config, options)
        self._extractor = FeatureExtractor(self.cfg, checkpoint, device)
        self._detector, self._device = detector, device
        self.num_parts = self._extractor.num_parts
        self.description = self._describe(config, checkpoint)

    def _describe(self, config: str, checkpoint: str) -> dict[str, Any]:
        model = self._extractor.model
        settings = _to_json(
            {k: v for k, v in self.cfg.model.to_dict().items() if k not in _TRAINING}
        )
        settings["backbone"].pop("weights", None)  # the initial weights
        facts = {
            "its weights": fingerprint(model),
            "model": settings,
            "pipeline": _to_json(self.cfg.test_dataloader.dataset.to_dict()["pipeline"]),
            "num_parts": self.num_parts,
        }
        digest = hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest()
        return {
            "type": type(model).__name__,
            "config": os.path.abspath(config),
            "checkpoint": os.path.abspath(checkpoint),
            "fingerprint": digest,
            "facts": facts,
        }

    @property
    def whole_config(self) -> dict[str, Any]:
        """The config as JSON values, which `pgan.apis.load_config` reads."""
        return _to_json(self.cfg.to_dict())

    @cached_property
    def _finder(self) -> PartFinder:
        return PartFinder(self._detector or (), self.num_parts, self._device)

    def embed(
        self, files: Sequence[str], parts: PartSource, progress: bool = False
    ) -> Iterator[tuple[str, Embedded | str]]:
        """Embed image files one after the other.

        Args:
            files: Absolute paths, each once.
            parts: Part caches; the detector finds the parts of images that are in none of them.
            progress: Show a progress bar on a terminal.

        Yields:
            Path, and the embedded image, or the reason why it cannot be read.

        Raises:
            GalleryError: The model needs parts, an image is in no cache, and there is no detector; raised
                before the first image.
        """
        cached, rest = parts.divide(files) if self.num_parts else ([], list(files))
        if rest and self.num_parts and not self._detector:
            where = f", looked up in {parts}" if parts.caches else ""
            raise GalleryError(
                f"{rest[0]}: this model needs its parts, and they are in no part cache ({len(rest)} of "
                f"{len(files)} images{where}): {_FIX}"
            )
        disable = None if progress else True  # None: disabled without a terminal
        with tqdm(total=len(files), unit="image", desc="features", disable=disable) as bar:
            for file, result in chain(
                *(self._embed(*group) for group in cached),
                self._detect_and_embed(rest) if self.num_parts else self._embed("", rest),
            ):
                bar.update()
                yield file, result

    def _detect_and_embed(self, files: list[str]) -> Iterator[tuple[str, Embedded | str]]:
        if files:
            for file, result in zip(files, embed_images(self._extractor, self._finder, files)):
                yield file, result.reason if isinstance(result, ImageError) else result

    def _embed(
        self, root: str, names: list[str], cache: PartCache | None = None
    ) -> Iterator[tuple[str, Embedded | str]]:
        """Embed files below a folder whose parts are cached, or that need none."""
        failed = {name: cache.failed[name] for name in names if cache and name in cache.failed}
        failed |= {n: "no such file" for n in names if not os.path.isfile(os.path.join(root, n))}
        yield from ((os.path.join(root, name), reason) for name, reason in failed.items())
        names = [name for name in names if name not in failed]
        size = self.cfg.test_dataloader.batch_size
        batches = -(-len(names) // size)
        workers = min(self.cfg.test_dataloader.get("num_workers", 0), batches - 1)
        loader = DataLoader(
            _Samples(root, names, cache, self._extractor.pipeline),
            size,
            num_workers=max(workers, 0),
            collate_fn=list,
            worker_init_fn=seed_worker,
        )
        remaining = iter(names)
        for batch in loader if names else ():
            readable = [item for item in batch if not isinstance(item, str)]
            embedded = iter(self._extract(readable, cache) if readable else ())
            for item in batch:
                file = os.path.join(root, next(remaining))
                yield file, item if isinstance(item, str) else next(embedded)

    def _extract(
        self, batch: list[tuple[dict[str, Any], Parts | None]], cache: PartCache | None
    ) -> list[Embedded]:
        samples, parts = zip(*batch)
        return self._extractor.extract(samples, parts, cache.classes if cache else ())


class _Samples(Dataset):
    """Prepared samples with their parts; the reason in place of an image that cannot be read."""

    def __init__(
        self, root: str, names: list[str], cache: PartCache | None, pipeline: SamplePipeline
    ) -> None:
        self.root, self.names, self.cache, self.pipeline = root, names, cache, pipeline

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> tuple[dict[str, Any], Parts | None] | str:
        name = self.names[index]
        parts: Parts | np.ndarray | None = None
        if self.cache is not None and self.cache.mask_size:
            parts = self.cache.masks(name, self.pipeline.num_parts, self.cache.mask_size)
        elif self.cache is not None:
            parts = self.cache.parts(name, self.pipeline.num_parts)
        try:
            sample = self.pipeline(os.path.join(self.root, name), parts)
        except ImageError as error:
            return error.reason
        return sample, parts if isinstance(parts, Parts) else None


def _to_json(value: Any) -> Any:
    """Convert config values to JSON values, in which tuples are lists."""
    if isinstance(value, dict):
        return {str(key): _to_json(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_json(item) for item in value]
    return value
