"""From image files to features: the one way in which images get into a gallery, and queries to it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from detector.cache import PartCache
from detector.common.images import ImageError
from pgan.datasets.image_list import ImageList
from pgan.engine import seed_worker
from pgan.engine.fingerprint import fingerprint
from pgan.gallery.errors import GalleryError
from pgan.gallery.part_source import PartSource, below
from pgan.inference.vehicle_reid import Embedded, VehicleReID

# Keys of a model's config that its test feature does not depend on.
_TRAINING = ("num_vehicles", "loss_weights", "metric_losses", "label_smoothing", "channels_last")
_MEND = (
    "say --part-cache CACHE, one that tools/extract_parts.py made of these images (and --data-root, the "
    "folder that its paths are below), or --detector CONFIG CHECKPOINT to look for parts now"
)


class Embedder(VehicleReID):
    """A trained model that gives image files their features, with parts from part caches too.

    Args:
        config: File of its config.
        checkpoint: Its weights.
        detector: Config and checkpoint of what finds the parts of images that are in no part cache.
        options: Config keys to override.
        device: ``'cpu'``, ``'cuda'`` …; None for a GPU where there is one.

    Attributes:
        description: As a gallery remembers it: fingerprint and what it is of, config, checkpoint.

    Raises:
        ConfigError, CheckpointError, DetectorError: See there.
    """

    def __init__(
        self,
        config: str,
        checkpoint: str,
        detector: Sequence[str] | None = None,
        options: dict[str, Any] | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__(config, checkpoint, detector, options, device)
        self.description = self._describe(config, checkpoint)

    def _describe(self, config: str, checkpoint: str) -> dict[str, Any]:
        settings = _plain({k: v for k, v in self.cfg.model.to_dict().items() if k not in _TRAINING})
        settings["backbone"].pop("weights", None)  # what it began with
        facts = {
            "its weights": fingerprint(self.model),
            "model": settings,
            "pipeline": _plain(self._dataset["pipeline"]),
            "num_parts": self.num_parts,
        }
        digest = hashlib.sha256(repr(sorted(facts.items())).encode()).hexdigest()
        return {
            "type": type(self.model).__name__,
            "config": os.path.abspath(config),
            "checkpoint": os.path.abspath(checkpoint),
            "fingerprint": digest,
            "facts": facts,
        }

    @property
    def _dataset(self) -> dict[str, Any]:
        return self.cfg.test_dataloader.dataset.to_dict()

    @property
    def whole_config(self) -> dict[str, Any]:
        """The config as JSON values, which `pgan.apis.load_config` reads again."""
        return _plain(self.cfg.to_dict())

    def embed(
        self, files: Sequence[str], parts: PartSource, progress: bool = False
    ) -> Iterator[tuple[str, Embedded | str]]:
        """Give each file its feature, one after the other.

        Args:
            files: Absolute paths, each once.
            parts: Part caches; what is in none of them is left to the detector.
            progress: Show a bar, on a terminal.

        Yields:
            Path, and the image as the model sees it, or why it cannot be read.

        Raises:
            GalleryError: The model needs parts, and an image is in no cache, and there is no detector; raised
                before the first image.
        """
        cached, left = parts.divide(files) if self.num_parts else ([], list(files))
        if left and self.num_parts and self._finder is None:
            where = f", looked up in {parts}" if parts.caches else ""
            raise GalleryError(
                f"{left[0]}: this model needs its parts, and they are in no part cache ({len(left)} of "
                f"{len(files)} images{where}): {_MEND}"
            )
        hidden = None if progress else True  # None: where there is no terminal
        with tqdm(total=len(files), unit="image", desc="features", disable=hidden) as bar:
            for file, found in chain(
                *(self._embed(*group) for group in cached),
                self._embed_uncached(left) if left else (),
            ):
                bar.update()
                yield file, found

    def _embed_uncached(self, files: list[str]) -> Iterator[tuple[str, Embedded | str]]:
        if not self.num_parts:
            root = os.path.commonpath([os.path.dirname(file) for file in files])
            yield from self._embed(root, [below(root, file) for file in files])
            return
        for file, found in zip(files, self.stream(files)):
            yield file, found.reason if isinstance(found, ImageError) else found

    def _embed(
        self, root: str, names: list[str], cache: PartCache | None = None
    ) -> Iterator[tuple[str, Embedded | str]]:
        failed = {name: cache.failed[name] for name in names if cache and name in cache.failed}
        failed |= {n: "no such file" for n in names if not os.path.isfile(os.path.join(root, n))}
        yield from ((os.path.join(root, name), reason) for name, reason in failed.items())
        names = [name for name in names if name not in failed]
        if not names:
            return
        dataset = ImageList(
            names,
            data_root=root,
            # Where no part is to be looked at, as for D = 0, the samples have empty slots nevertheless.
            part_cache=str(cache.path) if cache else "none" if self.model.needs_parts() else None,
            num_parts=self.num_parts,
            pipeline=self._dataset["pipeline"],
        )
        size = self.cfg.test_dataloader.batch_size
        batches = -(-len(names) // size)
        workers = min(self.cfg.test_dataloader.get("num_workers", 0), batches - 1)
        loader = DataLoader(
            _Readable(dataset),
            size,
            num_workers=workers,
            collate_fn=list,
            worker_init_fn=seed_worker,
        )
        done = 0
        for packed in loader:
            readable = [item for item in packed if not isinstance(item, str)]
            seen = iter(self._run(readable, cache) if readable else [])
            for item in packed:
                file = os.path.join(root, names[done])
                yield file, item if isinstance(item, str) else next(seen)
                done += 1

    def _run(self, packed: list[dict[str, Any]], cache: PartCache | None) -> Iterator[Embedded]:
        if cache is None or cache.mask_size:
            return self._embed_batch(packed, [None] * len(packed))
        names = [item["data_samples"].img_path for item in packed]
        parts = [cache.parts(name, self.num_parts) for name in names]
        return self._embed_batch(packed, parts, cache.classes)


class _Readable(Dataset):
    """A data set that gives the reason in words for an image that cannot be read."""

    def __init__(self, dataset: ImageList) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> dict[str, Any] | str:
        try:
            return self.dataset[index]
        except ImageError as error:
            return error.reason


def _plain(value: Any) -> Any:
    """Configs as JSON values, in which tuples are lists."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
