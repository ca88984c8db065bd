"""Tests of `pgan.cli.errors`: a user's mistake ends in one sentence, a defect keeps its traceback."""

from __future__ import annotations

import errno
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from subprocess import PIPE

import pytest
from torch.utils.data import DataLoader, Dataset

from pgan.apis import ConfigError
from pgan.cli.errors import error_sentence, report_errors

ROOT = Path(__file__).resolve().parents[3]


def test_project_error_is_printed_as_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @report_errors
    def main() -> int:
        raise ConfigError("a.py: no such config file")

    assert main() == 1
    assert capsys.readouterr().err == "error: a.py: no such config file\n"


def test_unknown_error_keeps_its_traceback() -> None:
    @report_errors
    def main() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a.pth"),
            "a.pth (No space left on device): free",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "cannot write (No space left on device): free",
        ),
        (
            OSError(errno.EROFS, "Read-only file system", "a"),
            "a (Read-only file system): change its",
        ),
        (
            PermissionError(errno.EACCES, "Permission denied", "a"),
            "a (Permission denied): change its",
        ),
        (
            FileExistsError(errno.EEXIST, "File exists", "a"),
            "a (File exists): a file stands where a folder",
        ),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "x", None, "y"),
            "y (Is a directory): a file",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"),
            "exited unexpectedly), most likely because memory ran out: use fewer",
        ),
    ],
    ids=str,
)
def test_system_error_is_printed_as_one_sentence_with_a_fix(
    capsys: pytest.CaptureFixture[str], error: Exception, message: str
) -> None:
    @report_errors
    def main() -> int:
        raise error

    assert main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert message in line


@pytest.mark.parametrize(
    "error",
    [
        OSError("odd"),
        PermissionError(errno.EPERM, "no"),
        RuntimeError("?"),
        BrokenPipeError("other"),
    ],
)
def test_system_error_without_a_file_keeps_its_traceback(error: Exception) -> None:
    @report_errors
    def main() -> int:
        raise error

    with pytest.raises(type(error)):
        main()


def test_killed_data_loader_worker_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    class Deadly(Dataset):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> None:
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out

    @report_errors
    def main() -> int:
        return len(list(DataLoader(Deadly(), num_workers=1)))

    assert main() == 1
    assert "memory ran out: use fewer workers (--workers, or" in capsys.readouterr().err


def test_logging_and_threads_print_one_line_on_a_full_disk(
    capsys: pytest.CaptureFixture[str],
) -> None:
    full, hook = OSError(errno.ENOSPC, "No space left on device", "a.log"), threading.excepthook

    class Full(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            try:
                raise full
            except OSError:
                self.handleError(record)

    def write() -> None:
        raise full

    @report_errors
    def main() -> int:
        logger = logging.Logger("full")
        logger.addHandler(Full())
        logger.warning("a line")
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
        return 0

    assert main() == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: cannot read or write a.log (No space left on device)")
    assert threading.excepthook is hook


def test_keyboard_interrupt_returns_130() -> None:
    @report_errors
    def main() -> int:
        raise KeyboardInterrupt

    assert main() == 130


@pytest.mark.slow
@pytest.mark.parametrize("lines", [1, 100_000])  # fewer and more than a pipe holds
def test_closed_output_pipe_ends_without_a_message(lines: int) -> None:
    code = f"""
import sys
from pgan.cli import report_errors
sys.stdin.read()
sys.exit(report_errors(lambda: print("line\\n" * {lines}))())
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) as tool:
        tool.stdout.close()
        tool.stdin.close()
        assert tool.stderr.read() == ""
    assert tool.returncode == 128 + signal.SIGPIPE


def test_error_sentence_takes_the_last_line_of_a_worker_traceback() -> None:
    message = "Caught ImageError in DataLoader worker process 0.\nOriginal Traceback:\n"
    assert error_sentence(
        ValueError(message + "  x\ndetector.images.ImageError: a.jpg: is damaged\n")
    ) == ("a.jpg: is damaged")


@pytest.mark.slow
@pytest.mark.parametrize("tool", ["train.py", "test.py"])
def test_missing_config_is_one_sentence(tool: str) -> None:
    command = [sys.executable, str(ROOT / "tools" / tool), "nowhere.py"]
    done = subprocess.run(
        command + (["x.pth"] if tool == "test.py" else []), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert done.stderr == "error: nowhere.py: no such config file: see configs/\n"
