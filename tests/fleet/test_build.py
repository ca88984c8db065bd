"""Writing a fleet to disk, and the command."""

from __future__ import annotations

import dataclasses
import json
import sys

import numpy as np
import pytest

from fleet import FleetError, FleetSpec, make_fleet, read_fleet
from fleet.preview import contact_sheet
from pgan.tools import make_fleet as tool

pytestmark = pytest.mark.slow


@pytest.mark.slow
def test_make_fleet_writes_the_same_bytes_with_two_workers(fleet_dir, spec, tmp_path, file_digests):
    make_fleet(tmp_path / "again", spec, workers=2)
    assert file_digests(tmp_path / "again") == file_digests(fleet_dir)


def test_another_seed_gives_other_images(fleet_dir, spec, tmp_path, file_digests):
    make_fleet(tmp_path / "other", dataclasses.replace(spec, seed=6))
    assert not set(file_digests(tmp_path / "other").values()) >= set(
        file_digests(fleet_dir).values()
    )
    names = (tmp_path / "other" / "name_test.txt").read_text()
    assert names != (fleet_dir / "name_test.txt").read_text()


def test_number_and_size_of_images_do_not_change_vehicles(spec):
    from fleet.vehicle import draw_fleet

    assert draw_fleet(spec) == draw_fleet(dataclasses.replace(spec, images_per_vehicle=30, size=64))


def test_make_fleet_reports_progress_and_counts(spec, tmp_path):
    seen = []
    summary = make_fleet(tmp_path / "out", spec, on_images=seen.append)
    assert sum(seen) == summary.train + summary.gallery + summary.detector == 12 * 6 + 16
    again = make_fleet(tmp_path / "out", spec, on_images=seen.append)
    assert again == dataclasses.replace(summary, kept=True)
    assert sum(seen) == 12 * 6 + 16  # nothing was rendered again


def test_an_interrupted_run_leaves_no_fleet_and_the_next_one_succeeds(
    fleet_dir, spec, tmp_path, file_digests
):
    out, calls = tmp_path / "out", []

    def interrupt(count: int) -> None:
        calls.append(count)
        if len(calls) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_fleet(out, spec, on_images=interrupt)
    assert not out.exists()
    make_fleet(out, spec)
    assert file_digests(out) == file_digests(fleet_dir)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_make_fleet_refuses_and_keeps_a_folder_with_other_files(spec, tmp_path, file_digests):
    (tmp_path / "mine.txt").write_text("keep")
    before = file_digests(tmp_path)
    for overwrite in (False, True):
        with pytest.raises(FleetError, match="not a fleet"):
            make_fleet(tmp_path, spec, overwrite=overwrite)
    assert file_digests(tmp_path) == before


def test_make_fleet_refuses_a_folder_with_another_fleet_json(spec, tmp_path):
    (tmp_path / "fleet.json").write_text(json.dumps(["something else"]))
    with pytest.raises(FleetError, match="not a fleet"):
        make_fleet(tmp_path, spec)


def test_make_fleet_refuses_a_temporary_folder_with_other_files(spec, tmp_path):
    (tmp_path / ".out.making").mkdir()
    (tmp_path / ".out.making" / "mine.txt").write_text("keep")
    with pytest.raises(FleetError, match="in the way"):
        make_fleet(tmp_path / "out", spec)
    assert (tmp_path / ".out.making" / "mine.txt").read_text() == "keep"


def test_another_fleet_is_replaced_only_with_overwrite(tmp_path):
    one = FleetSpec(vehicles=4, images_per_vehicle=2, size=48)
    other = dataclasses.replace(one, seed=1)
    make_fleet(tmp_path / "out", one)
    with pytest.raises(FleetError, match="seed 0, not 1"):
        make_fleet(tmp_path / "out", other)
    assert read_fleet(tmp_path / "out")["spec"]["seed"] == 0
    make_fleet(tmp_path / "out", other, overwrite=True)
    assert read_fleet(tmp_path / "out")["spec"]["seed"] == 1


def test_out_may_be_an_empty_folder_but_not_a_file(tmp_path):
    spec = FleetSpec(vehicles=4, images_per_vehicle=2, size=48)
    (tmp_path / "empty").mkdir()
    make_fleet(tmp_path / "empty", spec)
    assert (tmp_path / "empty" / "fleet.json").is_file()
    (tmp_path / "file").write_text("")
    with pytest.raises(FleetError, match="is a file"):
        make_fleet(tmp_path / "file", spec)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vehicles": 0}, "vehicles = 0: must be from 4"),
        ({"vehicles": 10_000}, "vehicles = 10000"),
        ({"images_per_vehicle": 1}, "images_per_vehicle = 1"),
        ({"seed": -1}, "seed = -1"),
        ({"size": 16}, "size = 16"),
        ({"twins": 1}, "twins = 1"),
        ({"twin_share": 1.5}, "twin_share = 1.5"),
        ({"occluded": float("nan")}, "occluded = nan"),
        ({"detector_images": 3, "detector_vehicles": 5}, "some would have none"),
        (
            {"vehicles": 9000, "detector_images": 8000, "detector_vehicles": 2000},
            "9999 vehicles at most",
        ),
    ],
)
def test_spec_reports_bad_parameters_in_one_sentence(change, message):
    with pytest.raises(FleetError, match=message) as caught:
        FleetSpec(**change)
    assert "\n" not in str(caught.value)


def test_make_fleet_refuses_zero_workers(spec, tmp_path):
    with pytest.raises(FleetError, match="workers = 0"):
        make_fleet(tmp_path / "out", spec, workers=0)
    assert not (tmp_path / "out").exists()


def test_extreme_parameters_give_a_fleet(tmp_path):
    spec = FleetSpec(
        vehicles=6, images_per_vehicle=2, size=48, cameras=2, twins=12, twin_share=1, detail_change=0.2,
        test_share=0.9, rear_share=1, occluded=1, detector_images=2, detector_vehicles=1,
    )  # fmt: skip
    summary = make_fleet(tmp_path / "out", spec)
    assert summary.train > 0
    assert summary.query == 2 * summary.gallery // 2


def test_tool_writes_a_fleet_and_its_preview(monkeypatch, capsys, tmp_path):
    out = tmp_path / "out"
    arguments = (
        f"make_fleet {out} --vehicles 8 --images-per-vehicle 2 --size 64 --workers 1 --preview"
    )
    monkeypatch.setattr(sys, "argv", arguments.split())
    assert tool.main() == 0
    printed = capsys.readouterr().out
    assert "12 training images" in printed
    assert "images/s" in printed
    assert (out / "preview.png").stat().st_size > 10_000
    monkeypatch.setattr(sys, "argv", [*arguments.split(), "--seed", "3"])
    assert tool.main() == 1
    assert "seed 0, not 3" in capsys.readouterr().err


def test_contact_sheet_shows_twins_side_by_side(spec):
    sheet = contact_sheet(spec, size=48)
    assert sheet.dtype == np.uint8
    assert sheet.shape[1] > 8 * 48
    assert sheet.shape[0] > 4 * 48
