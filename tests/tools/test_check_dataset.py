"""The checker's command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from pgan.tools import check_dataset
from tests.pgan.datasets.layouts import make_vehicleid

ROOT = Path(__file__).resolve().parents[2]
CONFIG = "configs/pgan/baseline_r50_1xb64-130e_vehicleid-224x224.py"


def call(*words: object) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["check_dataset.py", *map(str, words)])
        return check_dataset.main()


def test_a_good_data_set_ends_with_zero(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    root = make_vehicleid(tmp_path)
    assert call(ROOT / CONFIG, "--decode", "--cfg-options", f"data_root={root}") == 0
    out = capsys.readouterr().out
    assert "VehicleID pool: 5 images of 2 vehicles" in out
    assert "published: 6493 images of 800 vehicles" in out
    assert "9 images decoded" in out
    assert out.endswith("no faults found\n")


def test_faults_end_with_one_each_kind_with_its_first(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    root = make_vehicleid(tmp_path)
    for name in ("0000002", "0000003"):
        (root / f"image/{name}.jpg").unlink()
    # `test_size` reaches all data sets, as the other keys at the top of a config do.
    options = ["--cfg-options", f"data_root={root}", "test_size=2400"]
    assert call(ROOT / CONFIG, *options) == 1
    out = capsys.readouterr().out
    assert "published: 19777 images of 2400 vehicles" in out
    assert "FAULT  missing image: 2, the first is\n" in out
    assert "train_list.txt:2: image/0000002.jpg is not there" in out


def test_missing_folder_and_other_kinds_of_config_are_refused(
    capsys: pytest.CaptureFixture,
) -> None:
    assert call(ROOT / CONFIG, "--cfg-options", "data_root=nowhere") == 1
    assert "error: data_root='nowhere' is not a folder" in capsys.readouterr().err
    assert call(ROOT / "configs/detector/ssd300_vgg16_parts.py") == 1
    assert "is not a re-identification config: see configs/pgan" in capsys.readouterr().err
