"""From image files to features: the one way in which images get into a gallery, and queries to it."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from mmengine.registry import init_default_scope
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from detector.cache import PartCache, Parts
from detector.images import ImageError
from pgan.apis import load_reid_config, refuse_foreign_weights
from pgan.datasets import collate_reid
from pgan.datasets.image_list import ImageList
from pgan.engine import load_plain, seed_worker
from pgan.gallery.part_source import PartSource
from pgan.models import ReIDModel
from pgan.registry import MODELS

# Keys of a model's config that its test feature does not depend on.
_TRAINING = ("num_vehicles", "loss_weights", "metric_losses", "label_smoothing", "channels_last")


@dataclass(frozen=True, eq=False)
class Embedded:
    """An image as a model sees it.

    Attributes:
        feature: (C,) float32.
        parts: What the model looked at; None for a model without part boxes.
        weights: (n,) float32 attention weight of each; None likewise.
        classes: Names of the parts' labels.
    """

    feature: np.ndarray
    parts: Parts | None = None
    weights: np.ndarray | None = None
    classes: tuple[str, ...] = ()


class Embedder:
    """A trained model that gives image files their features.

    Args:
        config: File of its config.
        checkpoint: Its weights.
        options: Config keys to override.
        device: ``'cpu'``, ``'cuda'`` …; None for a GPU where there is one.

    Attributes:
        cfg: The config.
        model: In evaluation mode.
        num_parts: D; 0 for a model without part boxes.
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
        self.cfg = load_reid_config(config, options)
        init_default_scope(self.cfg.get("default_scope", "pgan"))
        self.model: ReIDModel = MODELS.build({**self.cfg.model, "num_vehicles": None})
        refuse_foreign_weights(self.model, checkpoint)
        state = load_plain(checkpoint)
        self.model.load_state_dict(state.get("state_dict", state), strict=False)
        self.model.to(device or ("cuda" if torch.cuda.is_available() else "cpu")).eval()
        parts = self._dataset.get("num_parts") or 0
        self.num_parts = int(parts) if self.model.needs_parts() else 0
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

    @torch.inference_mode()
    def _run(self, packed: list[dict[str, Any]], cache: PartCache | None) -> Iterator[Embedded]:
        for sample in self.model.test_step(collate_reid(packed)):
            feature = sample.feature.numpy()
            if cache is None or cache.mask_size:
                yield Embedded(feature)
                continue
            parts = cache.parts(sample.img_path, self.num_parts)
            weights = sample.part_weights.numpy()[: len(parts)]
            yield Embedded(feature, parts, weights, cache.classes)


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
