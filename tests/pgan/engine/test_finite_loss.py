"""A loss or a weight that breaks stops the training, and the last good checkpoint stands."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.hooks import Hook

from pgan.engine import BrokenTrainingError, latest_checkpoint, load_plain
from pgan.engine.finite_loss import FiniteLossHook
from tests.pgan.engine.small_runs import make_runner

pytestmark = pytest.mark.slow

FINITE = {"type": "pgan.FiniteLossHook"}


class BreakWeights(Hook):
    """An optimizer that has lost its way, in the last step of an epoch: its loss is still finite."""

    def after_train_iter(self, runner, *args: object, **kwargs: object) -> None:
        if runner.iter + 1 == 10:
            runner.model.last.weight.data[0, 3] = float("nan")


class BreakLoss(Hook):
    """Weights that are too large for a finite loss, from some step on."""

    def before_train_iter(self, runner, *args: object, **kwargs: object) -> None:
        if runner.iter + 1 == 12:
            runner.model.last.weight.data.fill_(float("inf"))


def test_a_broken_loss_stops_the_training_before_anything_is_saved(tmp_path: Path) -> None:
    runner = make_runner(
        tmp_path, 4, 0, hooks=[FINITE, BreakLoss()], checkpoint={"iter_interval": 2}
    )
    with pytest.raises(BrokenTrainingError, match=r"step 12, in epoch 3: loss is (nan|inf), on"):
        runner.train()
    newest = latest_checkpoint(tmp_path)
    assert newest.name == "epoch_2.pth"
    assert all(value.isfinite().all() for value in load_plain(newest)["state_dict"].values())


def test_broken_weights_are_not_saved(tmp_path: Path) -> None:
    runner = make_runner(tmp_path, 4, 0, hooks=[FINITE, BreakWeights()])
    with pytest.raises(BrokenTrainingError, match=r"step 10: last.weight is not finite.*epoch_1"):
        runner.train()
    assert [file.name for file in tmp_path.glob("*.pth")] == ["epoch_1.pth"]


def batch_of(count: int) -> dict:
    return {"data_samples": [SimpleNamespace(img_path=f"{i}.jpg") for i in range(count)]}


def stopped(tmp_path: Path, losses: dict[str, float], batch: dict) -> str:
    runner = SimpleNamespace(iter=6, epoch=1, work_dir=str(tmp_path))
    outputs = {name: torch.tensor(value) for name, value in losses.items()}
    with pytest.raises(BrokenTrainingError) as error:
        FiniteLossHook().after_train_iter(runner, 0, batch, outputs)
    return str(error.value)


def test_the_sentence_names_step_loss_and_images(tmp_path: Path) -> None:
    losses = {"loss": float("nan"), "loss_id": float("nan"), "loss_part": 1.0, "acc": 0.0}
    message = stopped(tmp_path, losses, batch_of(5))
    assert message.startswith(
        "step 7, in epoch 2: loss_id is nan, on 0.jpg, 1.jpg, 2.jpg and 2 more, listed in "
    )
    assert "there is no checkpoint yet" in message
    assert "\n" not in message
    listed = json.loads((tmp_path / "broken_batch.json").read_text())
    assert listed["files"] == [f"{i}.jpg" for i in range(5)]
    assert (listed["step"], listed["losses"]) == (7, {"loss_id": "nan"})


def test_a_loss_alone_and_a_batch_without_files(tmp_path: Path) -> None:
    message = stopped(tmp_path, {"loss": float("inf")}, {"inputs": torch.zeros(2)})
    assert "loss is inf, on a batch without file names" in message


def test_finite_losses_pass() -> None:
    FiniteLossHook().after_train_iter(None, 0, None, {"loss": torch.tensor(1.0)})
