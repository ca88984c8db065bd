"""The ``pgan`` command: ``pgan train CONFIG`` runs ``tools/train.py CONFIG``, and so on for every tool."""

from __future__ import annotations

import ast
import difflib
import importlib
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

_NOT_COMMANDS = ("__init__", "setup_env")


def tool_files() -> dict[str, Path]:
    """Return the tools by the name of their subcommand, such as ``extract-parts``."""
    spec = find_spec("pgan.tools")
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError("pgan.tools is not installed: run `pip install -e .`")
    folder = Path(spec.submodule_search_locations[0])
    files = sorted(file for file in folder.glob("*.py") if file.stem not in _NOT_COMMANDS)
    return {file.stem.replace("_", "-"): file for file in files}


def usage() -> str:
    """List the subcommands with the first sentence of each."""
    files = tool_files()
    width = max(map(len, files))
    lines = [f"  {name:{width}}  {_summary(file)}" for name, file in files.items()]
    return "\n".join(
        ["usage: pgan COMMAND [ARGUMENTS]", "", "commands:", *lines, "", "pgan COMMAND --help"]
    )


def _summary(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text(encoding="utf-8"))) or ""
    return docstring.splitlines()[0].partition(": ``python")[0].rstrip(".:")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a subcommand; return the exit status.

    Args:
        arguments: Subcommand and its arguments; None for those of the command line.
    """
    name, *rest = list(sys.argv[1:] if arguments is None else arguments) or ["--help"]
    if name in ("-h", "--help"):
        print(usage())
        return 0
    files = tool_files()
    if name not in files:
        similar = difflib.get_close_matches(name, files, 1)
        hint = f"did you mean `pgan {similar[0]}`?" if similar else "see `pgan --help`"
        print(f"pgan: error: {name!r} is not a command: {hint}", file=sys.stderr)
        return 2
    sys.argv = [f"pgan {name}", *rest]
    return importlib.import_module(f"pgan.tools.{files[name].stem}").main()
