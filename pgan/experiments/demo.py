"""The demo: a fleet, a detector, a part cache, PGAN beside its baseline, and a page of what came out.

Each step is a command of the README, so the demo shows how the library is used, and PGAN and its baseline
are run as any sweep is; only the page is made here.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
import shlex
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config

from detector.cache import PartCache
from detector.common.attributes import ATTRIBUTES
from pgan.apis import load_config
from pgan.evaluation import FeatureSet, evaluate, load_features
from pgan.experiments.fleet_steps import fleet_steps
from pgan.experiments.steps import Chain, Step
from pgan.experiments.sweeps import Point, Sweep, SweepResults, plan, run_sweep
from pgan.tables import markdown_table
from pgan.visualization.image_reader import ImageReader
from pgan.visualization.page import (
    Figure,
    Highlight,
    Page,
    Rankings,
    Section,
    Table,
    write_html,
)
from pgan.visualization.panels import HOW_TO_READ, contact_sheet
from pgan.visualization.plots import attribute_bars
from pgan.visualization.query_choice import describe_pick, pick_queries
from pgan.visualization.rankings import compare

FLEET = Path("data/demo_fleet")
STUDY = "configs/study/fleet_cpu.py"  # its fleet, detector, PGAN and baseline are the demo's
NAMES = {"baseline": "Baseline", "pgan": "PGAN"}
TESTED_PARTS = (0, 4, 8, 16)
REID_ESTIMATE = 400  # seconds of training and testing both models on two cores
TOP = 5


@dataclass(frozen=True)
class Demo:
    """Where the demo keeps things, and how often it trains.

    Attributes:
        work_dir: Folder of all results.
        seeds: Seeds of the re-identification models; each costs one training of both.
    """

    work_dir: Path
    seeds: Sequence[int]

    @cached_property
    def study(self) -> Config:
        """What is rendered, trained and tested."""
        return load_config(STUDY)

    @property
    def parts(self) -> Path:
        """Folder of the part cache."""
        return self.work_dir / "parts"

    @property
    def num_parts(self) -> int:
        """D that PGAN is trained with."""
        return load_config(self.study.pgan, dict(self.study.options)).num_parts

    def steps(self) -> list[Step]:
        """The commands from nothing to the part cache."""
        study, folder = self.study, self.work_dir / "detector"
        return fleet_steps(FLEET, study.fleet, study.detector, study.pgan, folder, self.parts)

    def sweep(self) -> Sweep:
        """The baseline, and PGAN tested with D of ``TESTED_PARTS``, from the one cache and one training."""
        points = [Point({"D": "baseline"}, self.study.baseline, reference=True)]
        points += [
            Point({"D": count}, self.study.pgan, test_options={"num_parts": count})
            for count in TESTED_PARTS
        ]
        options = {**self.study.options, "part_cache": str(self.parts)}
        return Sweep("PGAN by D", points, tuple(self.seeds), options, keep_features=True)

    @property
    def reid_dir(self) -> Path:
        """Folder of the re-identification runs."""
        return self.work_dir / "reid"

    def reid_commands(self) -> list[list[str]]:
        """What trains and tests the models, as arguments of Python."""
        return [c for job in plan(self.sweep(), self.reid_dir) for c in job.commands()]

    def features(self) -> dict[str, list[FeatureSet]]:
        """Model → its features of the test set, one per seed; PGAN's with the D of its training."""
        names = {"baseline": "baseline", self.num_parts: "pgan"}
        found: dict[str, list[FeatureSet]] = {model: [] for model in NAMES}
        for job in plan(self.sweep(), self.reid_dir):
            for run in job.runs:
                if run.point.values["D"] in names:
                    features = load_features(run.features)
                    found[names[run.point.values["D"]]].append(features)
        return found

    def run(self) -> Path:
        """Run every step that is not done, and write the page.

        Raises:
            StepError, SweepError: A step or a run failed.
        """
        chain = Chain(self.steps(), self.work_dir / "logs", REID_ESTIMATE * len(self.seeds))
        chain.run()
        title = "Train PGAN and its baseline, and rank the gallery with both"
        print(f"\n{title}  (about {chain.rest / 60:.0f} min to go)", flush=True)
        start = time.monotonic()
        results = run_sweep(self.sweep(), self.reid_dir, self.study.jobs)
        seconds = {**chain.seconds, title: time.monotonic() - start}
        return DemoPage(self, results, seconds).write()


class DemoPage:
    """The demo's results as tables and one HTML page."""

    def __init__(self, demo: Demo, results: SweepResults, seconds: dict[str, float]) -> None:
        self.demo, self.results, self.seconds = demo, results, seconds
        self.cache = PartCache.open(demo.parts)
        self.detector = json.loads((demo.work_dir / "detector" / "results.json").read_text())[
            "metrics"
        ]
        self.features = demo.features()
        self.evaluations = {
            model: [evaluate(features, top=TOP) for features in runs]
            for model, runs in self.features.items()
        }
        self.metrics = {
            model: [evaluation.metrics((1, TOP)) for evaluation in runs]
            for model, runs in self.evaluations.items()
        }

    def write(self) -> Path:
        """Print the tables and write the page; returns its path."""
        for table in (self.detector_table(), self.reid_table()):
            lines = [[table.text(cell) for cell in row] for row in table.rows]
            print(f"\n{table.title}\n\n{markdown_table(table.columns, lines)}", flush=True)
        print(f"\n{self.results.markdown()}", flush=True)
        fleet = json.loads((FLEET / "fleet.json").read_text())
        gain = self._mean("pgan", "mAP") - self._mean("baseline", "mAP")
        page = Page(
            title="The same vehicle again: PGAN on a synthetic fleet",
            summary=(
                "A detector learned sixteen parts of rendered vehicles; its boxes were cached; PGAN and "
                "its baseline learned to find a vehicle again among near-twins that differ only "
                f"in those parts. PGAN's mAP is {abs(gain):.1f} points "
                f"{'above' if gain > 0 else 'below'} the baseline's. The numbers are of a small network "
                "trained for minutes on rendered images: they show how the library works, and say "
                "nothing about real roads."
            ),
            sections=[
                self._fleet_section(),
                self._detector_section(),
                self._reid_section(),
                self._sweep_section(),
            ],
            highlights=[
                Highlight("mAP, PGAN", f"{self._mean('pgan', 'mAP'):.1f}%", self._against("mAP")),
                Highlight(
                    "Rank-1, PGAN", f"{self._mean('pgan', 'Rank-1'):.1f}%", self._against("Rank-1")
                ),
                Highlight(
                    "Detector, mAP", f"{100 * self.detector['parts/mAP']:.1f}%", "VOC, IoU 0.5"
                ),
            ],
            made={
                "Date": datetime.date.today().isoformat(),
                "Machine": f"{os.cpu_count()} cores, {platform.machine()}, {_device()}",
                "Versions": f"Python {platform.python_version()}, torch {torch.__version__}",
                "Fleet": f"seed {fleet['spec']['seed']}",
                "Seeds of the models": ", ".join(map(str, self.demo.seeds)),
                **{title: f"{seconds:.0f} s" for title, seconds in self.seconds.items()},
            },
            commands=[
                "make demo",
                "",
                *(step.shell_line for step in self.demo.steps()),
                *(f"python {shlex.join(words)}" for words in self.demo.reid_commands()),
            ],
        )
        return write_html(self.demo.work_dir / "index.html", page)

    def _mean(self, model: str, key: str) -> float:
        return float(np.mean([run[key] for run in self.metrics[model]]))

    def _against(self, key: str) -> str:
        return f"baseline {self._mean('baseline', key):.1f}%"

    def _reader(self) -> ImageReader:
        return ImageReader(FLEET, self.cache, self.demo.num_parts)

    def _fleet_section(self) -> Section:
        images = [str(path) for path in self.features["pgan"][0].subset("gallery").img_paths]
        shown = [self._reader().read(path) for path in images[:: max(1, len(images) // 12)][:12]]
        return Section(
            "The fleet",
            "Each vehicle is a 3-D model with personal details: stickers, ornaments, rims, lights. Most "
            "have near-twins of the same style, trim and colour, told apart only inside part boxes.",
            [
                Figure(
                    contact_sheet(shown, 4, 220),
                    f"Gallery images with the {self._reader().num_parts} most confident part boxes from "
                    "the cache.",
                    "Rendered vehicles with boxes around detected parts",
                    wide=True,
                )
            ],
        )

    def detector_table(self) -> Table:
        """AP of each attribute."""
        rows = [
            [
                name,
                *(
                    _percent(self.detector.get(f"parts/{key}_{name}"))
                    for key in ("AP50", "COCO_AP")
                ),
            ]
            for name in ATTRIBUTES
        ]
        mean = [_percent(self.detector[f"parts/{key}"]) for key in ("mAP", "COCO_AP")]
        return Table(
            "Part detector",
            ["Attribute", "AP50, %", "COCO AP, %"],
            [*rows, ["mean", *mean]],
            note="On validation images of vehicles that are in no other split.",
            strong=[len(rows)],
        )

    def _detector_section(self) -> Section:
        precision = {n: _percent(self.detector.get(f"parts/AP50_{n}")) for n in ATTRIBUTES}
        return Section(
            "Finding parts",
            "Bottom-up attention: where might the parts be?",
            [
                Figure(
                    attribute_bars(precision, "AP50, %"),
                    "Average precision of each attribute at an overlap of 0.5.",
                    "Bars of average precision by attribute",
                ),
                self.detector_table(),
            ],
        )

    def reid_table(self) -> Table:
        """MAP and CMC of each model and seed."""
        keys = ("mAP", "Rank-1", f"Rank-{TOP}", "mINP")
        rows: list[list[str | int | float | None]] = [
            [NAMES[model], seed, *(run[key] for key in keys)]
            for model, runs in self.metrics.items()
            for seed, run in zip(self.demo.seeds, runs)
        ]
        return Table(
            "Re-identification",
            ["Model", "Seed", *(f"{key}, %" for key in keys)],
            rows,
            note=self.evaluations["pgan"][0].describe(),
            strong=[i for i, row in enumerate(rows) if row[0] == NAMES["pgan"]],
        )

    def _reid_section(self) -> Section:
        first = {NAMES[model]: runs[0] for model, runs in self.evaluations.items()}
        baseline, pgan = (evaluation.rankings[0] for evaluation in first.values())
        queries = pick_queries(baseline, pgan, count=6)
        before, after = first
        note = describe_pick(before, after, len(queries), baseline.num_valid)
        return Section(
            "Telling twins apart",
            "Top-down attention: which of the parts tell this vehicle from its twins?",
            [
                self.reid_table(),
                Rankings(compare(first, queries, self._reader(), TOP), f"{note} {HOW_TO_READ}"),
            ],
        )

    def _sweep_section(self) -> Section:
        return Section(
            "How many parts",
            "One pass of the detector serves every D.",
            [
                Figure(
                    self.results.plot(),
                    f"mAP of PGAN, trained with D = {self.demo.num_parts}, when it is tested with D "
                    "parts from the same cache. (The paper trains a model for each D.)",
                    "mAP against the number of parts",
                )
            ],
        )


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
