"""Which runs a sweep comes to, in which folders, and what is refused before any begins."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from pgan.apis import ConfigError
from pgan.experiments.sweeps import Point, Sweep, SweepError, grid, parse_settings, plan

CONFIGS = Path(__file__).resolve().parents[4] / "configs/pgan"
PGAN = str(CONFIGS / "pgan_r50_1xb64-130e_veri776-224x224.py")
BASELINE = str(CONFIGS / "baseline_r50_1xb64-130e_veri776-224x224.py")


def folders(sweep: Sweep, work_dir: str = "w") -> list[str]:
    runs = [run for job in plan(sweep, work_dir) for run in job.runs]
    return [str(run.folder.path.relative_to(Path(work_dir))) for run in runs]


def test_a_grid_is_every_combination_and_the_baseline_once() -> None:
    settings = parse_settings(["num_parts=0,4", "model.attention=learned,grid"])
    points = grid([PGAN], settings, baseline=BASELINE)
    assert [point.name for point in points] == [
        "num_parts=0, attention=learned",
        "num_parts=0, attention=grid",
        "num_parts=4, attention=learned",
        "num_parts=4, attention=grid",
        "num_parts=baseline",
    ]
    assert points[1].options == {"num_parts": 0, "model.attention": "grid"}
    assert [point.reference for point in points] == [False] * 4 + [True]
    assert [p.name for p in grid([PGAN, BASELINE], {})] == [
        f"config={Path(PGAN).stem}",
        f"config={Path(BASELINE).stem}",
    ]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("a=4,8", [4, 8]),
        ("a=1e-3,x,None,True", [0.001, "x", None, True]),
        ("a=(1,2),[3,(4,5)]", [(1, 2), [3, (4, 5)]]),
    ],
)
def test_values_are_read_as_cfg_options_reads_them(text: str, values: list) -> None:
    assert parse_settings([text]) == {"a": values}


@pytest.mark.parametrize("text", ["a", "a=", "=4", "a=4,,8", "a=(1,2", "a=)("])
def test_invalid_setting_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is not understood: write KEY=V1,V2"):
        parse_settings([text])


def test_a_folder_is_named_by_what_differs_from_the_config() -> None:
    """So that the point which all experiments have in common is one training."""
    sweep = Sweep("", grid([PGAN], {"num_parts": [4, 8], "model.feature_dim": [256, 512]}))
    stem = Path(PGAN).stem
    assert folders(sweep) == [
        f"{stem}/num_parts=4,feature_dim=256/seed_0",
        f"{stem}/num_parts=4/seed_0",
        f"{stem}/feature_dim=256/seed_0",
        f"{stem}/as_it_is/seed_0",
    ]
    weights = "/home/somebody/" + "weights" * 30
    (long,) = folders(Sweep("", [Point({"w": 1}, PGAN, {"model.backbone.weights": weights})]))
    assert len(Path(long).parts[1]) == 100


def test_points_that_differ_in_the_test_share_a_training() -> None:
    tested = {"model.test_feature": ["fusion", "concat"]}
    jobs = plan(Sweep("", grid([PGAN], {"num_parts": [4, 6]}, tested), (0, 1)), "w")
    assert [len(job.runs) for job in jobs] == [2, 2, 2, 2]
    train, (first, second) = jobs[0].train_command(), map(jobs[0].test_command, jobs[0].runs)
    assert "model.test_feature=concat" not in train
    assert second[-1] == "model.test_feature=concat"
    assert first[2] == second[2] == f"{jobs[0].folder.path}/epoch_130.pth"
    assert [job.folder.path.name for job in jobs] == ["seed_0", "seed_0", "seed_1", "seed_1"]
    assert jobs[0].title == jobs[0].runs[0].title


def test_a_training_is_named_by_the_test_that_changes_nothing() -> None:
    given = {"num_parts": 8}
    (job,) = plan(Sweep("", grid([PGAN], {}, {"num_parts": [4, 8]}), (0,), given), "w")
    assert [run.folder.path.name for run in job.runs] == ["num_parts=4", "seed_0"]
    assert job.title == "num_parts=8, seed 0"


def test_features_are_kept_if_the_sweep_asks_for_them() -> None:
    points = grid([PGAN], {}, {"num_parts": [4, 8]})
    for keep in (False, True):
        (job,) = plan(Sweep("", points, (0,), {"num_parts": 8}, keep_features=keep), "w")
        for run in job.runs:
            command = job.test_command(run)
            assert ("--dump" in command) is keep
            assert not keep or command[command.index("--dump") + 1] == str(run.features)
            assert run.features.parent == run.folder.path


def test_several_gpus_train_one_run_by_the_launcher() -> None:
    (job,) = plan(Sweep("", [Point({"a": 1}, BASELINE)]), "w")
    command = job.train_command(gpus=2)
    assert command[:4] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    assert command[4].endswith("tools/train.py")
    assert "--launcher pytorch" in " ".join(command)
    assert "--launcher" not in job.train_command()


def test_a_folder_of_another_run_is_refused(tmp_path: Path) -> None:
    points = grid([PGAN], {"num_parts": [4]})
    (job,) = plan(Sweep("", points, options={"train_cfg.max_epochs": 3}), tmp_path)
    job.folder.claim()
    assert plan(Sweep("", points, options={"train_cfg.max_epochs": 3}), tmp_path) == [job]
    with pytest.raises(SweepError, match=r"seed_0 holds a run of .*max_epochs=3.*give another"):
        plan(Sweep("", points, options={"train_cfg.max_epochs": 4}), tmp_path)


def test_a_config_that_has_changed_since_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "own.py"
    config.write_text(f"_base_ = [{PGAN!r}]\n")
    sweep = Sweep("", grid([str(config)], {"num_parts": [4]}))
    plan(sweep, tmp_path)[0].folder.claim()
    config.write_text(f"_base_ = [{PGAN!r}]\ntrain_dataloader = dict(batch_size=32)\n")
    with pytest.raises(SweepError, match="as it was then"):
        plan(sweep, tmp_path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_part": 4}, "num_part: .*veri776.*py has no such key: do you mean 'num_parts'"),
        ({"model.atention": "grid"}, "do you mean 'model.attention'"),
        ({"model.loss_weights.loss_prt": 0}, "do you mean 'model.loss_weights.loss_part'"),
        ({"model.backbone.stride": 1}, "model.backbone.stride: .* has no such key"),
        ({"train_dataloader.dataset.pipeline.99.p": 0}, "pipeline.99.p: .* has no such key"),
        ({"data_root": "a,b"}, "cannot be written on a command line"),
        ({"data_root": "with space"}, "cannot be written on a command line"),
    ],
)
def test_a_key_that_no_config_has_is_refused(options: dict, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        plan(Sweep("", [Point({"x": 1}, PGAN, options)]), "w")


def test_arguments_of_a_model_that_its_config_leaves_out_are_known() -> None:
    options = {"model.attention_channels": 64, "model.channels_last": True}
    (job,) = plan(Sweep("", [Point({"x": 1}, PGAN, options)]), "w")
    assert job.folder.options["model.attention_channels"] == 64


def test_two_points_of_one_run_are_refused() -> None:
    points = [Point({"x": 1}, PGAN, {"num_parts": 8}), Point({"x": 2}, PGAN)]
    with pytest.raises(ConfigError, match="would share the folder"):
        plan(Sweep("", points), "w")
    with pytest.raises(ConfigError, match="at least one point and one seed"):
        plan(Sweep("", points[:1], ()), "w")


def test_run_file_records_config_and_options(tmp_path: Path) -> None:
    (job,) = plan(Sweep("", grid([PGAN], {"num_parts": [4]}), (7,)), tmp_path)
    job.folder.claim()
    written = json.loads((job.folder.path / "run.json").read_text())
    assert written["config"] == PGAN
    assert written["options"] == {"randomness.seed": 7, "num_parts": 4}


def test_without_tests_a_run_is_finished_once_it_is_trained(tmp_path: Path) -> None:
    (job,) = plan(Sweep("t", [Point({"model": "PGAN"}, PGAN)], tested=False), tmp_path)
    assert [command[0].split("/")[-1] for command in job.commands()] == ["train.py"]
    assert job.pending() == job.runs
    job.checkpoint.parent.mkdir(parents=True)
    job.checkpoint.touch()
    assert job.pending() == []
