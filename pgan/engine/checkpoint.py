"""Checkpoints that survive a crash, resume on every torch, and never run code when they are read."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.logging import HistoryBuffer
from mmengine.runner import CheckpointLoader

from pgan.files import write_atomically
from pgan.registry import HOOKS

_HISTORY = "_history_buffer"


class CheckpointError(ValueError):
    """A checkpoint cannot be used; the message names the file and the mend."""


class AtomicBackend(LocalBackend):
    """mmengine's local storage, but a file is either the old one or the whole new one."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write ``obj``, making the folder if it is not there."""
        write_atomically(filepath, lambda file: file.write(obj))


register_backend("pgan.atomic", AtomicBackend, force=True)


def to_plain(value: Any) -> Any:
    """Rebuild a nested value from tensors and plain Python types alone.

    Raises:
        TypeError: For a leaf that is neither a tensor, a number, a string nor None.
    """
    if isinstance(value, HistoryBuffer):
        # The counts and values as tensors; the statistics methods are rebuilt by the class.
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
    raise TypeError(f"{type(value).__name__} has no plain form")


def _restore_history(value: Any) -> Any:
    if isinstance(value, dict) and _HISTORY in value:
        values, counts = (part.cpu().numpy() for part in value[_HISTORY])
        return HistoryBuffer(values, counts)
    return value


def load_plain(path: str, map_location: Any = "cpu") -> dict:
    """Read a checkpoint that holds tensors and plain types; nothing in it is executed.

    Raises:
        CheckpointError: If the file is missing, broken, or holds pickled objects.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise CheckpointError(f"{path}: no such checkpoint; check the path, or train first")
    try:
        return torch.load(file, map_location=map_location, weights_only=True)
    except Exception as error:  # torch raises many kinds for a broken file
        raise CheckpointError(
            f"{path}: not a checkpoint of tensors and plain types ({str(error).splitlines()[0]}); "
            "files that hold other objects are not opened, since that would run their code: "
            "save their `state_dict` alone"
        ) from error


# mmengine's own loader unpickles whatever the file holds on torch < 2.6, and breaks on its own on >= 2.6.
CheckpointLoader.register_scheme(prefixes="", loader=load_plain, force=True)


def latest_checkpoint(work_dir: str | Path) -> Path | None:
    """Return the newest whole ``epoch_N.pth`` / ``iter_N.pth`` of a run, or None if it has none.

    The number in the name decides, so a moved folder or a torn ``last_checkpoint`` file does no harm.
    """
    found = {
        int(match[1]): file
        for file in Path(work_dir).glob("*.pth")
        if (match := re.fullmatch(r"(?:epoch|iter)_(\d+)\.pth", file.name))
    }
    return found[max(found)] if found else None


class _Postponed:
    """A file backend whose removals are only noted down."""

    def __init__(self, backend: LocalBackend, removed: list[str]) -> None:
        self._backend, self._removed = backend, removed

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def remove(self, path: str) -> None:
        self._removed.append(path)


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """mmengine's ``CheckpointHook`` with three faults mended.

    A file is written whole or not at all; the old checkpoint is removed only after the new one is on
    disk; and it holds only tensors and plain types, so that ``--resume`` works with ``weights_only=True``
    (mmengine #1655).
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs.setdefault("backend_args", {"backend": "pgan.atomic"})
        super().__init__(*args, **kwargs)

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Turn everything in the checkpoint into tensors and plain types."""
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
        """Give the message hub back the log histories that were saved as tensors."""
        hub = checkpoint.get("message_hub")
        if hub is not None:
            hub["log_scalars"] = {k: _restore_history(v) for k, v in hub["log_scalars"].items()}

    @contextmanager
    def _remove_after_saving(self) -> Iterator[None]:
        backend, stale = self.file_backend, []
        self.file_backend = _Postponed(backend, stale)
        try:
            yield
        finally:
            self.file_backend = backend
        kept = {self.last_ckpt, getattr(self, "best_ckpt_path", None)}
        for path in stale:
            if path not in kept:
                backend.remove(path)

    def _save_checkpoint_with_step(self, runner: Any, step: int, meta: dict) -> None:
        with self._remove_after_saving():
            super()._save_checkpoint_with_step(runner, step, meta)

    def _save_best_checkpoint(self, runner: Any, metrics: dict) -> None:
        with self._remove_after_saving():
            super()._save_best_checkpoint(runner, metrics)
