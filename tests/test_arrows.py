"""Arrows run one way: tools → pgan → detector's leaves; who trains re-identification needs no mmdet."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def imported(file: Path) -> set[str]:
    """Modules that a file imports, wherever in it."""
    nodes = list(ast.walk(ast.parse(file.read_text(encoding="utf-8"))))
    plain = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    return plain | {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}


def test_the_detector_knows_nothing_of_re_identification() -> None:
    files = list((ROOT / "detector").rglob("*.py"))
    assert len(files) > 20
    for file in files:
        roots = {module.partition(".")[0] for module in imported(file)}
        assert not roots & {"pgan", "fleet"}, file.name


def test_re_identification_trains_without_mmdet() -> None:
    code = "import sys, pgan.apis, pgan.models, pgan.engine, pgan.datasets; print('mmdet' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "False"
