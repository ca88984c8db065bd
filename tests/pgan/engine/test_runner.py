"""A training starts from the checkpoint that it was given, or says why it does not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from pgan.engine import CheckpointError, load_plain
from tests.pgan.engine.small_runs import make_runner

pytestmark = pytest.mark.slow


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A checkpoint of one epoch."""
    make_runner(tmp_path / "trained", 1, workers=0).train()
    return tmp_path / "trained" / "epoch_1.pth"


def change(path: Path, spoil: Callable[[dict], object]) -> str:
    content = load_plain(str(path))
    spoil(content)
    torch.save(content, path)
    return str(path)


def optimize_less(content: dict) -> None:
    content["optimizer"]["param_groups"][0]["params"].pop()


def optimize_by_momentum(content: dict) -> None:
    del content["meta"]["optimizer_name"]  # as in a checkpoint of before it was kept
    for group in content["optimizer"]["param_groups"]:
        group["momentum"] = group.pop("betas")[0]


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda c: [c.pop(key) for key in [*c] if key != "state_dict"], "holds weights but no state"),
        (lambda c: c["meta"].pop("epoch"), "holds weights but no state of a training run"),
        (lambda c: c.update(meta=None), "holds weights but no state of a training run"),
        (lambda c: c.update(message_hub=[]), "holds weights but no state of a training run"),
        (lambda c: c["state_dict"].update(x=torch.ones(1)), r"another model .*1 tensor unexpected"),
        (lambda c: c["state_dict"].pop("last.bias"), r"another model .*1 tensor missing \(first: last"),
        (optimize_less, r"not a checkpoint of this run \(ValueError: .*parameter group"),
        (optimize_by_momentum, r"another optimizer \(its settings\) than the config's Adam"),
        (lambda c: c["meta"].update(optimizer_name="AdamW"), r"another optimizer \(AdamW\) than"),
        (lambda c: c.update(optimizer=5), "not a checkpoint of this run"),
        (lambda c: c.update(param_schedulers=[{}, 3]), "not a checkpoint of this run"),
        (lambda c: c["message_hub"].update(log_scalars={"x": {"_history_buffer": 3}}), "this run"),
    ],
)  # fmt: skip
def test_resume_refuses_an_incomplete_or_other_checkpoint(
    trained: Path, tmp_path: Path, spoil: Callable[[dict], object], words: str
) -> None:
    start = change(trained, spoil)
    with pytest.raises(CheckpointError, match=f"{start}: .*{words}") as caught:
        make_runner(tmp_path / "run", 2, workers=0, load_from=start, resume=True).train()
    assert "\n" not in str(caught.value)


def test_setting_that_the_checkpoint_overrides_is_reported(
    trained: Path, tmp_path: Path, capsys
) -> None:
    def slower(content: dict) -> None:
        content["optimizer"]["param_groups"][0]["initial_lr"] = 0.05

    start = change(trained, slower)
    make_runner(tmp_path / "run", 2, workers=0, load_from=start, resume=True).train()
    assert (
        f"{start}: resuming with initial_lr=0.05, not the config's 0.1" in capsys.readouterr().out
    )


@pytest.mark.parametrize("stated", [None, 4])
def test_a_resumed_run_has_the_seed_of_its_checkpoint(
    trained: Path, tmp_path: Path, capsys, stated: int | None
) -> None:
    """Before its sampler is made."""
    weights = []
    for folder in ("same", "other"):
        runner = make_runner(tmp_path / folder, 2, workers=0, load_from=str(trained), resume=True)
        if folder == "other":
            runner._randomness_cfg["seed"] = stated
            runner._seed = 77  # which mmengine has drawn
        runner.train()
        weights.append(runner.model.last.weight)
    assert torch.equal(*weights)
    assert ("resuming with its seed 3, not the config's 4" in capsys.readouterr().out) == (
        stated == 4
    )


def test_settings_that_an_older_torch_did_not_have_hinder_no_resume(
    trained: Path, tmp_path: Path
) -> None:
    start = change(trained, lambda c: c["optimizer"]["param_groups"][0].pop("capturable"))
    runner = make_runner(tmp_path / "run", 2, workers=0, load_from=start, resume=True)
    runner.train()
    assert (tmp_path / "run" / "epoch_2.pth").exists()


def test_weights_that_match_no_key_are_refused(tmp_path: Path) -> None:
    other = {"layers.0.weight": torch.ones(1), "layers.1.num_batches_tracked": torch.tensor(0)}
    torch.save(other, tmp_path / "other.pth")
    with pytest.raises(
        CheckpointError, match=r"other.pth: no tensor of it fits the config's model"
    ):
        make_runner(tmp_path / "run", 1, workers=0, load_from=str(tmp_path / "other.pth")).train()
    assert not list((tmp_path / "run").glob("*.pth"))


def test_number_of_matching_weights_is_reported(trained: Path, tmp_path: Path, capsys) -> None:
    start = change(trained, lambda c: c["state_dict"].update({"last.weight": torch.ones(9, 8)}))
    make_runner(tmp_path / "run", 1, workers=0, load_from=start).train()
    told = f"{start}: 7 of the model's 8 tensors are loaded; 1 tensor of another shape (first: last.weight)"
    assert told in capsys.readouterr().out


@pytest.mark.parametrize("archive", [True, False])
def test_training_starts_from_the_weights(
    trained: Path, tmp_path: Path, capsys, archive: bool
) -> None:
    state = load_plain(str(trained))["state_dict"]
    bare = {f"module.{name}": value for name, value in state.items()}
    torch.save(bare, tmp_path / "bare.pth", _use_new_zipfile_serialization=archive)
    runner = make_runner(tmp_path / "run", 1, workers=0, load_from=str(tmp_path / "bare.pth"))
    seen = []
    runner.call_hook = lambda name, call=runner.call_hook, **words: (
        seen.append(runner.model.last.weight.detach().clone()) if name == "before_train" else None,
        call(name, **words),
    )
    runner.train()
    assert torch.equal(seen[0], state["last.weight"])
    assert "tensors are loaded" not in capsys.readouterr().out
