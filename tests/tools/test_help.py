"""Every tool answers ``--help`` and a mistyped option before it imports anything that takes long."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TOOLS = sorted(file.stem for file in (ROOT / "tools").glob("*.py") if file.stem != "__init__")
HEAVY = {
    *("torch", "torchvision", "mmengine", "mmcv", "mmdet", "cv2"),
    *("matplotlib", "sklearn", "scipy", "faiss"),
}
# Runs a tool with some arguments in a process of its own, and prints its exit status and heavy modules.
RUN = """
import json, runpy, sys
sys.argv = json.loads(sys.argv[1])
try:
    runpy.run_path(sys.argv[0], run_name="__main__")
    status = None
except SystemExit as error:
    status = error.code
print(json.dumps([status, sorted(set(json.loads(%r)) & set(sys.modules))]))
"""


def run(tool: str, *arguments: str) -> tuple[int, list[str], str]:
    """Exit status, heavy modules and printed text of a tool."""
    command = json.dumps([str(ROOT / "tools" / f"{tool}.py"), *arguments])
    code = RUN % json.dumps(sorted(HEAVY))
    done = subprocess.run([sys.executable, "-c", code, command], capture_output=True, text=True)
    text, _, result = done.stdout.rstrip().rpartition("\n")
    return *json.loads(result), text + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_help_imports_nothing_heavy(tool: str) -> None:
    status, heavy, text = run(tool, "--help")
    assert (status, heavy) == (0, [])
    assert text.startswith("usage: ")


@pytest.mark.slow
@pytest.mark.parametrize("tool", TOOLS)
def test_mistyped_option_imports_nothing_heavy(tool: str) -> None:
    status, heavy, text = run(tool, "--no-such-option")
    assert (status, heavy) == (2, [])
    assert "error: " in text
