"""The study on the fleet: what it runs, and what it leaves."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pgan.apis import ConfigError
from pgan.experiments.fleet_study import FleetStudy
from pgan.experiments.sweeps import plan
from pgan.tools import fleet_study

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]
CONFIGS = sorted((ROOT / "configs/study").glob("*.py"))


@pytest.fixture(autouse=True)
def in_the_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("config", CONFIGS, ids=lambda path: path.stem)
def test_every_model_is_trained_once_per_seed_and_compared_with_the_baseline(
    config: Path, tmp_path: Path
) -> None:
    study = FleetStudy.read(str(config), tmp_path)
    sweeps = study.sweeps(study.config.seeds)
    jobs = [job for sweep in sweeps for job in plan(sweep, tmp_path)]
    points = sum(len(sweep.points) for sweep in sweeps)
    assert len(jobs) == points * len(study.config.seeds)
    # The baseline is in all four; so is PGAN as it is, as a D and as the detector's boxes.
    assert len({job.folder.path for job in jobs}) == (points - 3 - 3) * len(study.config.seeds)
    for sweep in sweeps:
        assert [point.reference for point in sweep.points] == [True] + [False] * (
            len(sweep.points) - 1
        )


def test_each_cache_that_a_model_trains_on_is_made_by_a_step(tmp_path: Path) -> None:
    study = FleetStudy.read(str(CONFIGS[0]), tmp_path)
    made = {step.done.parent for step in study.steps()}
    boxes = next(sweep for sweep in study.sweeps([0]) if sweep.name == "boxes")
    used = {
        job.folder.options["part_cache"]
        for job in plan(boxes, tmp_path)
        if not job.runs[0].point.reference
    }
    assert len(used) == 2 + len(study.perturbed)
    assert {Path(cache) for cache in used} <= made
    assert used < set(study.steps()[-1].command)  # and compared with the truth


def test_finished_runs_become_tables_and_plots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "study.py"
    config.write_text(f"_base_ = {str(ROOT / 'configs/study/fleet_cpu.py')!r}\nseeds = [0, 2]\n")
    study = FleetStudy.read(str(config), tmp_path)
    for step in study.steps():
        step.done.parent.mkdir(parents=True, exist_ok=True)
        step.done.write_text("{}")
    for sweep in study.sweeps(study.config.seeds):
        for job in plan(sweep, tmp_path):
            for run in job.runs:
                run.folder.path.mkdir(parents=True, exist_ok=True)
                value = (40.0 if run.point.reference else 50.0) + run.seed
                results = {"metrics": {"reid/mAP": value}}
                (run.folder.path / "results.json").write_text(json.dumps(results))
    words = ["fleet_study.py", str(config), "--work-dir", str(tmp_path)]
    monkeypatch.setattr(sys, "argv", words)
    assert fleet_study.main() == 0
    printed = capsys.readouterr().out
    for name in ("attention", "parts", "boxes", "models"):
        table = (tmp_path / f"{name}.md").read_text()
        assert table.strip() in printed
        assert "41.0 ± 1.4" in table
        assert "51.0 ± 1.4" in table
        assert (tmp_path / f"{name}.png").stat().st_size > 1000
    assert "| PGAN without PAM |" in (tmp_path / "attention.md").read_text()
    assert "| SSR-Net " in (tmp_path / "models.md").read_text()
    assert "| noise 0.25 " in (tmp_path / "boxes.md").read_text()


def test_a_config_of_something_else_is_refused(tmp_path: Path) -> None:
    config = ROOT / "configs/pgan/baseline_r18-cpu_1xb64-24e_fleet-96x96.py"
    with pytest.raises(ConfigError, match=r"is not a study, it has no 'fleet': see configs/study"):
        FleetStudy.read(str(config), tmp_path)
