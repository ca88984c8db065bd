"""File locks, and programs that need none of them on a system without ``fcntl``."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from detector.common.locks import exclusive_lock, lock_bytes


class BusyError(ValueError):
    """The error type of the caller."""


def lock_in_child(folder: Path, inherited: bool) -> str:
    """What another process reports that takes the lock of a folder."""
    program = (
        "import sys\n"
        "from detector.common.locks import exclusive_lock\n"
        f"with exclusive_lock(sys.argv[1], ValueError, inherited={inherited}):\n"
        "    print('locked')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(folder)], capture_output=True, text=True, check=False
    )
    return (done.stdout + done.stderr).strip().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("inherited", [True, False])
def test_exclusive_lock_is_refused_to_another_process_until_released(
    tmp_path: Path, inherited: bool
) -> None:
    folder = tmp_path / "new" / "folder"
    with exclusive_lock(folder, BusyError, inherited=inherited):
        assert lock_in_child(folder, inherited).endswith(
            f"{folder}: another process is using it: wait until it ends, or end it"
        )
    assert lock_in_child(folder, inherited) == "locked"


def test_exclusive_lock_raises_when_a_file_is_in_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("mine")
    with (
        pytest.raises(BusyError, match="file: cannot be written to"),
        exclusive_lock(tmp_path / "file", BusyError),
    ):
        pass


def test_locks_report_a_system_without_fcntl(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fcntl", None)
    for inherited in (True, False):
        with (
            pytest.raises(BusyError, match=r"cannot be locked \(Python has no fcntl on this"),
            exclusive_lock(tmp_path, BusyError, inherited=inherited),
        ):
            pass
    with (tmp_path / "a").open("a") as file, pytest.raises(OSError, match="use Linux or macOS"):
        lock_bytes(file.fileno(), 0, 1)


@pytest.mark.slow
def test_reading_a_cache_and_images_imports_no_locks() -> None:
    program = (
        "import os, sys\n"
        "sys.modules['fcntl'] = None\n"
        "import detector.cache, detector.common.images\n"
        "print('detector.common.locks' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert (done.stdout.strip(), done.stderr) == ("False", "")
