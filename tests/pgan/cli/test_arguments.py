"""Tests of `pgan.cli.arguments`: ``--cfg-options`` is read as by mmengine, and mistakes get one sentence."""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path

import pytest

from pgan.cli import ArgumentParser, positive_int

ROOT = Path(__file__).resolve().parents[3]


def parse(*arguments: str) -> argparse.Namespace:
    parser = ArgumentParser()
    parser.add_cfg_options()
    parser.add_argument("--top", type=positive_int, default=3)
    return parser.parse_args(arguments)


def test_cfg_options_values_are_converted_as_by_mmengine() -> None:
    texts = ["num_parts=4", "a.b=c=d", "size=(128,256)", "names=[x,y]"]
    options = parse(
        "--cfg-options", *texts, "--cfg-options", "num_parts=8", "flag=True"
    ).cfg_options
    assert options.pop("size") == (128, 256)
    assert options == {"num_parts": 8, "a.b": "c=d", "names": ["x", "y"], "flag": True}
    assert parse().cfg_options is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "nonsense: write KEY=VALUE"),
        ("=3", "=3: write KEY=VALUE"),
        ("size=((1,2)", "size=((1,2): Imbalanced brackets"),
    ],
)
def test_cfg_options_names_malformed_text(
    capsys: pytest.CaptureFixture[str], text: str, message: str
) -> None:
    with pytest.raises(SystemExit, match="2"):
        parse("--cfg-options", "num_parts=4", text)
    assert f"error: --cfg-options {message}" in capsys.readouterr().err


def test_positive_int_refuses_zero(capsys: pytest.CaptureFixture[str]) -> None:
    assert parse("--top", "1").top == 1
    with pytest.raises(SystemExit, match="2"):
        parse("--top", "0")
    assert "must be at least 1, got 0" in capsys.readouterr().err


def test_every_tool_adds_cfg_options_by_the_shared_parser() -> None:
    for tool in (ROOT / "tools").glob("*.py"):
        assert "DictAction" not in tool.read_text(), tool.name


@pytest.mark.slow
def test_a_malformed_cfg_option_ends_a_tool_with_one_sentence() -> None:
    command = [sys.executable, str(ROOT / "tools/train.py"), "x.py", "--cfg-options", "nonsense"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("train.py: error: --cfg-options nonsense: write")
