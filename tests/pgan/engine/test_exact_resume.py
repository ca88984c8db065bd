"""A run that is killed at any step and resumed is the run that was not, bit by bit."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.evaluator import BaseMetric
from mmengine.runner import Runner

from pgan.engine import latest_checkpoint, load_plain
from tests.pgan.engine.small_runs import KillAfter, Numbers, make_runner

pytestmark = pytest.mark.slow

EPOCHS = 3


def train_in_two(folder: Path, steps: int, **kwargs) -> Runner:
    """Train, with an interruption after so many steps."""
    with pytest.raises(KeyboardInterrupt):
        make_runner(folder, EPOCHS, hooks=[KillAfter(steps)], **kwargs).train()
    newest = latest_checkpoint(folder)
    kwargs |= {"load_from": str(newest), "resume": True} if newest else {}
    resumed = make_runner(folder, EPOCHS, **kwargs)
    resumed.train()
    return resumed


def assert_same_runs(one: Runner, other: Runner) -> None:
    states = [
        [runner.model.state_dict(), runner.optim_wrapper.state_dict()["state"]]
        for runner in (one, other)
    ]
    torch.testing.assert_close(*states, rtol=0, atol=0)
    assert [s.last_step for s in one.param_schedulers] == [
        s.last_step for s in other.param_schedulers
    ]
    for name in ("train/loss", "train/lr"):
        logs = [runner.message_hub.log_scalars[name].data[0] for runner in (one, other)]
        assert np.array_equal(*logs), name


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    """An undisturbed run, without workers."""
    runner = make_runner(tmp_path_factory.mktemp("whole"), EPOCHS, workers=0)
    runner.train()
    return runner


@pytest.mark.parametrize(("steps", "workers"), [(1, 0), (4, 0), (5, 0), (6, 0), (9, 0), (9, 2)])
def test_killed_after_any_step(whole: Runner, tmp_path: Path, steps: int, workers: int) -> None:
    """With workers, too, which read ahead and die with what they have read."""
    kwargs = {"workers": workers, "checkpoint": {"iter_interval": 2}}
    assert_same_runs(whole, train_in_two(tmp_path / "halves", steps, **kwargs))


def test_workers_do_not_change_the_run(whole: Runner, tmp_path: Path) -> None:
    helped = make_runner(tmp_path / "helped", EPOCHS, workers=2)
    helped.train()
    assert_same_runs(whole, helped)


def test_skipped_batches_are_not_read(tmp_path: Path) -> None:
    resumed = train_in_two(tmp_path / "run", 9, workers=0, checkpoint={"iter_interval": 4})
    data: Numbers = resumed.train_dataloader.dataset.dataset
    # Of 3 epochs of 5 steps, 8 steps were done, of which the second epoch has 3.
    assert len(data.read) == (15 - 8) * 2
    assert len(set(data.read[:4])) == 4
    names = {p.name for p in (tmp_path / "run").glob("*.pth")}
    assert names == {"epoch_3.pth"}


def test_the_log_counts_the_steps_of_the_epoch(tmp_path: Path) -> None:
    folder = tmp_path / "numbers"
    kwargs = {"workers": 0, "checkpoint": {"iter_interval": 3}}
    with pytest.raises(KeyboardInterrupt):
        make_runner(folder, 1, hooks=[KillAfter(3)], **kwargs).train()
    resumed = make_runner(
        folder, 1, load_from=str(latest_checkpoint(folder)), resume=True, **kwargs
    )
    seen = []
    resumed.call_hook = lambda name, call=resumed.call_hook, **words: (
        seen.append(words["batch_idx"]) if name == "before_train_iter" else None,
        call(name, **words),
    )
    resumed.train()
    assert seen == [3, 4]


def test_changed_epoch_length_restarts_the_epoch(tmp_path: Path, capsys) -> None:
    folder = tmp_path / "longer"
    make_runner(folder, 1, workers=0).train()
    checkpoint = load_plain(str(folder / "epoch_1.pth"))
    checkpoint["meta"] |= {"batches_per_epoch": 7, "iter": 7}
    torch.save(checkpoint, folder / "epoch_1.pth")
    resumed = make_runner(folder, 2, workers=0, load_from=str(folder / "epoch_1.pth"), resume=True)
    resumed.train()
    assert len(resumed.train_dataloader.dataset.dataset.read) == 10
    assert "An epoch has 5 batches, but had 7" in capsys.readouterr().out


class MeanError(BaseMetric):
    """How far the model is off; can be killed before it says so."""

    killed_at = 0

    def process(self, data_batch: dict, data_samples: list[dict]) -> None:
        self.results += data_samples

    def compute_metrics(self, results: list[dict]) -> dict:
        MeanError.killed_at -= 1
        if MeanError.killed_at == 0:
            raise KeyboardInterrupt
        return {"accuracy": -float(np.mean([r["error"] for r in results]))}


def train_and_validate(
    folder: Path, killed_at: int = 0, more: dict | None = None, **kwargs
) -> None:
    """Go on from where the folder is; killed in the validation of that number, if not 0."""
    MeanError.killed_at = killed_at
    newest = latest_checkpoint(folder)
    loader = {"dataset": Numbers(noise=0), "batch_size": 5, "num_workers": 0}
    loader |= {"sampler": {"type": "DefaultSampler", "shuffle": False}}
    make_runner(
        folder,
        EPOCHS,
        workers=0,
        checkpoint={"save_best": "accuracy", "rule": "greater", **(more or {})},
        val_dataloader=loader | {"collate_fn": {"type": "default_collate"}},
        val_cfg={},
        val_evaluator={"type": MeanError},
        load_from=str(newest) if newest else None,
        resume=newest is not None,
        **kwargs,
    ).train()


@pytest.mark.parametrize("killed_at", [1, 2, 3])
def test_a_validation_that_was_killed_is_made_up_for(tmp_path: Path, killed_at: int) -> None:
    train_and_validate(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_and_validate(tmp_path / "halves", killed_at)
    train_and_validate(tmp_path / "halves")
    assert_same_files(tmp_path / "whole", tmp_path / "halves")


def test_the_best_checkpoint_of_a_copied_run_stays(tmp_path: Path) -> None:
    train_and_validate(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train_and_validate(tmp_path / "one", killed_at=2)
    before = sorted(tmp_path.glob("one/*.pth"))
    assert "best_accuracy_epoch_1.pth" in [file.name for file in before]
    shutil.copytree(tmp_path / "one", tmp_path / "copy")
    train_and_validate(tmp_path / "copy")
    assert sorted(tmp_path.glob("one/*.pth")) == before
    assert_same_files(tmp_path / "whole", tmp_path / "copy")


@pytest.mark.parametrize(
    "said",
    [
        {"best_ckpt": "ROOT/mine.pth"},
        {"best_ckpt": "ROOT/best_folder.pth"},
        {"best_ckpt": 5, "best_score": "a"},
        {"keep_ckpt_ids": ["../../mine", 1.5, "0/../../mine"]},
    ],
)
def test_a_checkpoint_cannot_have_other_files_removed(tmp_path: Path, said: dict) -> None:
    (tmp_path / "mine.pth").touch()
    (tmp_path / "best_folder.pth").mkdir()
    with pytest.raises(KeyboardInterrupt):
        train_and_validate(tmp_path / "run", killed_at=2)
    newest = latest_checkpoint(tmp_path / "run")
    content = load_plain(str(newest))
    said = {
        k: v.replace("ROOT", str(tmp_path)) if isinstance(v, str) else v for k, v in said.items()
    }
    content["message_hub"]["runtime_info"] |= said
    torch.save(content, newest)
    train_and_validate(tmp_path / "run")
    assert (tmp_path / "mine.pth").is_file()
    assert (tmp_path / "best_folder.pth").is_dir()


def assert_same_files(one: Path, other: Path) -> None:
    files = [sorted(file.name for file in folder.glob("*.pth")) for folder in (one, other)]
    assert files[0] == files[1]
    assert any(name.startswith("best_accuracy") for name in files[0])
    for name in files[0]:
        states = [load_plain(str(folder / name))["state_dict"] for folder in (one, other)]
        torch.testing.assert_close(*states, rtol=0, atol=0)


BY_STEP = {"by_epoch": False, "interval": 2}


@pytest.mark.parametrize("sampler", ["DefaultSampler", "InfiniteSampler"])
@pytest.mark.parametrize(("steps", "workers"), [(3, 0), (9, 2)])
def test_a_loop_over_steps_is_resumed_exactly(
    tmp_path: Path, sampler: str, steps: int, workers: int
) -> None:
    kwargs = {"sampler": sampler, "checkpoint": BY_STEP}
    one = make_runner(tmp_path / "one", EPOCHS, workers=0, **kwargs)
    one.train()
    with pytest.raises(KeyboardInterrupt):
        make_runner(
            tmp_path / "other", EPOCHS, workers=0, hooks=[KillAfter(steps)], **kwargs
        ).train()
    newest = str(latest_checkpoint(tmp_path / "other"))
    kwargs |= {"load_from": newest, "resume": True, "workers": workers}
    other = make_runner(tmp_path / "other", EPOCHS, **kwargs)
    other.train()
    assert_same_runs(one, other)
    read = one.train_dataloader.dataset.dataset.read
    # Each epoch reads each image once, and not in the order of the one before.
    assert [sorted(read[at : at + 10]) for at in (0, 10, 20)] == [list(range(10))] * 3
    assert read[:10] != read[10:20]
    if not workers:
        assert other.train_dataloader.dataset.dataset.read == read[2 * (steps - steps % 2) :]


@pytest.mark.parametrize("killed_at", [1, 2])
def test_a_killed_validation_of_a_loop_over_steps_is_made_up_for(
    tmp_path: Path, killed_at: int
) -> None:
    kwargs = {"sampler": "InfiniteSampler", "val": {"val_interval": 6}, "more": BY_STEP}
    train_and_validate(tmp_path / "whole", **kwargs)
    with pytest.raises(KeyboardInterrupt):
        train_and_validate(tmp_path / "halves", killed_at, **kwargs)
    train_and_validate(tmp_path / "halves", **kwargs)
    assert_same_files(tmp_path / "whole", tmp_path / "halves")
