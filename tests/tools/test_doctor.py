"""The doctor finds faults and says how to fix each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pgan.tools import doctor

ROOT = Path(__file__).resolve().parents[2]


def test_a_sound_environment_has_no_faults() -> None:
    findings = {finding.name: finding for finding in doctor.examine()}
    assert not [str(finding) for finding in findings.values() if finding.fix]
    assert {"python", "torch", "mmcv operators", "torchvision NMS", "GPU"} <= set(findings)


def test_runs_where_nothing_is_installed() -> None:
    command = [sys.executable, "-S", "-I", str(ROOT / "tools" / "doctor.py")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 1
    assert "FAULT  torch: not installed" in done.stdout
    assert done.stdout.count("fix: ") == done.stdout.count("FAULT")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("module", "error", "fix"),
    [
        ("cv2", ImportError("libGL.so.1: cannot open shared object file"), "libgl1"),
        ("torchvision", RuntimeError("operator torchvision::nms does not exist"), "of one release"),
        ("mmdet", AssertionError("MMCV==2.2.0 is used but incompatible"), "mmcv 2.1.0"),
    ],
)
def test_known_import_faults_have_their_own_fix(
    monkeypatch: pytest.MonkeyPatch, module: str, error: Exception, fix: str
) -> None:
    def fail(name: str) -> None:
        raise error

    monkeypatch.setattr(doctor.importlib, "import_module", fail)
    finding = doctor.check_package(module, module)
    assert fix in finding.fix
    assert str(error) in finding.found


def test_operators_built_for_another_torch_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(name: str) -> None:
        raise ImportError("_ext.so: undefined symbol: _ZN2at4_ops")

    monkeypatch.setattr(doctor.importlib, "import_module", fail)
    finding = doctor.check_mmcv_ops()
    assert "do not fit the installed torch" in finding.found
    assert "compile mmcv against this torch" in finding.fix


def test_a_folder_that_cannot_be_written_is_a_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(dir: Path) -> None:
        raise PermissionError(13, "Permission denied")

    assert not doctor.check_writable("results", tmp_path / "new" / "folder").fix
    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    finding = doctor.check_writable("results", tmp_path / "new")
    assert "Permission denied" in finding.found
    assert str(tmp_path) in finding.fix
