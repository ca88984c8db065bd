"""Writing files atomically, and the errors of a system that refuses to."""

from __future__ import annotations

import errno
import resource
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest
import torch

from detector.common.files import write_atomically

ARRAY = np.zeros((300, 300))


@pytest.fixture
def small_file_limit() -> Iterator[None]:
    """Let the system refuse files of more than 100 kB, as a full disk would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize(
    "write",
    [
        lambda file: file.write(ARRAY.tobytes()),
        lambda file: np.save(file, ARRAY),
        lambda file: np.savez(file, a=ARRAY, b=ARRAY),
        lambda file: torch.save({"a": torch.from_numpy(ARRAY)}, file),
    ],
    ids=["bytes", "npy", "npz", "torch"],
)
def test_write_atomically_keeps_the_old_file_and_names_it_when_the_disk_is_full(
    tmp_path: Path, small_file_limit: None, write: Callable[[BinaryIO], object]
) -> None:
    path = write_atomically(tmp_path / "a.bin", lambda file: file.write(b"old"))
    with pytest.raises(OSError, match="too large") as caught:
        write_atomically(path, write)
    assert (caught.value.errno, caught.value.filename) == (errno.EFBIG, str(path))
    assert [file.name for file in tmp_path.iterdir()] == ["a.bin"]
    assert path.read_bytes() == b"old"


def test_write_atomically_names_a_folder_or_file_that_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").write_text("mine")
    for path, named in (("folder", "folder"), ("file/a", "file"), ("file/b/a", "file/b")):
        with pytest.raises(OSError, match="directory|exists") as caught:
            write_atomically(tmp_path / path, lambda file: file.write(b"x"))
        assert caught.value.filename == str(tmp_path / named)
    assert sorted(file.name for file in tmp_path.rglob("*")) == ["file", "folder"]


def test_write_atomically_keeps_the_name_in_an_error_about_another_file(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError) as caught:
        write_atomically(tmp_path / "a", lambda file: file.write(tmp_path.read_bytes()))
    assert caught.value.filename == str(tmp_path)
