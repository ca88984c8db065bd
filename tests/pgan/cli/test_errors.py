"""A user's mistake ends in a sentence; a defect keeps its traceback."""

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
from pgan.tools.cli import report_errors, sentence

ROOT = Path(__file__).resolve().parents[2]


def test_our_errors_become_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    @report_errors
    def main() -> int:
        raise ConfigError("a.py: no such config file")

    assert main() == 1
    assert capsys.readouterr().err == "error: a.py: no such config file\n"


def test_a_defect_keeps_its_traceback() -> None:
    @report_errors
    def main() -> int:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        main()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (
            OSError(errno.ENOSPC, "No space left on device", "a.pth"),
            "a.pth (No space left on device): free",
        ),
        (
            OSError(errno.ENOSPC, "No space left on device"),
            "cannot write (No space left on device): free",
        ),
        (OSError(errno.EROFS, "Read-only file system", "a"), "a (Read-only file system): allow it"),
        (
            PermissionError(errno.EACCES, "Permission denied", "a"),
            "a (Permission denied): allow it",
        ),
        (
            FileExistsError(errno.EEXIST, "File exists", "a"),
            "a (File exists): a file is where a folder",
        ),
        (
            IsADirectoryError(errno.EISDIR, "Is a directory", "x", None, "y"),
            "y (Is a directory): a file",
        ),
        (
            RuntimeError("DataLoader worker (pid(s) 7) exited unexpectedly"),
            "(DataLoader worker (pid(s) 7) exited unexpectedly): most likely memory ran out; use fewer",
        ),
    ],
    ids=str,
)
def test_what_the_system_refuses_is_one_sentence_with_the_mend(
    capsys: pytest.CaptureFixture[str], error: Exception, words: str
) -> None:
    @report_errors
    def main() -> int:
        raise error

    assert main() == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: ")
    assert words in line


@pytest.mark.parametrize(
    "error",
    [
        OSError("odd"),
        PermissionError(errno.EPERM, "no"),
        RuntimeError("?"),
        BrokenPipeError("other"),
    ],
)
def test_what_names_no_file_is_a_defect(error: Exception) -> None:
    @report_errors
    def main() -> int:
        raise error

    with pytest.raises(type(error)):
        main()


def test_a_killed_worker_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    class Deadly(Dataset):
        def __len__(self) -> int:
            return 1

        def __getitem__(self, index: int) -> None:
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out

    @report_errors
    def main() -> int:
        return len(list(DataLoader(Deadly(), num_workers=1)))

    assert main() == 1
    assert "memory ran out; use fewer of them (--workers, or" in capsys.readouterr().err


def test_logs_and_threads_that_cannot_write_are_as_brief(
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


def test_an_interruption_returns_130() -> None:
    @report_errors
    def main() -> int:
        raise KeyboardInterrupt

    assert main() == 130


@pytest.mark.parametrize("lines", [1, 100_000])  # fewer and more than a pipe holds
def test_output_that_nobody_reads_on_ends_quietly(lines: int) -> None:
    code = f"""
import sys
from pgan.tools.cli import report_errors
sys.stdin.read()
sys.exit(report_errors(lambda: print("line\\n" * {lines}))())
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=PIPE, stdout=PIPE, stderr=PIPE, text=True) as tool:
        tool.stdout.close()
        tool.stdin.close()
        assert tool.stderr.read() == ""
    assert tool.returncode == 128 + signal.SIGPIPE


def test_the_last_line_of_a_workers_message_is_the_sentence() -> None:
    message = "Caught ImageError in DataLoader worker process 0.\nOriginal Traceback:\n"
    assert sentence(
        ValueError(message + "  x\ndetector.images.ImageError: a.jpg: is damaged\n")
    ) == ("a.jpg: is damaged")


@pytest.mark.parametrize("tool", ["train.py", "test.py"])
def test_a_missing_config_is_one_sentence(tool: str) -> None:
    command = [sys.executable, str(ROOT / "tools" / tool), "nowhere.py"]
    done = subprocess.run(
        command + (["x.pth"] if tool == "test.py" else []), capture_output=True, text=True
    )
    assert done.returncode == 1
    assert (
        done.stderr == "error: nowhere.py: no such config file: see configs/ for those there are\n"
    )


@pytest.mark.parametrize("tool", ["extract_parts", "gallery", "part_cache", "train"])
def test_a_tool_loads_no_network_before_it_needs_one(tool: str) -> None:
    code = f"import sys, pgan.tools.{tool}; print({{'torch', 'mmdet', 'matplotlib'}} & {{*sys.modules}})"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "set()"
