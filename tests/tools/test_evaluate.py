"""Re-scoring features from the command line."""

from __future__ import annotations

import json
import re
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from pgan.evaluation import PROTOCOLS, FeatureSet, evaluate, save_features
from pgan.tools import evaluate as tool

pytestmark = pytest.mark.slow


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]):
    """Run the tool with these words; returns its exit status, output and last line of errors."""

    def run(*words: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, words)])
        status = tool.main()
        printed = capsys.readouterr()
        return status, printed.out, (printed.err.strip().splitlines() or [""])[-1]

    return run


@pytest.fixture
def features() -> FeatureSet:
    """Twenty-four images of six vehicles, a query of each, as VehicleID would name its protocol."""
    rng = np.random.default_rng(0)
    ids = np.repeat(np.arange(6), 4)
    made = np.eye(6)[ids] + 0.6 * rng.standard_normal((24, 6))
    roles = np.where(np.arange(24) % 4, "gallery", "query")
    paths = np.array([f"{row}.png" for row in range(24)])
    cameras = np.tile(np.arange(4), 6)
    return FeatureSet(
        made.astype(np.float32), ids, cameras, roles, paths, None, "vehicleid-800", "Toy cars"
    )


def test_evaluate_prints_numbers_with_their_protocol(call, features, tmp_path: Path) -> None:
    path = save_features(tmp_path / "features.npz", features)
    status, out, _ = call(path, "--ranks", 1, 3, "--fpr", 0.1, "--json", tmp_path / "scores.json")
    assert status == 0
    assert "Toy cars, 24 images, 6 dimensions" in out
    expected = evaluate(features, roc=True)
    (row,) = [line for line in out.splitlines() if line.startswith("| vehicleid-800")]
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    metrics, stds = expected.metrics((1, 3)), expected.stds((1, 3))
    names = ("mAP", "mINP", "Rank-1", "Rank-3")
    assert cells[:6] == [
        "vehicleid-800",
        "none",
        *(f"{metrics[name]:.2f} ± {stds[name]:.2f}" for name in names),
    ]
    assert cells[6] == f"{expected.tprs((0.1,))['TPR@FPR=0.1']:.2f}"
    assert expected.describe() in out
    stored = json.loads((tmp_path / "scores.json").read_text())
    assert stored["features"] == str(path)
    assert stored["results"] == [expected.to_dict((1, 3), (0.1,))]


def test_evaluate_prints_one_row_per_protocol_and_refinement(
    call, features, tmp_path: Path
) -> None:
    path = save_features(tmp_path / "features.npz", features)
    words = [
        "--protocol",
        "veri776",
        "multi-gallery-shot",
        "--rerank",
        "--k1",
        "4",
        "--k2",
        "2",
        "--lambda",
        "0.5",
    ]
    _, out, _ = call(path, *words, "--expand-queries", 2)
    rows = [line.split("|")[1:3] for line in out.splitlines() if line.startswith("| ")][2:]
    refined = "average query expansion (K=2), then k-reciprocal (k1=4, k2=2, lambda=0.5)"
    assert [[cell.strip() for cell in row] for row in rows] == [
        [name, how] for name in ("veri776", "multi-gallery-shot") for how in ("none", refined)
    ]


def test_evaluate_draws_figures_if_asked(call, features, tmp_path: Path) -> None:
    path = save_features(tmp_path / "features.npz", features)
    for name in features.img_paths:
        cv2.imwrite(str(tmp_path / name), np.full((16, 16, 3), 90, np.uint8))
    out_dir = tmp_path / "out"
    status, out, _ = call(path, "--rerank", "--out", out_dir, "--data-root", tmp_path)
    assert status == 0
    assert str(out_dir / "index.html") in out
    assert {"cmc.png", "roc.svg", "hardest.png"} <= {file.name for file in out_dir.iterdir()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--protocol", "veri"], "error: there is no protocol named 'veri': choose one of "),
        (["--rerank", "--lambda", "2"], "error: re-ranking needs .* lambda from 0 to 1"),
        (["--expand-queries", "-1"], "error: queries are expanded by 0 or more"),
    ],
)
def test_evaluate_reports_bad_arguments_in_one_sentence(
    call, features, tmp_path: Path, words, message
) -> None:
    path = save_features(tmp_path / "features.npz", features)
    status, _, error = call(path, *words)
    assert status == 1
    assert re.match(message, error)


def test_evaluate_reports_bad_files_in_one_sentence(call, features, tmp_path: Path) -> None:
    none = tmp_path / "none.npz"
    message = f"error: {none}: no such file; tools/test.py --dump {none} writes it"
    assert call(none)[::2] == (1, message)
    pool = replace(features, roles=np.full(24, "pool"), protocol="veri776")
    status, _, error = call(save_features(tmp_path / "pool.npz", pool))
    assert status == 1
    assert "choose one that draws them, such as 'one-gallery-image'" in error
    values = features.features.copy()
    values[5] = np.nan
    status, _, error = call(save_features(tmp_path / "nan.npz", replace(features, features=values)))
    assert status == 1
    assert error.startswith("error: 5.png: its feature holds NaN")


@pytest.mark.parametrize("words", [["--ranks", "0"], ["--fpr", "2"], ["--ranks", "x"]])
def test_evaluate_rejects_ranks_and_rates_out_of_range_at_once(call, words) -> None:
    with pytest.raises(SystemExit) as exit_:
        call("features.npz", *words)
    assert exit_.value.code == 2


def test_evaluate_help_names_every_protocol(call, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        call("--help")
    out = capsys.readouterr().out
    assert all(f"  {name}: " in out for name in PROTOCOLS)
