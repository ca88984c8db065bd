"""The experiments of the SSR-Net paper (Xu et al., ACM TOMM 2022, 10.1145/3578578), one by what it varies.

The swept values and the compared combinations are our choice, since no copy of the paper's Tables 1 to 6 was
available; the results are therefore shown without the paper's numbers. ``tools/complexity.py`` compares its
Table 7 with ours.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from pgan.experiments.papers.experiment import Experiment
from pgan.experiments.sweeps.points import Point

SSRNET = "configs/ssrnet/ssrnet_r50_1xb32-120e_{}-256x256.py"
GLOBAL = "configs/ssrnet/global_r50_1xb32-120e_{}-256x256.py"  # its global branch alone

# Config -> its row in the paper's Table 7; times are ratios to the first row.
TABLE_7 = {
    GLOBAL.format("veri776"): {"parameters": 2.35e7, "flops": 8.11e9, "time_ratio": 1.0},
    SSRNET.format("veri776"): {"parameters": 3.45e7, "flops": 9.20e9, "time_ratio": 1.20},
}

_BRANCHES = ("global", "relation", "attention")
_SCALES = {"1/3": 1 / 3, "1/2": 1 / 2, "2/3": 2 / 3, "5/6": 5 / 6, "1": 1.0}
_BETAS = (0.0, 0.5, 1.0, 1.5, 2.0)
_LISTS = (800, 1600, 2400)  # of VehicleID: small, medium, large

# In the order of the config's model.metric_losses. On the first batches of a network of random weights these
# start between 0.9 and 2.5 on the branches, but the triplet loss, whose distances are not normalised.
METRIC_LOSSES = {"triplet": 1.0, "circle": 0.01, "contrastive": 1.0, "lifted": 0.1, "instance": 0.5}
_ALONE = [(name,) for name in ("cross-entropy", *METRIC_LOSSES)]
_PAIRS = [("cross-entropy", name) for name in METRIC_LOSSES]
_TRIPLES = [("cross-entropy", "triplet", name) for name in METRIC_LOSSES if name != "triplet"]


def _point(values: Mapping[str, Any], **options: Any) -> Point:
    """A point; of the keys of ``options``, ``__`` stands for a dot."""
    changed = {f"model.{key.replace('__', '.')}": value for key, value in options.items()}
    return Point(values, SSRNET.format("veri776"), changed)


def _branches() -> list[Point]:
    chosen = [c for n in (1, 2, 3) for c in itertools.combinations(_BRANCHES, n)]
    return [_point({"branches": " + ".join(c)}, branches=list(c)) for c in chosen]


def _graph() -> list[Point]:
    rows = {
        "whole": {},
        "without the global node": {"graph__with_global": False},
        "without the token": {"graph__with_token": False},
        "without both": {"graph__with_global": False, "graph__with_token": False},
    }
    return [_point({"graph": title}, **options) for title, options in rows.items()]


def _attention() -> list[Point]:
    names = {"SE": "se", "spatial transformer": "stn", "bilinear": "bilinear", "CBAM": "cbam"}
    # Without attention there is no branch of it.
    without = _point({"attention": "none"}, attention="none", branches=["global", "relation"])
    return [without, *(_point({"attention": t}, attention=name) for t, name in names.items())]


def _parts() -> list[Point]:
    return [
        _point({"parts": "none"}, branches=["global", "attention"]),
        _point({"parts": "PCB's stripes"}, parts="pcb"),
        _point({"parts": "graph"}, parts="graph"),
    ]


def _beta(value: float) -> dict[str, float]:
    return {f"loss_weights__loss_{branch}": value for branch in _BRANCHES}


def _losses() -> list[Point]:
    points = []
    for names in [*_ALONE, *_PAIRS, *_TRIPLES]:
        options: dict[str, Any] = {}
        if "cross-entropy" not in names:
            options["loss_weights__loss_id"] = 0.0
        for number, (name, weight) in enumerate(METRIC_LOSSES.items()):
            options[f"metric_losses__{number}__weight"] = weight if name in names else 0.0
        if names == ("cross-entropy",):
            options = _beta(0.0)  # the same, and the same training as beta = 0
        points.append(_point({"losses": " + ".join(names)}, **options))
    return points


def _datasets() -> list[Point]:
    points = [Point({"test set": "VeRi-776"}, SSRNET.format("veri776"))]
    for size, title in zip(_LISTS, ("small", "medium", "large")):
        points.append(
            Point(
                {"test set": f"VehicleID {title}"},
                SSRNET.format("vehicleid"),
                test_options={"test_size": size},
            )
        )
    return points


EXPERIMENTS = {
    "ssrnet_datasets": Experiment("SSR-Net: two data sets", _datasets()),
    "ssrnet_branches": Experiment("SSR-Net: the branches", _branches()),
    "ssrnet_graph": Experiment("SSR-Net: the nodes of the graph", _graph()),
    "ssrnet_attention": Experiment("SSR-Net: attention of the map", _attention()),
    "ssrnet_parts": Experiment("SSR-Net: stripes in place of the graph", _parts()),
    "ssrnet_depth": Experiment(
        "SSR-Net: layers of the graph", [_point({"layers": n}, graph__depth=n) for n in (1, 2, 3)]
    ),
    "ssrnet_lambda": Experiment(
        "SSR-Net: side λ of a region",
        [_point({"λ": text}, graph__scale=scale) for text, scale in _SCALES.items()],
    ),
    "ssrnet_beta": Experiment(
        "SSR-Net: weight β of the losses on distances",
        [_point({"β": value}, **_beta(value)) for value in _BETAS],
    ),
    "ssrnet_losses": Experiment("SSR-Net: the losses", _losses()),
}
