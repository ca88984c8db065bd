"""The synthetic fleet as a benchmark: which claims of the paper hold on it, and what depends on the detector.

A study is a config (``configs/study``). Its steps lead from a fleet to part caches of several qualities; its
sweeps train every model from random weights, and share the runs that they have in common.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmengine.config import Config

from pgan.apis import ConfigError, load_config
from pgan.experiments.fleet_steps import fleet_steps
from pgan.experiments.steps import Chain, Step
from pgan.experiments.sweeps import Point, Sweep, SweepResults, run_sweep

_KEYS = (
    *("fleet", "detector", "pgan", "baseline", "models"),
    *("num_parts", "noises", "seeds", "jobs", "options"),
)
ANYWHERE = "anywhere"


@dataclass(frozen=True)
class FleetStudy:
    """A study in a folder.

    Attributes:
        config: Of ``configs/study``.
        work_dir: Folder of the fleet, the caches, all runs, and the tables and plots of the sweeps.
    """

    config: Config
    work_dir: Path

    @classmethod
    def read(cls, path: str, work_dir: str | Path) -> FleetStudy:
        """Read a study's config.

        Raises:
            ConfigError: It is no study.
        """
        config = load_config(path)
        if missing := [key for key in _KEYS if key not in config]:
            raise ConfigError(
                f"{path}: is not a study, it has no {missing[0]!r}: see configs/study"
            )
        return cls(config, Path(work_dir))

    @property
    def fleet(self) -> Path:
        """Folder of the fleet."""
        return self.work_dir / "fleet"

    def cache(self, boxes: str) -> Path:
        """The part cache of some boxes: ``detector``, ``true``, ``noise 0.25`` ... or ``anywhere``."""
        return self.work_dir / "parts" / boxes.replace(" ", "_")

    @property
    def perturbed(self) -> list[str]:
        """Boxes that are made of the detector's."""
        return [*(f"noise {noise:g}" for noise in self.config.noises), ANYWHERE]

    def steps(self) -> list[Step]:
        """The commands from nothing to the part caches."""
        config, folder = self.config, self.work_dir / "detector"
        common = fleet_steps(
            self.fleet, config.fleet, config.detector, config.pgan, folder, self.cache("detector")
        )
        true = ["tools/part_cache.py", "import-fleet", str(self.fleet)]
        true += ["--out", str(self.cache("true"))]
        return [
            *common,
            self._cache_step("Cache the true boxes", "true", true),
            *map(self._perturb_step, self.perturbed),
            self._compare_step(),
        ]

    def _perturb_step(self, boxes: str) -> Step:
        how = ["--anywhere"] if boxes == ANYWHERE else ["--noise", boxes.split()[1]]
        words = ["perturb", str(self.cache("detector")), "--out", str(self.cache(boxes)), *how]
        return self._cache_step(f"Cache boxes: {boxes}", boxes, ["tools/part_cache.py", *words])

    def _compare_step(self) -> Step:
        caches = [str(self.cache(boxes)) for boxes in ("true", "detector", *self.perturbed)]
        num_parts = load_config(self.config.pgan, dict(self.config.options)).num_parts
        table = self.work_dir / "parts" / "quality.md"
        words = ["--truth", caches[0], "--num-parts", str(num_parts), "--out", str(table)]
        command = ["tools/part_cache.py", "compare", *caches, *words]
        return Step("Compare all boxes with the true ones", command, table, 5)

    def _cache_step(self, title: str, boxes: str, command: list[str]) -> Step:
        return Step(title, command, self.cache(boxes) / "manifest.json", 5)

    def sweeps(self, seeds: Sequence[int]) -> list[Sweep]:
        """Attention, number of parts, quality of the boxes, other models; the baseline beside each."""
        pgan = self.config.pgan
        baseline = Point({"model": "baseline"}, self.config.baseline, reference=True)
        attention = [
            baseline,
            Point({"model": "grid attention"}, pgan, {"model.attention": "grid"}),
            Point({"model": "PGAN without PAM"}, pgan, {"model.attention": "uniform"}),
            Point({"model": "PGAN"}, pgan),
        ]
        parts = [
            replace(baseline, values={"D": "baseline"}),
            *(Point({"D": d}, pgan, {"num_parts": d}) for d in self.config.num_parts),
        ]
        boxes = [
            replace(baseline, values={"boxes": "none (baseline)"}),
            *(
                Point({"boxes": name}, pgan, {"part_cache": str(self.cache(name))})
                for name in ("true", "detector", *self.perturbed)
            ),
        ]
        models = [
            baseline,
            Point({"model": "PGAN"}, pgan),
            *(Point({"model": name}, config) for name, config in self.config.models.items()),
        ]
        options: dict[str, Any] = {
            "data_root": str(self.fleet),
            "part_cache": str(self.cache("detector")),
            **self.config.options,
        }
        return [
            Sweep(title, points, tuple(seeds), options, name)
            for title, name, points in (
                ("Attention", "attention", attention),
                ("Number of parts D", "parts", parts),
                ("Boxes", "boxes", boxes),
                ("Models", "models", models),
            )
        ]

    def run(self) -> Iterator[SweepResults]:
        """Run what is not finished, one seed after the other; yields each sweep's results.

        An interrupted call resumes when it is repeated; tables and plots show the finished runs.

        Raises:
            StepError, SweepError: A step or a run failed.
        """
        Chain(self.steps(), self.work_dir / "logs", goal="to the part caches").run()
        seeds = self.config.seeds
        for count in range(1, len(seeds) + 1):
            for sweep in self.sweeps(seeds[:count]):
                print(f"\n{sweep.title}, seed {seeds[count - 1]}", flush=True)
                results = run_sweep(sweep, self.work_dir, self.config.jobs)
                if count == len(seeds):
                    yield results
