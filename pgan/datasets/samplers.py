"""PK sampling: P identities, K images of each, per batch."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from mmengine.dist import get_dist_info, sync_random_seed
from torch.utils.data import Sampler

from pgan.datasets.errors import DatasetError
from pgan.datasets.reid_dataset import ReIDDataset
from pgan.registry import DATA_SAMPLERS


@DATA_SAMPLERS.register_module()
class PKSampler(Sampler):
    """Draw batches of ``identities`` x ``images`` for batch-hard triplets (Hermans et al., 2017).

    An epoch has as many full batches as the images of the data set fill. Identities are drawn in random
    order, each once before any is repeated. So are the images of an identity, which repeat within a batch
    only if the identity has fewer than ``images``. The draw depends only on seed and epoch.

    Several processes share one draw: together, the batches of W processes with P x K images each are the
    batches of one process with ``identities=W * P``, so no identity is in two of them.

    Args:
        dataset: Training split.
        identities: P, identities per batch of a process.
        images: K, images per identity; the loader's batch size must be P·K.
        seed: Random seed; None for mmengine's, which is the same in every process.

    Raises:
        DatasetError: The data set has fewer than W·P identities.

    >>> from types import SimpleNamespace
    >>> data = SimpleNamespace(vehicle_labels=np.array([0, 0, 0, 1, 1, 2, 2, 2]), data_root="")
    >>> batch = list(PKSampler(data, identities=2, images=2, seed=0))[:4]
    >>> np.unique(data.vehicle_labels[batch], return_counts=True)[1].tolist()
    [2, 2]
    """

    def __init__(
        self,
        dataset: ReIDDataset,
        identities: int = 16,
        images: int = 4,
        seed: int | None = None,
        **_: Any,
    ) -> None:
        self.rank, self.world_size = get_dist_info()
        self.seed = sync_random_seed() if seed is None else seed
        self.identities, self.images, self.epoch = identities, images, 0
        labels = dataset.vehicle_labels
        self.members = [np.flatnonzero(labels == label) for label in np.unique(labels)]
        if len(self.members) < identities * self.world_size:
            spread = f" in each of {self.world_size} processes" if self.world_size > 1 else ""
            raise DatasetError(
                f"{dataset.data_root}: {len(self.members)} training vehicles are too few for batches of "
                f"{identities} identities{spread}: set train_dataloader.sampler.identities lower"
            )
        self.num_batches = max(1, len(labels) // (identities * images * self.world_size))

    def __iter__(self) -> Iterator[int]:
        rng = np.random.default_rng([self.seed, self.epoch])
        identities = _cycle(np.arange(len(self.members)), rng)
        images = [_cycle(members, rng) for members in self.members]
        own = self.identities * self.images
        for _ in range(self.num_batches):
            batch = [
                index
                for identity in _distinct(identities, self.identities * self.world_size)
                for index in _take(images[identity], self.images)
            ]
            yield from batch[own * self.rank : own * (self.rank + 1)]

    def __len__(self) -> int:
        return self.num_batches * self.identities * self.images

    def set_epoch(self, epoch: int) -> None:
        """Set the epoch, which determines the draw."""
        self.epoch = epoch


def _cycle(values: np.ndarray, rng: np.random.Generator) -> Iterator[int]:
    """Yield the values endlessly in random order, each once before any is repeated."""
    while True:
        yield from rng.permutation(values).tolist()


def _take(stream: Iterator[int], count: int) -> list[int]:
    return [next(stream) for _ in range(count)]


def _distinct(stream: Iterator[int], count: int) -> list[int]:
    """Take ``count`` different values: a new permutation may start with one that is in the batch already."""
    taken: dict[int, None] = {}
    while len(taken) < count:
        taken[next(stream)] = None
    return list(taken)
