"""The demo: a fleet, a detector, a part cache, PGAN beside its baseline, and a page of what came out.

Each step is a command of the README, so the demo shows how the library is used; only the page, and
the sweep over D, are made here.
"""

from __future__ import annotations

import datetime
import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from detector.attributes import ATTRIBUTES
from detector.cache import PartCache
from pgan.apis import build_runner, load_config
from pgan.evaluation import FeatureSet, evaluate, load_features
from pgan.files import write_json
from pgan.steps import Chain, Step
from pgan.visualization.panels import contact_sheet
from pgan.visualization.plots import attribute_bars, map_by_parts
from pgan.visualization.report import (
    Figure,
    Highlight,
    Rankings,
    Report,
    Section,
    Table,
    write_report,
)
from pgan.visualization.retrieval import HOW_TO_READ, Pictures, compare, describe_pick, pick_queries

FLEET = Path("data/demo_fleet")
FLEET_OPTIONS = (
    "--vehicles 180 --test-share 0.5 --images-per-vehicle 12 "
    "--detector-images 480 --size 128 --seed 0"
)
DETECTOR_CONFIG = "configs/detector/ssdlite_resnet_fleet.py"
REID_CONFIGS = {
    "baseline": "configs/pgan/baseline_r18-cpu_1xb64-24e_fleet-96x96.py",
    "pgan": "configs/pgan/pgan_r18-cpu_1xb64-24e_fleet-96x96.py",
}
NAMES = {"baseline": "Baseline", "pgan": "PGAN"}
SWEEP = (0, 2, 4, 8, 16)
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

    def run_dir(self, model: str, seed: int) -> Path:
        """Folder of one re-identification run."""
        return self.work_dir / f"{model}_seed{seed}"

    def last_checkpoint(self, config: str, run_dir: Path) -> Path:
        """The checkpoint that a finished run of this config leaves."""
        return run_dir / f"epoch_{load_config(config).train_cfg.max_epochs}.pth"

    def steps(self) -> list[Step]:
        """The commands of the demo, in order."""
        detector = self.work_dir / "detector"
        weights = self.last_checkpoint(DETECTOR_CONFIG, detector)
        parts = self.work_dir / "parts"
        tested = [DETECTOR_CONFIG, str(weights), "--work-dir", str(detector)]
        extract = [DETECTOR_CONFIG, str(weights), "--dataset", REID_CONFIGS["pgan"]]
        steps = [
            Step(
                "Render a fleet of vehicles",
                ["tools/make_fleet.py", str(FLEET), *FLEET_OPTIONS.split()],
                FLEET / "fleet.json",
                25,
            ),
            Step(
                "Train a detector of 16 parts",
                ["tools/train.py", DETECTOR_CONFIG, "--work-dir", str(detector), "--resume"],
                weights,
                65,
            ),
            Step(
                "Test the detector",
                ["tools/test.py", *tested],
                detector / "results.json",
                20,
            ),
            Step(
                "Cache the part boxes of every image",
                ["tools/extract_parts.py", *extract, "--out", str(parts), "--max-parts", "16"],
                parts / "manifest.json",
                30,
            ),
        ]
        for seed in self.seeds:
            for model, config in REID_CONFIGS.items():
                steps += self._reid_steps(model, config, seed)
        return steps

    def _reid_steps(self, model: str, config: str, seed: int) -> list[Step]:
        run_dir = self.run_dir(model, seed)
        weights = self.last_checkpoint(config, run_dir)
        where = ["--work-dir", str(run_dir)]
        option = ["--cfg-options", f"randomness.seed={seed}"]
        if model == "pgan":
            option.append(f"part_cache={self.work_dir / 'parts'}")
        features = run_dir / "features.npz"
        return [
            Step(
                f"Train {NAMES[model]}, seed {seed}",
                ["tools/train.py", config, *where, "--resume", *option],
                weights,
                155,
            ),
            Step(
                f"Rank the gallery with {NAMES[model]}, seed {seed}",
                ["tools/test.py", config, str(weights), *where, "--dump", str(features), *option],
                features,
                20,
            ),
        ]

    def sweep(self) -> dict[int, list[float]]:
        """Test PGAN with every D of ``SWEEP`` from the one cache; finished points are kept.

        Returns:
            D → mAP in percent, one per seed.
        """
        path = self.work_dir / "sweep.json"
        done = json.loads(path.read_text()) if path.is_file() else {}
        for seed in self.seeds:
            for count in SWEEP:
                key = f"seed {seed}, D {count}"
                if key in done:
                    continue
                done[key] = self._test_with_parts(seed, count)
                print(f"  {key}: mAP {done[key]:.1f}", flush=True)
                write_json(path, done)
        return {d: [done[f"seed {seed}, D {d}"] for seed in self.seeds] for d in SWEEP}

    def _test_with_parts(self, seed: int, count: int) -> float:
        """MAP in percent of a trained PGAN that is given D = ``count`` parts."""
        config, run_dir = REID_CONFIGS["pgan"], self.run_dir("pgan", seed)
        if count == load_config(config).num_parts:  # tested before, after its training
            return evaluate(load_features(run_dir / "features.npz")).metrics()["mAP"]
        options = {"num_parts": count, "part_cache": str(self.work_dir / "parts")}
        cfg = load_config(config, {**options, "log_level": "WARNING"})
        weights = str(self.last_checkpoint(config, run_dir))
        return build_runner(cfg, str(self.work_dir / "sweep"), weights).test()["reid/mAP"]

    def run(self) -> Path:
        """Run every step that is not done, and write the page.

        Raises:
            StepError: A step failed.
        """
        chain = Chain(self.steps(), self.work_dir / "logs")
        chain.run()
        print("\nTest PGAN with fewer and more parts, from the same cache", flush=True)
        sweep = self.sweep()
        return Page(self, sweep, chain).write()


class Page:
    """The demo's results as tables and one HTML page."""

    def __init__(self, demo: Demo, sweep: dict[int, list[float]], chain: Chain) -> None:
        self.demo, self.sweep, self.chain = demo, sweep, chain
        self.cache = PartCache.open(demo.work_dir / "parts")
        self.detector = json.loads((demo.work_dir / "detector" / "results.json").read_text())[
            "metrics"
        ]
        self.features = {
            model: [
                load_features(demo.run_dir(model, seed) / "features.npz") for seed in demo.seeds
            ]
            for model in REID_CONFIGS
        }
        self.evaluations = {
            model: [evaluate(features) for features in runs]
            for model, runs in self.features.items()
        }
        self.metrics = {
            model: [evaluation.metrics((1, TOP)) for evaluation in runs]
            for model, runs in self.evaluations.items()
        }

    def write(self) -> Path:
        """Print the tables and write the page; returns its path."""
        for table in (self.detector_table(), self.reid_table()):
            print(f"\n{table.title}\n{_plain(table)}", flush=True)
        fleet = json.loads((FLEET / "fleet.json").read_text())
        gain = self._mean("pgan", "mAP") - self._mean("baseline", "mAP")
        report = Report(
            title="The same vehicle again: PGAN on a synthetic fleet",
            summary=(
                "A detector learned sixteen parts of rendered vehicles; its boxes were cached; PGAN and "
                "its baseline learned to find a vehicle again among near-twins that differ only "
                f"in those parts. PGAN's mAP is {abs(gain):.1f} points "
                f"{'above' if gain > 0 else 'below'} the baseline's. The numbers are of a small network "
                "trained for minutes on rendered pictures: they show how the library works, and say "
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
                **{title: f"{seconds:.0f} s" for title, seconds in self.chain.seconds.items()},
            },
            commands=["make demo", "", *(step.shell_line for step in self.chain.steps)],
        )
        return write_report(self.demo.work_dir / "index.html", report)

    def _mean(self, model: str, key: str) -> float:
        return float(np.mean([run[key] for run in self.metrics[model]]))

    def _against(self, key: str) -> str:
        return f"baseline {self._mean('baseline', key):.1f}%"

    def _pictures(self) -> Pictures:
        parts = load_config(REID_CONFIGS["pgan"]).num_parts
        return Pictures(FLEET, self.cache, parts)

    def _fleet_section(self) -> Section:
        images = [str(path) for path in self.features["pgan"][0].subset("gallery").img_paths]
        shown = [self._pictures().read(path) for path in images[:: max(1, len(images) // 12)][:12]]
        return Section(
            "The fleet",
            "Each vehicle is a 3-D model with personal details: stickers, ornaments, rims, lights. Most "
            "have near-twins of the same style, trim and colour, told apart only inside part boxes.",
            [
                Figure(
                    contact_sheet(shown, 4, 220),
                    f"Gallery images with the {self._pictures().num_parts} most confident part boxes from "
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
        rows = [
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
        first: dict[str, FeatureSet] = {NAMES[m]: runs[0] for m, runs in self.features.items()}
        results = [runs[0].rankings[0] for runs in self.evaluations.values()]
        queries = pick_queries(*results, count=6)
        note = describe_pick(*first, len(queries), results[0].num_valid)
        return Section(
            "Telling twins apart",
            "Top-down attention: which of the parts tell this vehicle from its twins?",
            [
                self.reid_table(),
                Rankings(compare(first, queries, self._pictures(), k=TOP), f"{note} {HOW_TO_READ}"),
            ],
        )

    def _sweep_section(self) -> Section:
        trained = self._pictures().num_parts
        return Section(
            "How many parts",
            "One pass of the detector serves every D.",
            [
                Figure(
                    map_by_parts(self.sweep, [run["mAP"] for run in self.metrics["baseline"]]),
                    f"mAP of PGAN, trained with D = {trained}, when it is tested with D parts from the same "
                    "cache. (The paper trains anew for each D.)",
                    "mAP against the number of parts",
                )
            ],
        )


def _percent(fraction: float | None) -> float | None:
    return None if fraction is None else 100 * fraction


def _device() -> str:
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"


def _plain(table: Table) -> str:
    cells = [list(table.columns), *([table.text(cell) for cell in row] for row in table.rows)]
    widths = [max(len(row[i]) for row in cells) for i in range(len(table.columns))]
    return "\n".join(
        "  ".join(
            text.rjust(width) if table.is_numeric(i) else text.ljust(width)
            for i, (text, width) in enumerate(zip(row, widths))
        )
        for row in cells
    )
