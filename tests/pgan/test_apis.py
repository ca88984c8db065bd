"""Configs are read, completed and refused as users expect."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from pgan.apis import ConfigError, build_runner, load_config, load_matching_weights
from pgan.datasets import CSVDataset
from pgan.engine import CheckpointError

CONFIGS = Path(__file__).resolve().parents[2] / "configs"
SSRNET = "ssrnet_r50_1xb32-120e_veri776-256x256"
NAMES = sorted(
    str(p.relative_to(CONFIGS))
    for p in CONFIGS.rglob("*.py")
    if not {"_base_", "study", "recipes"} & set(p.parts)
)


@pytest.mark.parametrize("name", NAMES)
def test_every_config_is_complete(name: str) -> None:
    cfg = load_config(str(CONFIGS / name))
    assert {
        "model",
        "train_dataloader",
        "test_dataloader",
        "test_evaluator",
        "optim_wrapper",
    } <= set(cfg)
    assert cfg.default_scope == ("mmdet" if name.startswith("detector") else "pgan")
    assert cfg.default_hooks.checkpoint.type.endswith("AtomicCheckpointHook")


def test_keys_at_the_top_reach_every_data_set() -> None:
    options = {"num_parts": 4, "data_root": "elsewhere", "part_cache": "cache"}
    cfg = load_config(str(CONFIGS / "pgan/pgan_r50_1xb64-130e_veri776-224x224.py"), options)
    for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
        assert {key: loader.dataset[key] for key in options} == options


@pytest.mark.parametrize("name", ["pgan_r50_1xb64-130e_union-128x256", SSRNET])
def test_one_key_sizes_every_transform_that_states_no_size(name: str) -> None:
    path = str(next(CONFIGS.rglob(f"{name}.py")))
    own = {"test_dataloader.dataset.pipeline.1.size": (96, 96)}
    cfg = load_config(path, {"image_size": (64, 32), **own})
    train, val, test = (
        [step["size"] for step in cfg[loader].dataset.pipeline if "size" in step]
        for loader in ("train_dataloader", "val_dataloader", "test_dataloader")
    )
    assert train == [(64, 32)] * (2 if name == SSRNET else 1)  # its crop
    assert (val, test) == ([(64, 32)], [(96, 96)])


@pytest.mark.parametrize("size", [224, (224,), (0, 224), ("a", "b"), None])
def test_what_is_no_image_size_is_refused(size: object) -> None:
    path = str(CONFIGS / "pgan/pgan_r50_1xb64-130e_veri776-224x224.py")
    with pytest.raises(ConfigError, match=r"image_size=.* is not a size: give height and width"):
        load_config(path, {"image_size": size})


@pytest.mark.parametrize("number", [-1, 3.5, "x", "3", True, [4]])
def test_what_is_no_number_of_parts_is_refused(number: object) -> None:
    path = str(CONFIGS / "pgan/pgan_r50_1xb64-130e_veri776-224x224.py")
    with pytest.raises(
        ConfigError, match=r"224\.py: num_parts=.* must be an integer of at least 0"
    ):
        load_config(path, {"num_parts": number})
    assert load_config(path, {"num_parts": None}).test_dataloader.dataset.num_parts == 0


def test_an_image_size_that_would_change_nothing_is_refused(tmp_path: Path) -> None:
    cfg = load_config(str(CONFIGS / "pgan/baseline_r50_1xb64-130e_veri776-224x224.py"))
    cfg.dump(tmp_path / "kept.py")  # as a training keeps it, complete
    assert load_config(str(tmp_path / "kept.py")).image_size == (224, 224)
    with pytest.raises(ConfigError, match=r"kept.py: image_size has no effect"):
        load_config(str(tmp_path / "kept.py"), {"image_size": (64, 64)})


def test_the_authors_hyper_parameters() -> None:
    cfg = load_config(str(CONFIGS / "pgan/pgan_r50_1xb64-130e_veri776-224x224.py"))
    assert cfg.optim_wrapper.optimizer == {"type": "Adam", "lr": 1.75e-4, "weight_decay": 5e-4}
    assert cfg.param_scheduler[1].milestones == [30, 50, 70, 90, 110, 130]
    assert (cfg.train_cfg.max_epochs, cfg.train_dataloader.batch_size, cfg.num_parts) == (
        130,
        64,
        8,
    )
    sampler = cfg.train_dataloader.sampler
    assert (sampler.identities, sampler.images) == (16, 4)
    assert cfg.model.loss_weights.loss_id == 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("model = dict(", "cannot be read as a config"),
        ("_base_ = './nowhere.py'", "cannot be read"),
    ],
)
def test_a_broken_config_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "broken.py"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"broken.py.*{message}"):
        load_config(str(path))


@pytest.mark.parametrize(
    "state",
    [
        {"0.weight": torch.zeros(2, 2)},
        {"0.weight": torch.zeros(2, 2), "0.bias": torch.zeros(3)},
    ],
)
def test_a_checkpoint_of_another_model_is_refused(tmp_path: Path, state: dict) -> None:
    path = tmp_path / "other.pth"
    model = torch.nn.Sequential(torch.nn.Linear(2, 2))
    torch.save({"state_dict": state}, path)
    with pytest.raises(
        CheckpointError, match=r"other.pth: .*1 of its 2 entries are missing.*'0.bias'"
    ):
        load_matching_weights(model, str(path))
    torch.save({"state_dict": model.state_dict()}, path)
    load_matching_weights(model, str(path))


def test_parts_without_a_cache_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="num_parts=8 needs part_cache"):
        CSVDataset(str(tmp_path), num_parts=8)


@pytest.mark.parametrize(
    ("launcher", "on_gpu", "words"),
    [
        ("pytorch", False, "RANK is not set: start with `torchrun"),
        ("pytorch", True, "RANK is not set: start with `torchrun"),
        ("slurm", True, "SLURM_PROCID is not set: start with `srun"),
        ("slurm", False, "use --launcher pytorch on CPUs"),
    ],
)
def test_a_launcher_that_has_started_nothing_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, launcher: str, on_gpu: bool, words: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: on_gpu)
    for variable in ("RANK", "SLURM_PROCID"):
        monkeypatch.delenv(variable, raising=False)
    cfg = load_config(str(CONFIGS / "pgan/baseline_r50_1xb64-130e_csv-224x224.py"))
    with pytest.raises(ConfigError, match=words):
        build_runner(cfg, str(tmp_path), launcher=launcher)


@pytest.mark.parametrize("lacks", ["WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"])
def test_half_of_what_torchrun_sets_is_too_little(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, lacks: str
) -> None:
    for variable in ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(variable, "1")
    monkeypatch.delenv(lacks)
    cfg = load_config(str(CONFIGS / "pgan/baseline_r50_1xb64-130e_csv-224x224.py"))
    with pytest.raises(ConfigError, match=f"pytorch: {lacks} is not set: start with `torchrun"):
        build_runner(cfg, str(tmp_path), launcher="pytorch")


def test_amp_without_a_gpu_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    cfg = load_config(str(CONFIGS / "pgan/baseline_r50_1xb64-130e_csv-224x224.py"))
    with pytest.raises(ConfigError, match="--amp: mixed precision needs a GPU"):
        build_runner(cfg, str(tmp_path), amp=True)
