"""Every experiment of the SSR-Net paper: its points, and that each of them is a model that trains."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest
import torch
from mmengine.registry import init_default_scope

from pgan.apis import ConfigError, load_config
from pgan.experiments.papers import paper_sweep
from pgan.experiments.papers.ssrnet import EXPERIMENTS
from pgan.experiments.sweeps import Job, plan
from pgan.registry import MODELS
from pgan.structures import ReIDSample
from tests.tools.tiny_sweeps import OneConvolution

ROOT = Path(__file__).resolve().parents[4]
SMALL = {
    "model.backbone.type": OneConvolution.__name__,
    "model.graph.hidden_channels": 8,
    "model.num_vehicles": 3,
}


@pytest.fixture(autouse=True)
def _at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@cache
def planned(name: str) -> list[Job]:
    return plan(paper_sweep(name), "nowhere")


def values(name: str) -> list:
    return [next(iter(point.values.values())) for point in paper_sweep(name).points]


def test_the_points_are_the_papers() -> None:
    assert {"global", "global + attention", "global + relation + attention"} <= {
        *values("ssrnet_branches")
    }
    assert values("ssrnet_attention") == ["none", "SE", "spatial transformer", "bilinear", "CBAM"]
    assert {"without the global node", "without the token"} <= {*values("ssrnet_graph")}
    assert "PCB's stripes" in values("ssrnet_parts")
    assert values("ssrnet_depth") == [1, 2, 3]
    assert "2/3" in values("ssrnet_lambda")
    assert 1 in values("ssrnet_beta")
    assert {"cross-entropy", "circle", "cross-entropy + triplet + lifted"} <= {
        *values("ssrnet_losses")
    }


def test_the_model_of_the_paper_is_trained_once() -> None:
    """Each experiment has SSR-Net as it is among its points, in one folder."""
    for name in EXPERIMENTS:
        folders = [job.folder.path.parent.name for job in planned(name)]
        assert folders.count("as_it_is") == (2 if name == "ssrnet_datasets" else 1), name


def losses_of(job: Job) -> dict[str, torch.Tensor]:
    """Those of the first batch: two images of each of three vehicles."""
    cfg = load_config(job.folder.config, {**job.folder.options, **SMALL})
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    samples = [ReIDSample(vehicle_label=label) for label in (2, 0, 1, 1, 2, 0)]
    return model(torch.randn(6, 3, 64, 64), samples, mode="loss")


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_every_point_has_the_losses_it_names(name: str) -> None:
    for job in planned(name):
        losses = losses_of(job)
        assert all(loss.isfinite() for loss in losses.values())
        if name == "ssrnet_losses":
            names = job.runs[0].point.values["losses"].split(" + ")
            assert ("loss_id" in losses) == ("cross-entropy" in names)
            assert ("loss_global" in losses) == (names != ["cross-entropy"])
        if name == "ssrnet_branches":
            branches = job.runs[0].point.values["branches"].split(" + ")
            assert {*losses} == {"acc", "loss_id", *(f"loss_{branch}" for branch in branches)}


def test_own_config_takes_the_place_of_the_papers() -> None:
    assert {p.config for p in paper_sweep("ssrnet_graph", "mine.py").points} == {"mine.py"}
    with pytest.raises(ConfigError, match="--model: ssrnet_datasets has no place for it"):
        paper_sweep("ssrnet_datasets", "mine.py")
    with pytest.raises(ConfigError, match="--baseline: ssrnet_graph has no place for it"):
        paper_sweep("ssrnet_graph", None, "base.py")
