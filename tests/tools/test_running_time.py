"""The tool's command line; the figures themselves are measured, not tested."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pgan.tools import running_time

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def test_each_stage_is_timed_on_small_models(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fleet = {
        model: str(next((ROOT / "configs/pgan").glob(f"{model}_r18-cpu_*_fleet-*.py")))
        for model in ("pgan", "baseline")
    }
    detector = str(ROOT / "configs/detector/ssdlite_mobilenetv2_parts.py")
    words = ["--detector", detector, "--pgan", fleet["pgan"], "--baseline", fleet["baseline"]]
    words += ["--repeats", "1", "--batch-size", "2", "--json", str(tmp_path / "out.json")]
    monkeypatch.setattr(sys, "argv", ["running_time.py", *words])
    assert running_time.main() == 0
    written = json.loads((tmp_path / "out.json").read_text())
    ms = {name: written[f"{name}_ms"] for name in ("detector", "baseline", "pgan")}
    assert all(value > 0 for value in ms.values())
    assert written["detector_and_pgan_ms"] == pytest.approx(ms["detector"] + ms["pgan"])
    assert written["pgan_over_baseline"] == pytest.approx(ms["pgan"] / ms["baseline"])
    assert "batches of 2, float32" in capsys.readouterr().out


def test_no_frames_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["running_time.py", "--batch-size", "0"])
    assert running_time.main() == 1
    assert "--batch-size and --repeats are 1 or more" in capsys.readouterr().err
