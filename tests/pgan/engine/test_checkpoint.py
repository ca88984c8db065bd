"""Checkpoints: whole or absent, plain, and the one before in place of a damaged one."""

from __future__ import annotations

import os
import pickle
from collections import deque
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer

from pgan.engine import CheckpointError, latest_checkpoint, load_plain
from pgan.engine.checkpoint import AtomicBackend, _drop_invalid_entries, to_plain
from tests.pgan.engine.small_runs import make_runner


@pytest.mark.parametrize("name", ["best_a\0b.pth", "best_a\\b.pth", "best_/b.pth", "best_a/b.pth"])
def test_drop_invalid_entries_drops_best_checkpoint_with_unsafe_name(name: str) -> None:
    info = {"best_ckpt": f"run/{name}", "best_ckpt_mAP": f"run/{name}"}
    _drop_invalid_entries(info)
    assert info == {}


def test_drop_invalid_entries_keeps_best_checkpoint_with_plain_name() -> None:
    info = {"best_ckpt": "run/best_mAP_epoch_3.pth", "best_score": 0.5}
    _drop_invalid_entries(info)
    assert info == {"best_ckpt": "run/best_mAP_epoch_3.pth", "best_score": 0.5}


def test_checkpoints_load_without_unpickling_and_old_ones_go(tmp_path: Path) -> None:
    make_runner(tmp_path / "run", 3, workers=0).train()
    assert [p.name for p in (tmp_path / "run").glob("*.pth")] == ["epoch_3.pth"]
    checkpoint = torch.load(tmp_path / "run" / "epoch_3.pth", weights_only=True)
    assert {"state_dict", "optimizer", "message_hub", "param_schedulers"} <= set(checkpoint)


def test_kill_while_writing_keeps_the_previous_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runner = make_runner(tmp_path / "run", 3, workers=0)
    replace, calls = os.replace, []

    def killed(source: str, target: Path) -> None:
        calls.append(target)
        if len(calls) == 2:
            raise KeyboardInterrupt
        replace(source, target)

    monkeypatch.setattr("detector.common.files.os.replace", killed)
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    assert latest_checkpoint(tmp_path / "run").name == "epoch_1.pth"
    assert load_plain(str(tmp_path / "run" / "epoch_1.pth"))["meta"]["epoch"] == 1
    assert not list((tmp_path / "run").glob(".*.pth.*"))


def test_atomic_backend_replaces_whole_files(tmp_path: Path) -> None:
    backend = AtomicBackend()
    backend.put(b"old", tmp_path / "folder" / "file")
    backend.put(b"new", tmp_path / "folder" / "file")
    assert (tmp_path / "folder" / "file").read_bytes() == b"new"
    assert [p.name for p in (tmp_path / "folder").iterdir()] == ["file"]


def test_the_number_in_the_name_decides_which_is_newest(tmp_path: Path) -> None:
    for name in ("epoch_9.pth", "epoch_10.pth", "best_reid_mAP_epoch_11.pth", "last_checkpoint"):
        torch.save({}, tmp_path / name)
    assert latest_checkpoint(tmp_path).name == "epoch_10.pth"
    assert latest_checkpoint(tmp_path / "nowhere") is None


def test_checkpoints_within_an_epoch_stand_between_those_of_epochs(tmp_path: Path) -> None:
    for name in ("epoch_9.pth", "epoch_9_iter_500.pth", "epoch_9_iter_1000.pth"):
        torch.save({}, tmp_path / name)
    assert latest_checkpoint(tmp_path).name == "epoch_9_iter_1000.pth"
    torch.save({}, tmp_path / "epoch_10.pth")
    assert latest_checkpoint(tmp_path).name == "epoch_10.pth"


@pytest.mark.parametrize("damage", ["truncated", "a byte changed", "empty", "zeros"])
def test_resume_falls_back_to_the_checkpoint_before_a_damaged_one(
    tmp_path: Path, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr("pgan.engine.checkpoint.print_log", lambda text, **_: said.append(text))
    for number in (1, 2):
        torch.save({"state_dict": {"w": torch.ones(999)}}, tmp_path / f"epoch_{number}.pth")
    newest = tmp_path / "epoch_2.pth"
    data = bytearray(newest.read_bytes())
    middle = data.index(torch.ones(9).numpy().tobytes())
    data[middle] ^= 1
    bad = {"truncated": data[:-100], "a byte changed": data, "empty": b"", "zeros": bytes(5000)}
    newest.write_bytes(bad[damage])
    assert latest_checkpoint(tmp_path).name == "epoch_1.pth"
    assert said == ["epoch_2.pth: truncated or damaged; resuming from epoch_1.pth before it"]
    with pytest.raises(CheckpointError, match=r"epoch_2.pth: (damaged|not a checkpoint)"):
        load_plain(str(newest))
    (tmp_path / "epoch_1.pth").unlink()
    with pytest.raises(
        CheckpointError, match="no other checkpoint: delete it to start from the beginning"
    ):
        latest_checkpoint(tmp_path)


def test_resume_removes_temporary_files_of_a_killed_run(tmp_path: Path) -> None:
    """Killed between saving the new and removing the old, and within writing, twice."""
    folder = tmp_path / "run"
    runner = make_runner(folder, 3, workers=0, checkpoint={"max_keep_ckpts": 2})
    runner.train()
    names = {"epoch_2.pth", "epoch_3.pth"}
    assert {p.name for p in folder.glob("*.pth")} == names
    saved = load_plain(str(folder / "epoch_3.pth"))
    assert saved["message_hub"]["runtime_info"]["keep_ckpt_ids"] == [1, 2, 3]
    torch.save({}, folder / "epoch_1.pth")
    drafts = [".epoch_3.pth.abcdefgh", ".last_checkpoint.ab_defg1", ".best_x_epoch_1.pth.aaaaaaaa"]
    for name in (*drafts, ".mine.pth", "notes.txt"):
        (folder / name).touch()
    newest = str(latest_checkpoint(folder))
    make_runner(
        folder, 3, workers=0, checkpoint={"max_keep_ckpts": 2}, load_from=newest, resume=True
    ).train()
    left = {p.name for p in folder.iterdir() if p.is_file() and p.suffix != ".py"}
    assert left == names | {
        ".mine.pth",
        "notes.txt",
        "last_checkpoint",
    }
    assert (folder / "last_checkpoint").read_text().endswith("epoch_3.pth")


def test_to_plain_keeps_values_and_refuses_objects() -> None:
    history = HistoryBuffer([1.0, 2.0], [1, 1])
    plain = to_plain({"a": np.float64(2), "b": (1, deque([np.int32(3)])), "c": history})
    assert plain["a"] == 2.0
    assert plain["b"] == (1, [3])
    assert type(plain["a"]) is float
    assert plain["c"]["_history_buffer"][0].tolist() == [1.0, 2.0]
    with pytest.raises(TypeError, match="Path cannot be converted to tensors and built-in types"):
        to_plain({"x": Path("a")})


class Evil:
    """Unpickling this would make a folder."""

    def __reduce__(self):
        return os.mkdir, ("made-by-a-checkpoint",)


def test_nothing_in_a_checkpoint_is_executed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Evil()))
    torch.save({"state_dict": {}, "x": Evil()}, tmp_path / "evil2.pth")
    for name in ("evil.pth", "evil2.pth"):
        with pytest.raises(CheckpointError, match=f"{name}: not a checkpoint of tensors"):
            load_plain(name)
    assert not (tmp_path / "made-by-a-checkpoint").exists()


def test_config_in_a_checkpoint_is_not_executed(tmp_path: Path) -> None:
    make_runner(tmp_path, 1, workers=0).train()
    newest = str(latest_checkpoint(tmp_path))
    content = load_plain(newest)
    content["meta"]["config"] = f"x = __import__('os').mkdir({str(tmp_path / 'made')!r})"
    torch.save(content, newest)
    make_runner(tmp_path, 2, workers=0, load_from=newest, resume=True).train()
    assert (tmp_path / "epoch_2.pth").is_file()
    assert not (tmp_path / "made").exists()


def test_a_missing_and_a_broken_checkpoint_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere.pth: no such checkpoint"):
        load_plain(str(tmp_path / "nowhere.pth"))
    (tmp_path / "torn.pth").write_bytes(b"PK\x03\x04 torn")
    with pytest.raises(CheckpointError, match="torn.pth: not a checkpoint"):
        load_plain(str(tmp_path / "torn.pth"))


def test_an_archive_whose_end_is_damaged_is_named(tmp_path: Path) -> None:
    torch.save({"state_dict": {"w": torch.arange(5.0)}}, tmp_path / "a.pth")
    data = bytearray((tmp_path / "a.pth").read_bytes())
    data[data.index(b"PK\x06\x07") + 4] = (
        1  # "on the second disk": zipfile raises even when asked what it is
    )
    (tmp_path / "a.pth").write_bytes(data)
    with pytest.raises(CheckpointError, match=r"a.pth: damaged"):
        load_plain(str(tmp_path / "a.pth"))


def test_a_second_run_of_one_name_keeps_its_own_checkpoints(tmp_path: Path) -> None:
    runner = make_runner(tmp_path, 2, workers=0, checkpoint={"max_keep_ckpts": 2})
    # Of another run of this process, begun within the same second: mmengine's hub is then one.
    runner.message_hub.update_info("keep_ckpt_ids", [1, 2])
    runner.train()
    kept = sorted(file.name for file in tmp_path.glob("*.pth"))
    assert kept == ["epoch_1.pth", "epoch_2.pth"]
