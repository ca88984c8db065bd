"""From image files to features: the one way in which images get into a gallery, and queries to it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from detector.cache import PartCache
from detector.images import ImageError
from pgan.datasets.image_list import ImageList
from pgan.engine import seed_worker
from pgan.gallery.part_source import PartSource
from pgan.models import ReIDModel
from pgan.vehicle_reid import Embedded, VehicleReID

# Keys of a model's config that its test feature does not depend on.
_TRAINING = ("num_vehicles", "loss_weights", "metric_losses", "label_smoothing", "channels_last")


class Embedder(VehicleReID):
    """A trained model that gives image files their features, with parts from part caches too.

    Args:
        config: File of its config.
        checkpoint: Its weights.
        options: Config keys to override.
        device: ``'cpu'``, ``'cuda'`` …; None for a GPU where there is one.

    Attributes:
        description: As a gallery remembers it: fingerprint and what it is of, config, checkpoint.

    Raises:
        ConfigError, CheckpointError: See there.
    """

    def __init__(
        self,
        config: str,
        checkpoint: str,
        options: dict[str, Any] | None = None,
        device: str | None = None,
    ) -> None:
        super().__init__(config, checkpoint, options=options, device=device)
        self.description = self._describe(config, checkpoint)

    def _describe(self, config: str, checkpoint: str) -> dict[str, Any]:
        settings = _plain({k: v for k, v in self.cfg.model.to_dict().items() if k not in _TRAINING})
        settings["backbone"].pop("weights", None)  # what it began with
        facts = {
            "its weights": _digest_of_weights(self.model),
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
            parts: Where part boxes come from.
            progress: Show a bar, on a terminal.

        Yields:
            Path, and the image as the model sees it, or why it cannot be read.

        Raises:
            GalleryError: The model needs the parts of an image that has none.
        """
        with tqdm(
            total=len(files), unit="image", desc="features", disable=None if progress else True
        ) as bar:
            for root, names, cache in parts.divide(files, self.num_parts):
                for name, found in self._embed(root, names, cache):
                    bar.update()
                    yield os.path.join(root, name), found

    def _embed(
        self, root: str, names: list[str], cache: PartCache | None
    ) -> Iterator[tuple[str, Embedded | str]]:
        failed = {name: cache.failed[name] for name in names if cache and name in cache.failed}
        failed |= {n: "no such file" for n in names if not os.path.isfile(os.path.join(root, n))}
        yield from failed.items()
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
                yield names[done], item if isinstance(item, str) else next(seen)
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


def _digest_of_weights(model: ReIDModel) -> str:
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(tensor.cpu().numpy()).data)
    return digest.hexdigest()


def _plain(value: Any) -> Any:
    """Configs as JSON values, in which tuples are lists."""
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return value
