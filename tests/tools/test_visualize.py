"""Looking inside models from the command line, on a tiny data set."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch

from detector.cache import PartCache
from pgan.apis import load_config
from pgan.evaluation import FeatureSet, load_features, save_features
from pgan.registry import MODELS
from pgan.tools import visualize
from tests.pgan.datasets.layouts import draw, make_veri
from tests.tools.tiny_sweeps import BASELINE, PGAN, SMALL, Tools, cache_two_parts

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A VeRi-776 of a few images, a cache of two parts in each, and random weights of both models."""
    place = tmp_path_factory.mktemp("visualize")
    root = make_veri(place / "VeRi")
    cache_two_parts(root, place / "parts")
    for name, config in (("pgan", PGAN), ("baseline", BASELINE)):
        cfg = load_config(config, {"model.backbone.type": "OneConvolution"})
        torch.save({"state_dict": MODELS.build(cfg.model).state_dict()}, place / f"{name}.pth")
    return place


@pytest.fixture
def call(tools: Tools, data: Path, capsys: pytest.CaptureFixture[str]):
    """Run the tool; returns its exit status, its output and its last line of errors."""

    def run(*words: object, options: tuple[str, ...] = ()) -> tuple[int, str, str]:
        parts = [f"part_cache={data / 'parts'}", "num_parts=2"]
        last = ["--cfg-options", f"data_root={data / 'VeRi'}", *SMALL, *parts, *options]
        status = tools.run(visualize.main, *words, *last)
        printed = capsys.readouterr()
        return status, printed.out, (printed.err.strip().splitlines() or [""])[-1]

    return run


@pytest.mark.slow
def test_visualize_shows_a_test_set_as_figures_and_a_page(call, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    status, printed, _ = call(PGAN, data / "pgan.pth", "--out", out, "--top", 3, "--pdf")
    assert (status, f"written: {out / 'index.html'}" in printed) == (0, True)
    names = {path.name for path in out.iterdir() if path.is_file()}
    figures = ["query_1", "attributes_selected", "attention_density"]
    assert {f"{name}.{fmt}" for name in figures for fmt in ("png", "pdf")} <= names
    page = (out / "index.html").read_text()
    assert "F_p, the part-guided feature map" in page
    # By the cache every image has two wheels, and a wheel is always the heaviest.
    assert re.search(
        r"wheel</td>\s*<td[^>]*>8</td>\s*<td[^>]*>100.00</td>\s*<td[^>]*>100.00<", page
    )

    # Its features, without the model: the same, but for the heat maps.
    status, _, _ = call(PGAN, "--features", out / "features.npz", "--out", tmp_path / "again")
    assert status == 0
    again = (tmp_path / "again" / "index.html").read_text()
    assert "F_p" not in again
    assert "100.00" in again


@pytest.mark.parametrize(
    ("config", "attention", "expected"),
    [
        (PGAN, "uniform", "Attributes"),
        (PGAN, "grid", "the first map shows the weights of the cells"),
        (BASELINE, None, "This model has no parts and no F_p"),
    ],
)
def test_visualize_shows_each_kind_of_model(
    call, data: Path, tmp_path: Path, config: str, attention: str | None, expected: str
) -> None:
    options = {None: (), "grid": ("model.attention=grid",), "uniform": ("model.attention=uniform",)}
    weights = data / ("pgan.pth" if config == PGAN else "baseline.pth")
    if attention == "uniform":
        weights = without_attention(weights, tmp_path)
    words = [config, weights, "--out", tmp_path / "out", "--queries", 1]
    assert call(*words, options=options[attention])[0] == 0
    page = (tmp_path / "out" / "index.html").read_text()
    assert expected in page
    assert ("wheel" in page) == (attention == "uniform")


def without_attention(checkpoint: Path, tmp_path: Path) -> Path:
    state = torch.load(checkpoint, weights_only=True)["state_dict"]
    kept = {key: value for key, value in state.items() if not key.startswith("attention.")}
    torch.save({"state_dict": kept}, tmp_path / "uniform.pth")
    return tmp_path / "uniform.pth"


def test_visualize_shows_any_images_in_the_cache(call, data: Path, tmp_path: Path) -> None:
    folder = data / "VeRi" / "image_train"
    one = data / "VeRi" / "image_query" / "0002_c002_00000004_0.jpg"
    out = tmp_path / "out"
    status, _, _ = call(PGAN, data / "pgan.pth", "--out", out, "--images", folder, one, one)
    assert status == 0
    assert sorted(path.name for path in out.glob("*.png")) == [
        f"image_{i}.png" for i in range(1, 5)
    ]
    page = (out / "index.html").read_text()
    assert page.index("image_train/0003_c001") < page.index("image_query/0002_c002")


def test_visualize_reports_images_missing_from_the_cache(call, data: Path, tmp_path: Path) -> None:
    words = [PGAN, data / "pgan.pth", "--out", tmp_path / "out", "--images"]
    draw(data / "VeRi" / "mine", ["new.jpg"])
    status, _, error = call(*words, data / "VeRi" / "mine")
    assert status == 1
    assert error.startswith("error: mine/new.jpg is not in the part cache")
    assert "tools/extract_parts.py DETECTOR_CONFIG CHECKPOINT --images FOLDER" in error
    draw(tmp_path, ["elsewhere.jpg"])
    status, _, error = call(*words, tmp_path / "elsewhere.jpg")
    assert (status, "elsewhere.jpg is not below data_root=" in error) == (1, True)
    assert call(*words, tmp_path / "none.jpg")[2].endswith("none.jpg: no such image or folder")
    assert not (tmp_path / "out").exists()


def test_visualize_shows_images_anywhere_for_a_model_without_parts(
    call, data: Path, tmp_path: Path
) -> None:
    draw(tmp_path, ["elsewhere.jpg"])
    words = [BASELINE, data / "baseline.pth", "--out", tmp_path / "out"]
    more = ("part_cache=None", "num_parts=0")
    assert call(*words, "--images", tmp_path / "elsewhere.jpg", options=more)[0] == 0
    assert (tmp_path / "out" / "image_1.png").is_file()


def test_visualize_reports_arguments_that_do_not_fit_together(
    call, data: Path, tmp_path: Path
) -> None:
    out = ["--out", tmp_path / "out"]
    status, _, error = call(PGAN, data / "baseline.pth", *out)
    assert (status, "is not a checkpoint of this config's PGAN" in error) == (1, True)
    status, _, error = call(PGAN, data / "none.pth", *out)
    assert (status, error.startswith("error: ")) == (1, True)
    other = ("test_evaluator.type=DetectorMetric",)
    status, _, error = call(PGAN, data / "pgan.pth", *out, options=other)
    assert (status, "is not a re-identification config" in error) == (1, True)

    tested = list(PartCache.open(data / "parts").images())[:4]
    ids, weights = np.array([1, 1, 1, 2]), np.full((4, 5), 0.2, np.float32)
    roles = np.array(["query", *["gallery"] * 3])
    found = FeatureSet(
        np.eye(4, dtype=np.float32), ids, np.arange(4), roles, np.array(tested), weights
    )
    dumped = save_features(tmp_path / "features.npz", found)
    status, _, error = call(PGAN, "--features", dumped, *out)
    assert (status, error.endswith("add --cfg-options num_parts=5")) == (1, True)
    assert load_features(dumped).part_weights.shape == (4, 5)


@pytest.mark.parametrize(
    "words", [[], ["x.pth", "--features", "f.npz"], ["x.pth", "--top", "0"], ["--images", "a.jpg"]]
)
def test_visualize_rejects_bad_arguments_at_once(call, words) -> None:
    with pytest.raises(SystemExit) as exit_:
        call(PGAN, "--out", "out", *words)
    assert exit_.value.code == 2
