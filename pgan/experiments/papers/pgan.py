"""The experiments of the PGAN paper (Zhang et al., IEEE T-ITS 2020, arXiv 1909.06023).

Published numbers are those of the authors' release (its README, 2021) and, where it says so, of the paper.
A number that could not be verified is not here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgan.experiments.papers.experiment import Experiment
from pgan.experiments.sweeps.points import Point

PGAN = "configs/pgan/pgan_r50_1xb64-130e_{}-224x224.py"
BASELINE = "configs/pgan/baseline_r50_1xb64-130e_{}-224x224.py"
DATA = "veri776"  # the default data set

RELEASE = "authors' release"
RELEASE_VERI = f"{RELEASE}, VeRi-776"
PAPER = "PGAN paper, Table VI"

PARTS = (4, 6, 8, 10, 12)  # D of Tables IV and V
DIMENSIONS = (128, 256, 512, 1024, 2048)  # 2C' of Figure 5
LAMBDAS = (0.0, 0.5, 1.0, 2.0, 3.0, 4.0)  # of Figure 6; the steps between 0 and 4 are chosen here
_LOSSES = {"L_c": "loss_id", "L_f": "loss_fusion", "L_g": "loss_global", "L_p": "loss_part"}
# Table II; which combinations are compared is chosen here.
_COMBINED = ("L_c", "L_f", "L_c L_f", "L_c L_f L_g", "L_c L_f L_p", "L_c L_f L_g L_p")

# Of the release: D = 8, 2C' = 512, lambda = 2, all losses.
_VERI = {RELEASE_VERI: {"mAP": 79.4, "Rank-1": 96.3, "Rank-5": 98.6}}


def _numbers(mean_ap: float, rank1: float, rank5: float) -> dict[str, float]:
    return {"mAP": mean_ap, "Rank-1": rank1, "Rank-5": rank5}


def _pgan(values: Mapping[str, Any], options: Mapping[str, Any], **more: Any) -> Point:
    return Point(values, PGAN.format(DATA), options, **more)


def _baseline(values: Mapping[str, Any], dimension: int) -> Point:
    options = {"model.feature_dim": dimension}
    return Point(values, BASELINE.format(DATA), options, reference=True)


def _table2() -> list[Point]:
    points = []
    for names in _COMBINED:
        on = names.split()
        weights = {loss: float(name in on) for name, loss in _LOSSES.items()}
        if "L_c" in on:
            del weights["loss_id"]  # lambda stays the config's
        options = {f"model.loss_weights.{loss}": weight for loss, weight in weights.items()}
        published = _VERI if len(on) == len(_LOSSES) else {}
        points.append(_pgan({"losses": " + ".join(on)}, options, published=published))
    return points


def _table3() -> list[Point]:
    points = []
    for dimension in (256, 512):
        size = {"model.feature_dim": dimension}
        grid = {
            "model.attention": "grid",
            "num_parts": 0,
        }  # each cell is a part: no boxes are needed
        points += [
            _baseline({"model": "baseline", "2C'": dimension}, dimension),
            _pgan({"model": "grid attention", "2C'": dimension}, size | grid),
            _pgan(
                {"model": "PGAN without PAM", "2C'": dimension},
                size | {"model.attention": "uniform"},
            ),
            _pgan(
                {"model": "PGAN", "2C'": dimension},
                size | {"model.attention": "learned"},
                published=_VERI if dimension == 512 else {},
            ),
        ]
    return points


def _parts(dimension: int) -> list[Point]:
    points = [_baseline({"D": "baseline"}, dimension)]
    for parts in PARTS:
        options = {"num_parts": parts, "model.feature_dim": dimension}
        published = _VERI if (parts, dimension) == (8, 512) else {}
        points.append(_pgan({"D": parts}, options, published=published))
    return points


def _figure5() -> list[Point]:
    return [
        _pgan({"2C'": c}, {"model.feature_dim": c}, published=_VERI if c == 512 else {})
        for c in DIMENSIONS
    ]


def _figure6() -> list[Point]:
    return [
        _pgan({"λ": w}, {"model.loss_weights.loss_id": w}, published=_VERI if w == 2 else {})
        for w in LAMBDAS
    ]


def _figure7() -> list[Point]:
    backbones = {
        "ResNet-18": "paper/{}_r18",
        "ResNet-50 v1": "paper/{}_r50-plain",
        "ResNet-50 v2, random erasing": "{}_r50",
        "GoogLeNet": "paper/{}_googlenet",
        "VGG-M": "paper/{}_vggm",
    }
    points = []
    for backbone, name in backbones.items():
        for title, model in (("baseline", "baseline"), ("PGAN", "pgan")):
            config = f"configs/pgan/{name.format(model)}_1xb64-130e_{DATA}-224x224.py"
            published = _VERI if config == PGAN.format(DATA) else {}
            points.append(
                Point({"backbone": backbone, "model": title}, config, published=published)
            )
    return points


def _concatenation() -> list[Point]:
    # All losses, since each feature must be trained to be tested.
    on = {f"model.loss_weights.{loss}": 1.0 for loss in ("loss_fusion", "loss_global", "loss_part")}
    tested = {"fusion": {}, "fusion + global + part": {"model.test_feature": "concat"}}
    return [
        _pgan(
            {"tested feature": title},
            on,
            test_options=options,
            published={} if options else _VERI,
        )
        for title, options in tested.items()
    ]


def _table6() -> list[Point]:
    sets: list[tuple[str, str, dict[str, Any], dict[str, dict[str, float]]]] = [
        ("VeRi-776", "veri776", {}, {RELEASE: _numbers(79.4, 96.3, 98.6)}),
        ("VehicleID small", "vehicleid", {"test_size": 800}, {}),
        ("VehicleID medium", "vehicleid", {"test_size": 1600}, {}),
        (
            "VehicleID large",
            "vehicleid",
            {"test_size": 2400},
            {RELEASE: _numbers(83.8, 77.7, 91.9)},
        ),
        (
            "VRIC",
            "vric",
            {},
            {RELEASE: _numbers(85.1, 78.1, 93.5), PAPER: _numbers(84.8, 78.0, 93.2)},
        ),
        (
            "VERI-Wild small",
            "veriwild",
            {"test_size": 3000},
            {RELEASE: _numbers(83.6, 95.1, 98.5)},
        ),
        (
            "VERI-Wild medium",
            "veriwild",
            {"test_size": 5000},
            {RELEASE: _numbers(78.3, 92.8, 98.5)},
        ),
        (
            "VERI-Wild large",
            "veriwild",
            {"test_size": 10000},
            {RELEASE: _numbers(70.6, 89.2, 95.7)},
        ),
    ]
    return [
        Point({"test set": title}, PGAN.format(data), {}, size, published=published)
        for title, data, size, published in sets
    ]


EXPERIMENTS = {
    "table2": Experiment("Table II: the losses", _table2()),
    "table3": Experiment("Table III: what the attention looks at", _table3()),
    "table4": Experiment("Table IV: number of parts D, at 256 dimensions", _parts(256)),
    "table5": Experiment("Tables IV and V: number of parts D, at 512 dimensions", _parts(512)),
    "table6": Experiment("Table VI: four data sets", _table6()),
    "figure5": Experiment("Figure 5: dimension 2C' of the feature", _figure5()),
    "figure6": Experiment("Figure 6: weight λ of the cross-entropy", _figure6()),
    "figure7": Experiment("Figure 7: backbones, of PGAN and of its baseline", _figure7()),
    "concat": Experiment("Section IV-D: the three features side by side", _concatenation()),
}
