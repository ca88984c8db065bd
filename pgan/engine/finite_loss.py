"""Stop training at the first loss or weight that is not finite, and name the images."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.dist import all_gather_object, all_reduce, get_world_size, is_main_process
from mmengine.hooks import Hook

from detector.common.files import write_json
from pgan.engine.checkpoint import latest_checkpoint
from pgan.registry import HOOKS

_LIST = "broken_batch.json"
_SHOWN = 3  # files named in the message; the list names all


class BrokenTrainingError(ValueError):
    """A loss or a weight is NaN or infinite; the message names it, the step and the images."""


@HOOKS.register_module()
class FiniteLossHook(Hook):
    """Stop at the first loss that is NaN or infinite, and save no such weight.

    With several processes the losses are averaged first, so that every process stops and the log describes
    the whole batch. The images of the batch, by their ``img_path``, are written to ``broken_batch.json`` in
    the work dir. Nothing is saved after that step, so the last checkpoint stays valid.
    """

    priority = "HIGHEST"  # before anything is logged or saved

    def after_train_iter(
        self,
        runner: Any,
        batch_idx: int,
        data_batch: Any = None,
        outputs: dict[str, torch.Tensor] | None = None,
    ) -> None:
        """Check the losses of a step.

        Raises:
            BrokenTrainingError: A loss is not finite, in this process or another.
        """
        if not outputs:
            return
        values = torch.stack([value.detach().float() for value in outputs.values()])
        own = dict(zip(outputs, values.tolist()))
        if get_world_size() > 1:
            all_reduce(values, op="mean")
            outputs.update(zip(outputs, values))
        if not values.isfinite().all():
            self._stop(runner, own, _files(data_batch))

    def _stop(self, runner: Any, own: dict[str, float], files: list[str]) -> None:
        broken = {name: value for name, value in own.items() if not math.isfinite(value)}
        if len(broken) > 1:
            broken.pop("loss", None)  # the sum of the others
        found = [part for part in all_gather_object((broken, files)) if part[0]]
        losses = {name: value for part in found for name, value in part[0].items()}
        files = [file for part in found for file in part[1]]
        step, epoch = runner.iter + 1, runner.epoch + 1
        report = {"step": step, "epoch": epoch, "losses": {k: str(v) for k, v in losses.items()}}
        path = Path(runner.work_dir) / _LIST
        if is_main_process():
            write_json(path, report | {"files": files})
        shown = ", ".join(files[:_SHOWN]) or "a batch without file names"
        more = f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else ""
        named = ", ".join(f"{name} is {value}" for name, value in losses.items())
        raise BrokenTrainingError(
            f"step {step}, in epoch {epoch}: {named}, on {shown}{more}, listed in {path}; "
            f"{_last_checkpoint(runner)}: check these images, or {_advice(runner)}"
        )

    def before_save_checkpoint(self, runner: Any, checkpoint: dict) -> None:
        """Refuse to save weights that are not finite; the loss of the step may still have been finite.

        Raises:
            BrokenTrainingError: A weight is not finite.
        """
        for name, value in checkpoint["state_dict"].items():
            if value.is_floating_point() and not value.isfinite().all():
                raise BrokenTrainingError(
                    f"step {checkpoint['meta']['iter']}: {name} is not finite, so no checkpoint is written; "
                    f"{_last_checkpoint(runner)}: {_advice(runner)}"
                )


def _last_checkpoint(runner: Any) -> str:
    last = latest_checkpoint(runner.work_dir)
    return f"the last checkpoint is {last}" if last else "there is no checkpoint yet"


def _advice(runner: Any) -> str:
    begin = "start from it (--load-from)" if latest_checkpoint(runner.work_dir) else "train again"
    return f"{begin} at a lower learning rate"


def _files(batch: Any) -> list[str]:
    samples = batch.get("data_samples") if isinstance(batch, dict) else None
    if not isinstance(samples, Sequence):
        return []
    return [str(path) for sample in samples if (path := getattr(sample, "img_path", None))]
