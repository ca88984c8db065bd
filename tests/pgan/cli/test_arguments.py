"""``--cfg-options``: as mmengine reads them, and a mistake in them in one sentence."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from pgan.tools.options import Options, count

ROOT = Path(__file__).resolve().parents[2]


def parse(*words: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    parser.add_argument("--cfg-options", nargs="+", action=Options)
    parser.add_argument("--top", type=count, default=3)
    return parser.parse_args(words)


def test_values_are_read_as_by_mmengine() -> None:
    words = ["num_parts=4", "a.b=c=d", "size=(128,256)", "names=[x,y]"]
    read = parse("--cfg-options", *words, "--cfg-options", "num_parts=8", "flag=True").cfg_options
    assert read.pop("size") == (128, 256)
    assert read == {"num_parts": 8, "a.b": "c=d", "names": ["x", "y"], "flag": True}
    assert parse().cfg_options is None


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense", "nonsense: write KEY=VALUE"),
        ("=3", "=3: write KEY=VALUE"),
        ("size=((1,2)", "size=((1,2): Imbalanced brackets"),
    ],
)
def test_another_form_is_named(capsys: pytest.CaptureFixture[str], text: str, words: str) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("--cfg-options", "num_parts=4", text)
    assert f"error: --cfg-options {words}" in capsys.readouterr().err


def test_a_count_is_one_or_more(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse("--top", "1").top == 1
    with pytest.raises(SystemExit, match="2"):
        parse("--top", "0")
    assert "at least 1, not 0" in capsys.readouterr().err


def test_every_tool_reads_its_options_so() -> None:
    for tool in (ROOT / "tools").glob("*.py"):
        text = tool.read_text()
        assert "action=DictAction" not in text, tool.name
        assert text.count('"--cfg-options"') == text.count("action=Options"), tool.name


def test_a_tool_ends_in_the_sentence() -> None:
    command = [sys.executable, str(ROOT / "tools/train.py"), "x.py", "--cfg-options", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("train.py: error: --cfg-options nonsense: write")
