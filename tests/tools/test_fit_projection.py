"""From a trained model to a projection, and to a test that applies it."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from pgan.apis import build_runner, load_config
from pgan.evaluation import load_features, load_projection
from pgan.inference.training_features import RandomSubset
from pgan.tools import evaluate as evaluate_tool
from pgan.tools import fit_projection as tool
from pgan.tools import test as test_tool
from tests.configs.test_dataset_configs import SMALL, plain_config_text, tiny_data

ROOT = Path(__file__).resolve().parents[2]
CONFIG = str(ROOT / "configs/baseline/bot_r50_1xb64-120e_veri776-224x224.py")
UNION = str(ROOT / "configs/pgan/baseline_r50_1xb64-130e_union-224x224.py")

__all__ = ["plain_config_text"]
pytestmark = pytest.mark.usefixtures("plain_config_text")


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run a tool with these words; returns its exit status, output and last line of errors."""

    def run(main, *words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["tool.py", *map(str, words)])
        status = main()
        printed = capsys.readouterr()
        return status, printed.out, (printed.err.strip().splitlines() or [""])[-1]

    return run


def small(config: str, layout: str, root: Path) -> list[str]:
    """Options that make a config small, as typed."""
    keep = {
        key: v for key, v in SMALL.items() if not key.startswith(("train_cfg", "default_hooks"))
    }
    options = keep | tiny_data(layout, root / "data", with_parts=False)
    options = {key: v for key, v in options.items() if "vis_backends" not in key}
    return [f"{key}={v}".replace(" ", "") for key, v in options.items()]


def checkpoint(config: str, options: list[str], path: Path, seed: int) -> Path:
    pairs = (option.split("=", 1) for option in options)
    plain = {"None": None, "(32,32)": (32, 32)}
    cfg = load_config(config, {k: plain.get(v, int(v) if v.isdigit() else v) for k, v in pairs})
    torch.manual_seed(seed)
    cfg.randomness.seed = seed
    runner = build_runner(cfg, str(path.parent / "made"))
    torch.save({"state_dict": runner.model.state_dict()}, path)
    return path


@pytest.mark.slow
def test_fit_projection_on_a_model_and_apply_it_in_a_test(call, tmp_path: Path) -> None:
    options = small(CONFIG, "veri776", tmp_path)
    one, two = (checkpoint(CONFIG, options, tmp_path / f"{seed}.pth", seed) for seed in (0, 1))
    extra = ["--cfg-options", *options]
    file, features = tmp_path / "pca.npz", tmp_path / "test.npz"
    words = ["--out", file, "--dims", 2, "--whiten", "--work-dir", tmp_path / "work"]
    status, out, error = call(tool.main, CONFIG, one, *words, *extra)
    assert status == 0, error
    trained_on = load_features(tmp_path / "work/features.npz")
    assert set(trained_on.roles) == {"train"}
    assert f"PCA 16 -> 2, whitened, fitted on {len(trained_on)} features of " in out
    assert "note" not in out

    plain = ["--dump", features, "--work-dir", tmp_path / "test"]
    assert call(test_tool.main, CONFIG, one, *plain, *extra)[0] == 0
    assert load_features(features).model == trained_on.model
    status, out, _ = call(evaluate_tool.main, features, "--projection", file)
    assert (status, "2 dimensions" in out, "| PCA 16 -> 2, whitened |" in out) == (0, True, True)

    extra += [f"test_evaluator.projection={file}"]
    plain[1] = tmp_path / "projected.npz"
    assert call(test_tool.main, CONFIG, one, *plain, *extra)[0] == 0
    expected = load_projection(file).project(load_features(features))
    np.testing.assert_array_equal(load_features(plain[1]).features, expected.features)
    status, _, error = call(test_tool.main, CONFIG, two, *plain, *extra)
    assert (status, "was fitted on the features of another model" in error) == (1, True)

    status, out, _ = call(tool.main, features, "--out", tmp_path / "own.npz", "--dims", "0.5")
    assert (status, "note: these are test features" in out) == (0, True)


@pytest.mark.slow
def test_fit_projection_on_a_random_subset_of_a_union(call, tmp_path: Path) -> None:
    options = small(UNION, "union", tmp_path)
    options.append("model.feature_dim=16")
    weights = checkpoint(UNION, options, tmp_path / "0.pth", 0)
    words = ["--out", tmp_path / "pca.npz", "--images", 5, "--work-dir", tmp_path / "work"]
    status, out, error = call(tool.main, UNION, weights, *words, "--cfg-options", *options)
    assert status == 0, error
    assert "fitted on 5 features of VehicleID" in out


def test_random_subset_keeps_the_order_of_images(tmp_path: Path) -> None:
    data = {"type": "VeRi776", **tiny_data("veri776", tmp_path, with_parts=False)}
    rows = [RandomSubset(data, 3, seed).indices for seed in (0, 0, 1)]
    assert rows[0] == rows[1] == sorted(rows[0])
    assert len(set(rows[0])) == 3
    assert len(RandomSubset(data, 10_000)) == len(RandomSubset(data))


@pytest.mark.parametrize(
    "words",
    [["config.py"], ["features.npz", "checkpoint"], ["a", "b", "c"], ["a", "b", "--images", "1"]],
)
def test_fit_projection_rejects_bad_arguments_at_once(call, words) -> None:
    with pytest.raises(SystemExit) as exit_:
        call(tool.main, *words, "--out", "pca.npz")
    assert exit_.value.code == 2


def test_fit_projection_reports_a_missing_file(call, tmp_path: Path) -> None:
    status, _, error = call(tool.main, tmp_path / "none.npz", "--out", tmp_path / "pca.npz")
    assert status == 1
    assert error.startswith(f"error: {tmp_path}/none.npz: no such file")
    assert not (tmp_path / "pca.npz").exists()
