"""A user's mistake ends in a sentence; a defect keeps its traceback."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

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


def test_an_interruption_returns_130() -> None:
    @report_errors
    def main() -> int:
        raise KeyboardInterrupt

    assert main() == 130


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
