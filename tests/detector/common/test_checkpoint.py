"""Reading checkpoints, and comparing them with a model."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import torch

from detector.common.checkpoint import describe_mismatches, mismatches, read_checkpoint, weights_of


class CallerError(ValueError):
    """The error type of the caller."""


STATE = {"a.weight": torch.arange(2000.0), "a.bias": torch.tensor(3)}


@pytest.mark.parametrize("archive", [True, False])
@pytest.mark.parametrize("under", [True, False])
def test_read_checkpoint_returns_what_was_saved(tmp_path: Path, archive: bool, under: bool) -> None:
    saved = {"state_dict": STATE, "meta": {"epoch": 3}} if under else STATE
    path = tmp_path / "a.pth"
    torch.save(saved, path, _use_new_zipfile_serialization=archive)
    read = read_checkpoint(path, CallerError)
    weights = weights_of(read)
    assert weights.keys() == STATE.keys()
    assert all(torch.equal(weights[name], STATE[name]) for name in STATE)
    assert not under or read["meta"] == {"epoch": 3}


def test_weights_of_removes_the_prefix_of_parallel_training() -> None:
    assert weights_of({"state_dict": {"module.a": 1, "b.module.c": 2}}) == {"a": 1, "b.module.c": 2}


def test_read_checkpoint_raises_when_one_bit_of_a_weight_has_changed(tmp_path: Path) -> None:
    path = tmp_path / "a.pth"
    torch.save({"state_dict": STATE}, path)
    data = bytearray(path.read_bytes())
    data[data.index(STATE["a.weight"].numpy().tobytes()) + 4001] ^= 0x40
    path.write_bytes(data)
    assert not torch.equal(torch.load(path)["state_dict"]["a.weight"], STATE["a.weight"])
    with pytest.raises(CallerError, match=re.escape(f"{path}: damaged: a checksum in it is wrong")):
        read_checkpoint(path, CallerError)


@pytest.mark.parametrize(
    "content",
    [
        *([1, 2], 5, torch.ones(2), [[[]]], {}, {"state_dict": 5}, {"state_dict": {}}),
        *({"state_dict": {1: torch.ones(2)}}, {"state_dict": {"a": [1.0, 2.0]}}, {"epoch": 3}),
        {"state_dict": {"a": torch.ones(2, device="meta")}},
        {"state_dict": {"a": torch.ones(2, 2).to_sparse()}},
    ],
    ids=lambda content: str(content)[:30],
)
@pytest.mark.filterwarnings("ignore")
def test_read_checkpoint_raises_when_there_is_no_state_dict(tmp_path: Path, content: Any) -> None:
    torch.save(content, tmp_path / "a.pth")
    with pytest.raises(CallerError, match=r"a\.pth: holds no state dict of tensors"):
        read_checkpoint(tmp_path / "a.pth", CallerError)


def test_read_checkpoint_raises_when_meta_is_not_a_dict(tmp_path: Path) -> None:
    torch.save({"state_dict": STATE, "meta": 3}, tmp_path / "a.pth")
    with pytest.raises(CallerError, match=r"a\.pth: its meta is not a dict"):
        read_checkpoint(tmp_path / "a.pth", CallerError)


@pytest.mark.parametrize("archive", [True, False])
def test_read_checkpoint_does_not_advise_to_run_code_in_the_file(
    tmp_path: Path, archive: bool
) -> None:
    path = tmp_path / "a.pth"
    torch.save({"x": Path("a")}, path, _use_new_zipfile_serialization=archive)
    with pytest.raises(CallerError, match="a.pth: not a checkpoint of tensors") as caught:
        read_checkpoint(path, CallerError)
    assert "not opened" in str(caught.value)
    assert "weights_only" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_describe_mismatches_counts_and_names_tensors_by_kind() -> None:
    model = {"a": torch.ones(1), "b": torch.ones(2), "c": torch.ones(2, 2)}
    assert mismatches(model, model) == {}
    found = mismatches(
        model, {"b": torch.ones(3), "c": torch.ones(2, 2), "e": model["a"], "d": model["a"]}
    )
    assert describe_mismatches(found) == (
        "1 tensor missing (first: a), 1 tensor of another shape (first: b), 2 tensors unexpected (first: d)"
    )
