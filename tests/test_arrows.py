"""The rooms of the house import each other in one direction only: towards where the data comes from."""

from __future__ import annotations

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OURS = ("detector", "pgan", "fleet")
# Floors from the ground up: a room imports from lower floors only, and from itself.
DETECTOR = [["common"], ["cache", "model"], ["extraction"]]
PGAN = [
    ["errors", "registry", "structures", "tables"],
    ["evaluation", "datasets"],
    ["engine"],
    ["models", "apis"],
    ["inference", "visualization"],
    ["gallery", "experiments"],
    ["benchmarks"],
    ["cli"],
]
# Rooms of `pgan` that run the detector; the others know of it the part cache and what both stages share.
RUN_THE_DETECTOR = {"inference", "experiments", "benchmarks"}
OPENMMLAB = {"mmdet", "mmcv", "mmengine"}
# Files of `detector.common` that are about torch, as their names say.
ABOUT_TORCH = {"checkpoint.py", "device.py"}


@cache
def imported(file: Path) -> frozenset[str]:
    """Full names of the modules that a file imports, anywhere in it, those for type checking included."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            found |= (
                {f"{module}.{alias.name}" for alias in node.names} if module in OURS else {module}
            )
    return frozenset(found)


def files(*folders: str) -> list[Path]:
    return [file for folder in folders for file in sorted((ROOT / folder).rglob("*.py"))]


def room(name: str) -> str:
    """`pgan.gallery.store` -> `gallery`; `pgan/apis.py` -> `apis`."""
    parts = name.removesuffix(".py").replace("/", ".").split(".")
    return parts[1] if len(parts) > 1 else ""


def room_of(file: Path) -> str:
    return room(file.relative_to(ROOT).as_posix())


def edges(package: str) -> set[tuple[str, str, str]]:
    """File, its room, and each other room of the same package that it imports."""
    return {
        (file.relative_to(ROOT).as_posix(), room_of(file), room(name))
        for file in files(package)
        if room_of(file) != "__init__"
        for name in imported(file)
        if name.startswith(f"{package}.") and room(name) != room_of(file)
    }


@pytest.mark.parametrize(("package", "floors"), [("detector", DETECTOR), ("pgan", PGAN)])
def test_rooms_import_from_lower_floors_only(package: str, floors: list[list[str]]) -> None:
    floor = {name: number for number, names in enumerate(floors) for name in names}
    found = edges(package)
    assert {name for _, *names in found for name in names} <= floor.keys()
    assert len(found) > 3
    upwards = [edge for edge in found if floor[edge[1]] <= floor[edge[2]]]
    assert not upwards


def test_the_detector_knows_nothing_of_re_identification() -> None:
    for file in files("detector"):
        roots = {name.partition(".")[0] for name in imported(file)}
        assert not roots & {"pgan", "fleet"}, file


def test_common_and_cache_import_no_framework() -> None:
    for file in files("detector/common", "detector/cache"):
        roots = {name.partition(".")[0] for name in imported(file)}
        assert not roots & OPENMMLAB, file
        assert file.name in ABOUT_TORCH or not roots & {"torch", "torchvision"}, file


def test_only_rooms_that_run_the_detector_import_it() -> None:
    for file in files("pgan"):
        rooms = {room(name) for name in imported(file) if name.startswith("detector.")}
        if room_of(file) not in RUN_THE_DETECTOR:
            assert rooms <= {"common", "cache"}, file


def test_evaluation_knows_nothing_of_runners_and_configs() -> None:
    for file in files("pgan/evaluation"):
        assert not {name.partition(".")[0] for name in imported(file)} & OPENMMLAB, file


def test_only_tools_import_benchmarks() -> None:
    for file in files("detector", "pgan", "data"):
        if room_of(file) != "benchmarks":
            assert not any(name.startswith("pgan.benchmarks") for name in imported(file)), file


def test_references_of_tests_alone_live_in_tests() -> None:
    used = {name for file in files("detector", "pgan", "tools") for name in imported(file)}
    references = [file for file in files("detector", "pgan") if "reference" in file.stem]
    for file in references:
        name = ".".join(file.relative_to(ROOT).with_suffix("").parts)
        assert name in used, f"{name} is imported by tests alone: move it there"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("pgan.apis, pgan.models, pgan.engine, pgan.datasets", ["mmdet"]),
        ("detector.cache", ["torch", "mmengine", "mmdet", "cv2"]),
        ("pgan", ["torch", "numpy"]),
        ("pgan.evaluation", ["mmengine", "torch"]),
    ],
)
def test_importing_a_package_leaves_out_what_it_does_not_use(
    modules: str, absent: list[str]
) -> None:
    code = f"import sys, {modules}; print(sorted(set({absent}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
