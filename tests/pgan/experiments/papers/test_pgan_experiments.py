"""Every experiment of the PGAN paper: its points, and whose numbers stand beside them."""

from __future__ import annotations

from pathlib import Path

import pytest

from pgan.apis import ConfigError, load_config
from pgan.experiments.papers import paper_sweep
from pgan.experiments.papers.pgan import EXPERIMENTS
from pgan.experiments.sweeps import plan

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def values(name: str) -> list[tuple]:
    return [tuple(point.values.values()) for point in paper_sweep(name).points]


def test_the_points_are_the_papers() -> None:
    assert values("table4") == [("baseline",), (4,), (6,), (8,), (10,), (12,)]
    assert values("table4") == values("table5")
    models = ["baseline", "grid attention", "PGAN without PAM", "PGAN"]
    assert values("table3") == [(m, c) for c in (256, 512) for m in models]
    assert values("figure5") == [(128,), (256,), (512,), (1024,), (2048,)]
    assert (values("figure6")[0], values("figure6")[-1]) == ((0,), (4,))
    assert ("ResNet-50 v2, random erasing", "PGAN") in values("figure7")
    assert len(values("figure7")) == 10
    assert values("table6")[-1] == ("VERI-Wild large",)


def test_losses_of_table_2_are_on_and_off_as_named() -> None:
    weights = {}
    for job in plan(paper_sweep("table2"), "w"):
        cfg = load_config(job.folder.config, dict(job.folder.options))
        weights[job.runs[0].point.values["losses"]] = dict(cfg.model.loss_weights)
    off = dict.fromkeys(("loss_id", "loss_fusion", "loss_global", "loss_part"), 0)
    assert weights["L_c"] == off | {"loss_id": 2}
    assert weights["L_f"] == off | {"loss_fusion": 1}
    assert weights["L_c + L_f + L_p"] == off | {"loss_id": 2, "loss_fusion": 1, "loss_part": 1}
    assert len(weights) == 6


def test_published_numbers_name_their_source() -> None:
    vric = next(p for p in paper_sweep("table6").points if p.values["test set"] == "VRIC")
    assert vric.published["PGAN paper, Table VI"] == {"mAP": 84.8, "Rank-1": 78.0, "Rank-5": 93.2}
    assert vric.published["authors' release"] == {"mAP": 85.1, "Rank-1": 78.1, "Rank-5": 93.5}
    for name in EXPERIMENTS:
        for point in paper_sweep(name).points:
            assert all(source.startswith(("authors'", "PGAN paper")) for source in point.published)


def test_own_configs_take_the_place_of_the_papers() -> None:
    sweep = paper_sweep("table3", "mine.py", "base.py", (1, 2), {"data_root": "d"})
    assert {point.config for point in sweep.points} == {"mine.py", "base.py"}
    assert (sweep.name, sweep.seeds, sweep.options) == ("table3", (1, 2), {"data_root": "d"})
    with pytest.raises(ConfigError, match="--model: table6 has no place for it"):
        paper_sweep("table6", "mine.py")
    with pytest.raises(ConfigError, match="--baseline: figure5 has no place for it"):
        paper_sweep("figure5", None, "base.py")
    with pytest.raises(ConfigError, match="'table9' is no experiment of a paper: table2, "):
        paper_sweep("table9")
