"""Tests of `pgan.cli.command`: one command runs every tool."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgan.cli.command import main, tool_files

ROOT = Path(__file__).resolve().parents[3]


def test_every_tool_is_a_subcommand_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    listed = dict(
        line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line[:2] == "  "
    )
    names = {file.stem.replace("_", "-") for file in (ROOT / "tools").glob("*.py")}
    assert set(listed) == set(tool_files()) == names - {"--init--", "setup-env"}
    assert all(len(sentence) > 20 for sentence in listed.values())


def test_no_arguments_print_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("usage: pgan COMMAND")


def test_arguments_are_passed_to_the_tool(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit, match="0"):
        main(["train", "--help"])
    assert capsys.readouterr().out.startswith("usage: pgan train ")


@pytest.mark.parametrize(
    ("name", "hint"),
    [("extract_parts", "did you mean `pgan extract-parts`?"), ("xyz", "see `pgan --help`")],
)
def test_unknown_subcommand_is_refused_with_a_hint(
    capsys: pytest.CaptureFixture[str], name: str, hint: str
) -> None:
    assert main([name]) == 2
    assert capsys.readouterr().err == f"pgan: error: {name!r} is not a command: {hint}\n"
