"""Set-up refuses what cannot work, in one sentence, before it downloads anything."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pgan.tools import setup_env

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("version", "fits"), [((3, 9), 0), ((3, 10), 1), ((3, 12), 1), ((3, 13), 0)]
)
def test_python_versions(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], fits: int
) -> None:
    monkeypatch.setattr(setup_env.sys, "version_info", (*version, 0))
    if fits:
        setup_env.check_python()
    else:
        with pytest.raises(
            setup_env.SetupError, match=r"need Python 3.10 to 3.12.*PYTHON=python3.11"
        ):
            setup_env.check_python()


def test_a_missing_compiler_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    with pytest.raises(setup_env.SetupError, match=r"`no-such-compiler` is not on the PATH.*g\+\+"):
        setup_env.check_compiler()


def test_missing_headers_are_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("CXX", sys.executable)
    monkeypatch.setattr(setup_env.sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    with pytest.raises(setup_env.SetupError, match="python3-dev"):
        setup_env.check_compiler()


def test_the_wheel_is_kept_by_python_and_torch(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    folder = setup_env.wheel_cache(Path(sys.executable))
    assert folder.parent == tmp_path / "pgan" / "wheels"
    assert folder.name.startswith(f"cp{sys.version_info[0]}{sys.version_info[1]}-torch2")


def test_a_fault_ends_in_one_line_and_a_status(tmp_path: Path) -> None:
    program = (
        "import sys, runpy; sys.version_info = (3, 9, 0, 'final', 0); sys.argv = ['x'];"
        f"runpy.run_path({str(ROOT / 'tools' / 'setup_env.py')!r}, run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 1
    assert done.stderr.startswith("[setup] error: Python")
    assert done.stderr.count("\n") == 1


def test_the_lock_pins_every_package_with_hashes() -> None:
    text = (ROOT / "requirements" / "lock.txt").read_text()
    pins = [line for line in text.splitlines() if "==" in line and not line.startswith((" ", "#"))]
    assert len(pins) > 80
    assert all(line.endswith("\\") for line in pins)
    assert any(line.startswith("torch==2.11.0") for line in pins)
