"""Parameters and FLOPs of models, against a count by hand; times are measured, not tested."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from pgan.apis import load_config
from pgan.benchmarks.complexity import complexity, count_costs
from pgan.experiments.papers.ssrnet import TABLE_7
from pgan.tools import complexity as tool
from tests.tools.tiny_sweeps import BASELINE, OneConvolution

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
SSRNET = str(ROOT / "configs/ssrnet/ssrnet_r18-cpu_1xb64-24e_fleet-96x96.py")


def test_the_count_is_that_by_hand() -> None:
    options = {"model.backbone.type": OneConvolution.__name__, "model.branches": ["global"]}
    found = complexity({"it": load_config(SSRNET, options)}, 1, 1, "cpu")["it"]
    weights = 3 * 16 * 8 * 8  # 96 x 96 pixels become 12 x 12 cells of 16 channels
    neck = 2 * 16
    assert found.parameters == weights + 16 + neck
    assert found.operations == 12 * 12 * weights


def test_a_classifier_is_not_counted() -> None:
    options = {"model.backbone.type": OneConvolution.__name__}
    configs = {
        str(vehicles): load_config(SSRNET, {**options, "model.num_vehicles": vehicles})
        for vehicles in (3, 50)
    }
    few, many = complexity(configs, 1, 1, "cpu").values()
    assert few.parameters == many.parameters


def test_the_global_branch_has_the_papers_parameters_and_flops() -> None:
    """Its Table 7 counts as here, then: no classifier, a multiplication and its addition as one."""
    config, paper = next(iter(TABLE_7.items()))
    parameters, operations = count_costs(load_config(str(ROOT / config)))
    assert parameters == pytest.approx(paper["parameters"], rel=0.005)
    assert operations == pytest.approx(paper["flops"], rel=0.005)


def test_models_are_compared_with_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [BASELINE, SSRNET, "--repeats", "1", "--json", str(tmp_path / "out.json")]
    options = ["--cfg-options", "model.backbone.type=OneConvolution"]
    monkeypatch.setattr(sys, "argv", ["complexity.py", *words, *options])
    assert tool.main() == 0
    models = json.loads((tmp_path / "out.json").read_text())["models"]
    assert [model["time_ratio"] == 1 for model in models.values()] == [True, False]
    assert models[SSRNET]["parameters"] > 0
    printed = capsys.readouterr().out
    assert f"| {Path(SSRNET).stem} " in printed


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--repeats", "0"], "--batch-size and --repeats are 1 or more"),
        (["configs/nothing.py"], "nothing.py"),
    ],
)
def test_invalid_arguments_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], words, message
) -> None:
    monkeypatch.setattr(sys, "argv", ["complexity.py", *words])
    assert tool.main() == 1
    assert message in capsys.readouterr().err
