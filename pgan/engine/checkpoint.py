"""Checkpoints that survive a crash, resume on every torch, and never run code when they are read."""

from __future__ import annotations

import logging
import re
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer, print_log
from mmengine.runner import CheckpointLoader, EpochBasedTrainLoop, IterBasedTrainLoop

from detector.common.checkpoint import is_whole, read_checkpoint
from detector.common.files import temporary_files, write_atomically
from detector.common.schema import COUNT, fits
from pgan.registry import HOOKS

_HISTORY = "_history_buffer"
_VALIDATED = "epoch_validated"  # "val..." would be logged as a metric
_STEP = re.compile(r"\d+(?:_iter_\d+)?")  # of a checkpoint that is kept
_BEST = re.compile(r"best_[^/\\\0]+\.pth")
_NAME = re.compile(r"(?:epoch_(?P<epoch>\d+)(?:_iter_(?P<step>\d+))?|iter_(?P<steps>\d+))\.pth")


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file and how to fix it."""


class AtomicBackend(LocalBackend):
    """mmengine's local storage with atomic writes."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj``; the folder is created if needed."""
        write_atomically(filepath, lambda file: file.write(obj))


register_backend("pgan.atomic", AtomicBackend, force=True)


def to_plain(value: Any) -> Any:
    """Convert a nested value to tensors and built-in types.

    Raises:
        TypeError: A leaf is neither a tensor, a number, a string nor None.
    """
    if isinstance(value, HistoryBuffer):
        # Values and counts as tensors; the class restores its methods.
        return {
            _HISTORY: [torch.from_numpy(np.array(part, dtype=np.float64)) for part in value.data]
        }
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return torch.from_numpy(value.copy())
    if isinstance(value, Mapping):
        return {to_plain(key): to_plain(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return tuple(to_plain(item) for item in value)
    if isinstance(value, (list, deque)):
        return [to_plain(item) for item in value]
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return value
    if isinstance(value, torch.Tensor):
        return value.detach().cpu()
    raise TypeError(f"{type(value).__name__} cannot be converted to tensors and built-in types")


def _restore_history(value: Any) -> Any:
    if isinstance(value, dict) and _HISTORY in value:
        values, counts = (part.cpu().numpy() for part in value[_HISTORY])
        return HistoryBuffer(values, counts)
    return value


def load_plain(path: str, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint of tensors and built-in types; nothing in it is executed.

    Raises:
        CheckpointError: The file is missing, damaged, or holds pickled objects or something else.
    """
    return read_checkpoint(path, CheckpointError, map_location)


def _load_for_mmengine(path: str, map_location: Any = "cpu") -> dict[str, Any]:
    """Read a checkpoint without its config text, which mmengine's ``resume`` would execute."""
    checkpoint = load_plain(path, map_location)
    (checkpoint.get("meta") or {}).pop("config", None)
    return checkpoint


# mmengine's own loader unpickles any object on torch < 2.6, and fails on its own checkpoints on >= 2.6.
CheckpointLoader.register_scheme(prefixes="", loader=_load_for_mmengine, force=True)


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """Return the newest intact checkpoint of a run, or None if it has no checkpoint; log damaged ones.

    Checkpoints are ordered by the numbers in their names (``epoch_3.pth``, ``epoch_3_iter_500.pth``,
    ``epoch_4.pth``; or ``iter_500.pth``), so a moved folder or a damaged ``last_checkpoint`` file does no
    harm.

    Raises:
        CheckpointError: All checkpoints of the run are damaged.
    """
    damaged: list[str] = []
    for file in _newest_first(work_dir):
        if is_whole(file):
            if damaged:
                names = ", ".join(damaged)
                print_log(
                    f"{names}: truncated or damaged; resuming from {file.name} before it",
                    logger="current",
                    level=logging.WARNING,
                )
            return file
        damaged.append(file.name)
    if damaged:
        raise CheckpointError(
            f"{work_dir}: {', '.join(damaged)}: truncated or damaged, and there is no other checkpoint: "
            "delete it to start from the beginning"
        )
    return None


def _newest_first(work_dir: str | Path) -> list[Path]:
    found = {}
    for file in Path(work_dir).glob("*.pth"):
        if match := _NAME.fullmatch(file.name):
            epoch, step = match["epoch"], match["step"] or match["steps"]
            found[int(epoch or 0), int(step or 0)] = file
    return [found[number] for number in sorted(found, reverse=True)]


class _Postponed:
    """A file backend that collects removals, to be done later."""

    def __init__(self, backend: LocalBackend) -> None:
        self.backend = backend
        self.removed: set[str] = set()

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def remove(self, path: str) -> None:
        self.removed.add(path)

    def rmtree(self, path: str) -> None:
        """Ignore folders: none is a checkpoint of ours."""

    def remove_now(self, kept: set[str | None]) -> None:
        for path in self.removed - kept:
            self.backend.remove(path)
        self.removed.clear()


def _validated_at(loop: Any) -> int | None:
    """Return the epoch or step that a validation belongs to, or None for other loops."""
    if isinstance(loop, EpochBasedTrainLoop):
        return loop.epoch
    return loop.iter if isinstance(loop, IterBasedTrainLoop) else None


def _forget_other_run(info: dict[str, Any]) -> None:
    """Drop the checkpoints of another run: two runs of one process may share mmengine's message hub."""
    for key in [*info]:
        if key.startswith(("keep_ckpt", "last_ckpt", "best_")) or key == _VALIDATED:
            del info[key]


def _drop_invalid_entries(info: dict[str, Any]) -> None:
    """Drop entries that do not name checkpoints: mmengine would remove the named files."""
    for key in [*info]:
        value = info[key]
        if key.startswith("best_ckpt"):
            good = isinstance(value, str) and _BEST.fullmatch(Path(value).name) is not None
        elif key.startswith("best_score"):
            good = fits(value, float)
        elif key == "keep_ckpt_ids":
            good = fits(value, [(COUNT, _STEP)])
        else:
            continue
        if not good:
            del info[key]


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` with crash-safe, safely loadable checkpoints.

    - Each file, ``last_checkpoint`` included, is written atomically, and an old checkpoint is removed only
      after the new one is on disk. A resumed run completes what a killed one left: it removes temporary files
      and surplus checkpoints. Nothing outside the run's own folder is removed, whatever a checkpoint states.
    - Checkpoints hold tensors and built-in types only, so that ``--resume`` works with ``weights_only=True``
      (mmengine #1655).
    - A validation that was cut short is repeated, so that the best checkpoint is that of an uninterrupted
      run.

    Args:
        iter_interval: Steps between additional checkpoints within an epoch, such as ``epoch_3_iter_500.pth``
            after 500 steps in total; they count towards ``max_keep_ckpts``. None for no such checkpoints.
        args, kwargs: Arguments of mmengine's hook.
    """

    file_backend: Any  # set by mmengine's hook

    def __init__(self, *args: Any, iter_interval: int | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("backend_args", {"backend": "pgan.atomic"})
        super().__init__(*args, **kwargs)
        self.iter_interval = iter_interval
        self.kept: list[int | str] = []  # steps of the existing checkpoints, oldest first

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Convert the checkpoint to tensors and built-in types."""
        info = checkpoint["message_hub"]["runtime_info"]
        for key in list(info):
            try:
                info[key] = to_plain(info[key])
            except TypeError as error:
                runner.logger.debug(f"runtime info {key!r} is not saved: {error}")
                del info[key]
        for key in list(checkpoint):
            checkpoint[key] = to_plain(checkpoint[key])

    def after_load_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Restore the log histories of the message hub, which are saved as tensors."""
        hub = checkpoint.get("message_hub")
        if hub is not None:
            hub["log_scalars"] = {k: _restore_history(v) for k, v in hub["log_scalars"].items()}

    def before_train(self, runner: Any) -> None:
        """Complete what a killed run left unfinished."""
        if runner.iter == 0:
            _forget_other_run(runner.message_hub.runtime_info)
        _drop_invalid_entries(runner.message_hub.runtime_info)
        super().before_train(runner)  # removes surplus checkpoints
        self._adopt_best_checkpoint(runner.message_hub)
        self.kept = list(getattr(self, "keep_ckpt_ids", []))
        self.last_ckpt = runner.message_hub.runtime_info.get("last_ckpt")
        if is_main_process():
            for folder in {self.out_dir, runner.work_dir}:
                for file in temporary_files(folder, r"(?:.+\.pth|last_checkpoint)"):
                    file.unlink()
        if self._is_validation_due(runner):
            runner.logger.info(f"Validating step {runner.iter}, which the last run did not finish.")
            runner.val_loop.run()

    def _adopt_best_checkpoint(self, hub: Any) -> None:
        """Point to the best checkpoint in this folder if the run was copied or moved."""
        several = getattr(self, "best_ckpt_path_dict", {})
        for key in [*hub.runtime_info]:
            if key.startswith("best_ckpt"):
                path = self.file_backend.join_path(self.out_dir, Path(hub.get_info(key)).name)
                hub.update_info(key, path)
                indicator = key.removeprefix("best_ckpt_")
                if indicator in several:
                    several[indicator] = path
                elif key == "best_ckpt" and hasattr(self, "best_ckpt_path"):
                    self.best_ckpt_path = path

    def _is_validation_due(self, runner: Any) -> bool:
        loop = runner.train_loop
        now = _validated_at(loop)
        if runner.val_loop is None or now is None:
            return False
        loop._decide_current_val_interval()
        last = loop.max_epochs if isinstance(loop, EpochBasedTrainLoop) else loop.max_iters
        due = now >= max(loop.val_begin, 1) and (now % loop.val_interval == 0 or now == last)
        return due and runner.message_hub.runtime_info.get(_VALIDATED) != now

    def after_val_epoch(self, runner: Any, metrics: dict) -> None:
        """Save the best checkpoint and record that the step was validated."""
        if (now := _validated_at(runner._train_loop)) is not None:
            runner.message_hub.update_info(_VALIDATED, now)
        super().after_val_epoch(runner, metrics)

    def after_train_iter(self, runner: Any, batch_idx: int, *args: Any, **kwargs: Any) -> None:
        """Save a checkpoint within an epoch."""
        super().after_train_iter(runner, batch_idx, *args, **kwargs)
        if not (self.iter_interval and self.by_epoch):
            return
        at_end = self.end_of_epoch(runner.train_dataloader, batch_idx)
        if self.every_n_train_iters(runner, self.iter_interval) and not at_end:
            steps = runner.iter + 1
            meta = {"epoch": runner.epoch, "iter": steps}
            self._save_checkpoint_with_step(runner, f"{runner.epoch}_iter_{steps}", meta)

    def _save_checkpoint_with_step(self, runner: Any, step: int | str, meta: dict) -> None:
        """Save the new checkpoint before the old one is removed; mmengine removes first."""
        if isinstance(self.file_backend, _Postponed):
            # The new best checkpoint is on disk: remove the old one before its name is lost.
            self._remove_old_best()
        if self.kept[-1:] != [step]:
            self.kept.append(step)
        name = self.filename_tmpl.format(step)
        self.last_ckpt = self.file_backend.join_path(self.out_dir, name)
        # Includes the surplus checkpoint, so that a run resumed from this file removes it.
        runner.message_hub.update_info("keep_ckpt_ids", list(self.kept))
        runner.message_hub.update_info("last_ckpt", self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            name,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        too_many = self.kept[: -self.max_keep_ckpts] if self.max_keep_ckpts > 0 else []
        self.kept = self.kept[len(too_many) :]
        if is_main_process():
            last = self.last_ckpt.encode()
            write_atomically(Path(runner.work_dir) / "last_checkpoint", lambda f: f.write(last))
            for old in too_many:
                path = self.file_backend.join_path(self.out_dir, self.filename_tmpl.format(old))
                if self.file_backend.isfile(path):
                    self.file_backend.remove(path)

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        backend, self.file_backend = self.file_backend, _Postponed(self.file_backend)
        try:
            super()._save_best_checkpoint(runner, metrics)
            self._remove_old_best()
        finally:
            self.file_backend = backend

    def _remove_old_best(self) -> None:
        several = getattr(self, "best_ckpt_path_dict", {}).values()
        self.file_backend.remove_now({getattr(self, "best_ckpt_path", None), *several})
