"""Recipes: models trained on data sets of one's choice and tested on many lists, in one table.

A recipe is a config (``configs/recipes``). Its models are trained as a sweep trains them, once each, and
tested as by `pgan.experiments.cross_test`. Missing data sets are skipped with a notice.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from detector.cache import CacheError
from pgan.apis import ConfigError, load_config, load_reid_config
from pgan.datasets.check import unread_datasets
from pgan.datasets.errors import DatasetError
from pgan.experiments.cross_test import Matrix, Pair, Side, check_metrics, combine, run_pairs
from pgan.experiments.sweeps import Job, Point, Sweep, plan
from pgan.experiments.sweeps.runs import Runner, places

_KEYS = ("title", "models", "tests", "metrics", "options")


@dataclass(frozen=True)
class Recipe:
    """What is trained, and what it is tested on.

    Attributes:
        name: Of the folder of its table.
        models: Each a point of a sweep without tests.
        tests: Test sets, in the order of the table.
        metrics: Columns of the table.
    """

    name: str
    models: Sweep
    tests: Sequence[Side]
    metrics: Sequence[str]

    @classmethod
    def read(
        cls, path: str, names: Sequence[str] = (), options: Mapping[str, Any] | None = None
    ) -> Recipe:
        """Read a recipe's config.

        Args:
            path: Config file.
            names: Of the models to take; none for all.
            options: Config keys to change in all models, in place of the recipe's own.

        Raises:
            ConfigError: It is no recipe, has no such model or metric, or its tests name a config or key that
                is not there.
        """
        recipe = load_config(path)
        if missing := [key for key in _KEYS if key not in recipe]:
            raise ConfigError(
                f"{path}: is no recipe, it has no {missing[0]!r}: see configs/recipes"
            )
        if unknown := [name for name in names if name not in recipe.models]:
            known = ", ".join(map(repr, recipe.models))
            raise ConfigError(f"{path}: has no model {unknown[0]!r}, but {known}")
        check_metrics(recipe.metrics)
        chosen = {name: recipe.models[name] for name in names or recipe.models}
        own = {key: value for key, value in recipe.options.items() if key not in (options or {})}
        # Its own options are each model's, so that recipes that differ in them can share a work dir.
        points = _points(path, "model", chosen, own)
        models = Sweep(recipe.title, points, options=options or {}, tested=False)
        tests = Sweep("tests", _points(path, "test set", recipe.tests))
        tests.check()
        sides = [_side(point, point.options) for point in tests.points]
        return cls(Path(path).stem, models, sides, tuple(recipe.metrics))

    def run(
        self,
        work_dir: str | Path,
        jobs: int | None = None,
        gpus_per_run: int = 1,
        train: bool = True,
    ) -> Matrix:
        """Train what is not trained, test what is not tested, and write the table after each test.

        An interrupted call resumes when it is repeated. Recipes share a work dir, and in it the training
        runs that they have in common; the table is in the folder of the recipe's name.

        Args:
            work_dir: Folder of all runs.
            jobs: Training runs side by side; None for one on each GPU, or one at a time without a GPU.
            gpus_per_run: GPUs that train one model together.
            train: False to test what is trained, and train nothing.

        Raises:
            ConfigError: See `ready`.
            SweepError: A folder holds another training run, or training runs failed.
            DatasetError, CacheError, CheckpointError, RankingError: A test set, part cache or checkpoint
                cannot be used, or no query is valid.
        """
        runs, cells = self.ready(work_dir, train)
        Runner(runs, places(jobs, gpus_per_run), gpus_per_run).run()
        folder = Path(work_dir) / self.name
        results: list[dict[str, Any]] = []
        matrix = Matrix(results, self.metrics, stacked=True)
        for result in run_pairs([Pair(*cell, folder) for cell in cells], self.metrics):
            results.append(result)
            matrix.write(folder)
        return matrix

    def ready(
        self, work_dir: str | Path, train: bool = True
    ) -> tuple[list[Job], list[tuple[Side, Side]]]:
        """What the disk has data for; what it has none for is printed, a line for each reason.

        A data set is looked for by its folder, lists and part cache, not image by image. A model that is
        trained needs its training data no more.

        Returns:
            Trainings, and the cells of the table, model and test set, test set by test set.

        Raises:
            ConfigError: Nothing is left, a model names a config or key that is not there, or looks at parts
                where a test set's config has no part cache.
            SweepError: A folder holds another training.
        """
        left_out: dict[tuple[str, str], list[str]] = defaultdict(list)  # for whom, why -> what
        runs, models, cells = [], [], []
        for job in plan(self.models, work_dir):
            model = _side(job.runs[0].point, job.folder.options, str(job.checkpoint))
            if reason := _why_untrained(job, model.cfg, train):
                left_out["", reason].append(model.name)
            else:
                runs.append(job)
                models.append(model)
        for test in self.tests:
            without: dict[str, list[str]] = defaultdict(list)
            for model in models:
                if reason := _fault(combine(model, test), ["test_dataloader"]):
                    without[reason].append(model.name)
                else:
                    cells.append((model, test))
            for reason, names in without.items():
                whom = "" if len(names) == len(models) else f" for {', '.join(names)}"
                left_out[whom, reason].append(test.name)
        for (whom, reason), names in left_out.items():
            print(f"left out{whom}: {', '.join(names)}: {reason}", flush=True)
        if not cells:
            raise ConfigError(
                f"{self.name}: nothing is left to run: bring the data that the lines above name, "
                "docs/recipes.md says how it is laid out"
            )
        return runs, cells


def _points(
    path: str, kind: str, entries: Mapping[str, Any], shared: Mapping[str, Any] | None = None
) -> list[Point]:
    """A point for each entry: name -> a config's path, or that and config keys, after the shared ones."""
    points = []
    for name, entry in entries.items():
        options = {"config": entry} if isinstance(entry, str) else dict(entry or {})
        config = options.pop("config", None)
        if config is None:
            raise ConfigError(
                f"{path}: {name!r} names no config: write a path, or dict(config=PATH, KEY=VALUE)"
            )
        points.append(Point({kind: name}, config, {**(shared or {}), **options}))
    return points


def _side(point: Point, options: Mapping[str, Any], checkpoint: str | None = None) -> Side:
    cfg = load_reid_config(point.config, dict(options))
    (name,) = point.values.values()
    return Side(name, point.config, cfg, checkpoint)


def _why_untrained(job: Job, cfg: Config, train: bool) -> str | None:
    if job.checkpoint.is_file():
        return None
    if not train:
        return f"not trained yet, there is no {job.checkpoint}"
    return _fault(cfg, ["train_dataloader", "val_dataloader"])


def _fault(cfg: Config, loaders: Sequence[str]) -> str | None:
    """What is missing of a config's data, None if nothing is; images are not looked for."""
    try:
        for dataset in unread_datasets(cfg, loaders, with_parts=True):
            for role in dataset.roles():
                next(iter(dataset.entries(role)), None)
    except (DatasetError, CacheError) as error:
        return str(error)
    return None
