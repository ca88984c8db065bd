"""Exact resume: a killed and resumed run ends bit-identical to an uninterrupted one.

No random state is saved. Random numbers are seeded from the position in the run: the augmentation of a sample
from (seed, epoch, step, position in the global batch), whichever worker computes it and however far it
prefetches; everything else in a step, such as dropout, from (seed, rank, step). The sampler's position is the
step, which every checkpoint holds. So nothing is lost with the process, and the draws do not depend on the
number of workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain, count, repeat
from typing import Any, NamedTuple

from mmengine.dataset import InfiniteSampler
from mmengine.dist import get_rank
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop
from torch.utils.data import DataLoader, Dataset, Sampler

from pgan.engine.seeding import seed_all
from pgan.registry import HOOKS

_EPOCH, _STEP, _SAMPLE = range(3)  # kinds of draws, so that no two share a seed
_LENGTH = "batches_per_epoch"  # in a checkpoint's meta
_LOADER_OPTIONS = (
    *("num_workers", "collate_fn", "pin_memory", "timeout", "worker_init_fn", "generator"),
    *("multiprocessing_context", "prefetch_factor", "persistent_workers"),
)


class Draw(NamedTuple):
    """A sample as the sampler draws it: its row in the data set, and the seeds of its augmentation."""

    row: int
    seeds: tuple[int, ...]


class SeededDataset(Dataset):
    """A data set that seeds the random numbers of each sample from its `Draw`.

    Args:
        dataset: The data set; its other attributes are passed through.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __getattr__(self, name: str) -> Any:
        if name == "dataset" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.dataset, name)

    def __getitem__(self, draw: Draw) -> Any:
        seed_all(*draw.seeds)
        return self.dataset[draw.row]

    def __len__(self) -> int:
        return len(self.dataset)


class NumberedBatches(Sampler):
    """The batches of another batch sampler with the seeds of their samples, starting at any batch.

    Skipped batches are indices only: no sample is read.

    Args:
        batches: Batch sampler of a `DataLoader`.
        seed: Seed of the run.

    Attributes:
        epoch: The current epoch.
        begin: Number of batches of the epoch to skip.
    """

    def __init__(self, batches: Any, seed: int) -> None:
        self.batches, self.seed = batches, seed
        self.epoch = self.begin = 0

    @property
    def sampler(self) -> Any:
        """The sampler, on which mmengine calls ``set_epoch``."""
        return self.batches.sampler

    def __iter__(self) -> Iterator[list[Draw]]:
        for step, batch in enumerate(self.batches):
            if step >= self.begin:
                yield self._draws(step, batch)

    def _draws(self, step: int, batch: list[int]) -> list[Draw]:
        place = get_rank() * len(batch)
        seeds = (self.seed, _SAMPLE, self.epoch, step)
        return [Draw(index, (*seeds, place + slot)) for slot, index in enumerate(batch)]

    def __len__(self) -> int:
        return len(self.batches)


class EndlessBatches(NumberedBatches):
    """Numbered batches of one epoch after the other, for a loop that counts steps only.

    Attributes:
        begin: Number of batches to skip, counted from the first epoch.
    """

    def __iter__(self) -> Iterator[list[Draw]]:
        skipped = 0
        for self.epoch in count():
            # Torch's own shuffling is seeded per epoch, everything in a step per step.
            seed_all(self.seed, _EPOCH, get_rank(), self.epoch)
            if hasattr(self.sampler, "set_epoch"):
                self.sampler.set_epoch(self.epoch)
            length = 0
            for length, batch in enumerate(self.batches, 1):
                if skipped < self.begin:
                    skipped += 1
                else:
                    yield self._draws(length - 1, batch)
            if not length:
                return


@HOOKS.register_module()
class ExactResumeHook(Hook):
    """Resume at the exact step of the checkpoint, with the random numbers of an uninterrupted run.

    mmengine restores weights, optimizer, schedulers and log, but draws other random numbers and restarts the
    epoch. A checkpoint of a run with another number of batches per epoch (another batch size, data set or
    number of processes) resumes at the start of its epoch, with a warning.

    `EpochBasedTrainLoop` and `IterBasedTrainLoop` resume exactly, with any sampler. Other loops are left to
    mmengine, with a warning.
    """

    priority = "VERY_HIGH"

    def __init__(self) -> None:
        self.saved_length: int | None = None
        self.batches: NumberedBatches | None = None

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Read the number of batches per epoch."""
        self.saved_length = (checkpoint.get("meta") or {}).get(_LENGTH)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Save the number of batches per epoch."""
        checkpoint["meta"][_LENGTH] = len(runner.train_dataloader)

    def before_train(self, runner: Any) -> None:
        """Number the batches of the data loader, and skip those before the checkpoint."""
        loop = runner.train_loop
        sampler = loop.dataloader.batch_sampler
        if sampler is not None and isinstance(loop, EpochBasedTrainLoop):
            self._number_epochs(runner, loop, NumberedBatches(sampler, runner.seed))
        elif sampler is not None and isinstance(loop, IterBasedTrainLoop):
            self._number_steps(runner, loop, EndlessBatches(sampler, runner.seed))
        else:
            runner.logger.warning(
                f"{type(loop).__name__} does not resume exactly: use EpochBasedTrainLoop or "
                "IterBasedTrainLoop with a batch sampler."
            )

    def _number_epochs(
        self, runner: Any, loop: EpochBasedTrainLoop, batches: NumberedBatches
    ) -> None:
        loop.dataloader, self.batches = _numbered(loop.dataloader, batches), batches
        if self._same_length(runner, f"epoch {runner.epoch + 1} restarts"):
            batches.begin = runner.iter - runner.epoch * len(batches)
        run_iter = loop.run_iter
        # The loop counts the batches it receives, the log those of the epoch.
        loop.run_iter = lambda number, batch: run_iter(batches.begin + number, batch)

    def _number_steps(self, runner: Any, loop: IterBasedTrainLoop, batches: EndlessBatches) -> None:
        if isinstance(batches.sampler, InfiniteSampler):
            # The loop has advanced the sampler already: restart its indices.
            batches.sampler.indices = batches.sampler._indices_of_rank()
        self._same_length(runner, "it continues with other images")
        batches.begin = runner.iter
        loop.dataloader, self.batches = _numbered(loop.dataloader, batches), batches
        # The loop requests the skipped batches as well.
        loop.dataloader_iterator = chain(repeat(None, runner.iter), loop.dataloader)

    def _same_length(self, runner: Any, otherwise: str) -> bool:
        length = len(runner.train_dataloader)
        if runner.iter and self.saved_length not in (None, length):
            runner.logger.warning(
                f"An epoch has {length} batches, but had {self.saved_length} when the checkpoint was "
                f"written: {otherwise}, and the result differs from that of an uninterrupted run."
            )
        return self.saved_length == length

    def before_train_epoch(self, runner: Any) -> None:
        """Seed the random numbers of an epoch, such as torch's own shuffling."""
        if self.batches is not None:
            self.batches.epoch = runner.epoch
        seed_all(runner.seed, _EPOCH, get_rank(), runner.epoch)

    def before_train_iter(self, runner: Any, *args: Any, **kwargs: Any) -> None:
        """Seed the random numbers of a step."""
        seed_all(runner.seed, _STEP, get_rank(), runner.iter)

    def after_train_epoch(self, runner: Any) -> None:
        """Skip no batch of the next epoch."""
        if self.batches is not None:
            self.batches.begin = 0
        if isinstance(self.batches, EndlessBatches):
            # End the workers now: the garbage collector would wait five seconds for each.
            runner.train_loop.dataloader_iterator = iter(())


def _numbered(loader: DataLoader, batches: NumberedBatches) -> DataLoader:
    options = {name: getattr(loader, name) for name in _LOADER_OPTIONS}
    return DataLoader(SeededDataset(loader.dataset), batch_sampler=batches, **options)
