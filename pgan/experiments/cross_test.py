"""Any model on any test set: which training serves which streets, as a train x test matrix.

A pair runs the model and the test transforms of one config on the test set of another, scored by that
set's own protocol. Features and scores are kept, so an interrupted matrix resumes.
"""

from __future__ import annotations

import copy
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict, DictAction

from detector.cache import PartCache
from detector.common.files import file_sha256, write_bytes, write_json
from pgan.apis import ConfigError, build_tester, load_reid_config
from pgan.engine.checkpoint import CheckpointError
from pgan.evaluation import RANKS, Evaluation, evaluate, load_features
from pgan.tables import csv_table, markdown_table, with_deviation

METRICS = ("mAP", "Rank-1")

_FORM = (
    "CONFIG:CHECKPOINT[:NAME][:KEY=VALUE...] of a model, CONFIG[:NAME][:KEY=VALUE...] of a test set"
)


@dataclass(frozen=True)
class Side:
    """A row or a column of a matrix: a model, or a test set.

    Attributes:
        name: Of the row or column, and of a folder.
        path: Its config file.
        cfg: What that says, options merged.
        checkpoint: Weights of a model; None for a test set.

    Raises:
        ConfigError: The name cannot be a folder's.
    """

    name: str
    path: str
    cfg: Config
    checkpoint: str | None = None

    def __post_init__(self) -> None:
        if not re.fullmatch(r"\w[\w .+-]*", self.name):
            raise ConfigError(
                f"{self.name!r} is also a folder's name: use letters, digits, . + - _ and spaces"
            )

    @classmethod
    def parse(cls, text: str, is_model: bool, options: dict[str, Any] | None = None) -> Side:
        """Read ``CONFIG:CHECKPOINT[:NAME][:KEY=VALUE...]``, for a test set without the checkpoint.

        Without a name, a model takes its config's, a test set its data set's type and size.

        Args:
            text: As typed; the values are read as those of ``--cfg-options``.
            is_model: Whether there is to be a checkpoint.
            options: Config keys of every side; a side's own come after them.

        Raises:
            ConfigError: Fields missing or too many, or no config of a re-identification model.
        """
        fields = text.split(":")
        words = [field for field in fields if "=" not in field]
        pairs = [field.split("=", 1) for field in fields if "=" in field]
        least = 2 if is_model else 1
        if not least <= len(words) <= least + 1 or not all(words):
            raise ConfigError(f"{text!r} is not understood: write {_FORM}")
        own = {key: DictAction._parse_iterable(value) for key, value in pairs}
        cfg = load_reid_config(words[0], {**(options or {}), **own})
        data = cfg.test_dataloader.dataset
        size = f"-{data.test_size}" if data.get("test_size") else ""
        name = words[least] if len(words) > least else ""
        name = name or (Path(words[0]).stem if is_model else f"{data.type}{size}")
        return cls(name, words[0], cfg, words[1] if is_model else None)

    @property
    def with_parts(self) -> bool:
        """Whether it names a part cache."""
        return bool(self.cfg.test_dataloader.dataset.get("part_cache"))

    @cached_property
    def checkpoint_sha256(self) -> str:
        """SHA-256 of the weights; raises CheckpointError if there is no such file."""
        if self.checkpoint is None or not Path(self.checkpoint).is_file():
            raise CheckpointError(
                f"{self.checkpoint}: no such checkpoint; check the path, or train first"
            )
        return file_sha256(self.checkpoint)


def combine(model: Side, test: Side) -> Config:
    """The config that runs a model, with its transforms and number of parts, on another's test set.

    Raises:
        ConfigError: The model uses parts, and the test set has no part cache.
    """
    cfg = copy.deepcopy(model.cfg)
    own, other = cfg.test_dataloader.dataset, test.cfg.test_dataloader.dataset
    if model.with_parts and not test.with_parts:
        raise ConfigError(
            f"{model.name} uses parts, and the test set {test.name} has no part cache: name the one "
            f"that tools/extract_parts.py made of it, {test.path}:{test.name}:part_cache=FOLDER"
        )
    cfg.test_dataloader.dataset = ConfigDict(
        copy.deepcopy(other),
        pipeline=own.pipeline,
        part_cache=other.part_cache if model.with_parts else None,
        num_parts=own.get("num_parts", 0) if model.with_parts else 0,
    )
    cfg.test_evaluator = copy.deepcopy(test.cfg.test_evaluator)
    return cfg


class Pair:
    """A model on a test set, in a folder that keeps its features and scores.

    Args:
        model: The one.
        test: The other.
        work_dir: Folder of the matrix.

    Raises:
        ConfigError, CheckpointError, CacheError: They do not go together, or the checkpoint or the part cache
            is not there.
    """

    def __init__(self, model: Side, test: Side, work_dir: Path) -> None:
        self.model, self.test = model, test
        self.cfg = combine(model, test)
        self.folder = work_dir / model.name / test.name
        self.features, self.scores = self.folder / "features.npz", self.folder / "scores.json"
        used = [self.cfg.model, self.cfg.test_dataloader.dataset, self.cfg.test_evaluator]
        text = json.dumps(used, sort_keys=True, default=str)
        parts = self.cfg.test_dataloader.dataset.get("part_cache")
        self.key = {
            "checkpoint": model.checkpoint_sha256,
            "parts": PartCache.open(parts).manifest["files"] if parts else None,
            "config": hashlib.sha256(text.encode()).hexdigest(),
        }

    @cached_property
    def kept(self) -> dict[str, Any] | None:
        """The scores that this checkpoint, config and part cache left, None if there are none."""
        if not self.scores.is_file() or not self.features.is_file():
            return None
        scores = json.loads(self.scores.read_text())
        return scores if scores["key"] == self.key else None

    def result(self, metrics: Sequence[str]) -> dict[str, Any]:
        """Scores in plain values: kept ones, or new ones of kept features, or of the model run now.

        Raises:
            DatasetError, CacheError, CheckpointError, RankingError: A test set, part cache or checkpoint
                cannot be used, or no query is valid.
        """
        scores = self.kept
        if scores is not None and set(metrics) <= set(scores["metrics"]):
            return scores
        evaluation = self.run() if scores is None else evaluate(load_features(self.features))
        ranks = {int(name.removeprefix("Rank-")) for name in metrics if name.startswith("Rank-")}
        scores = {
            "model": {"name": self.model.name, "config": self.model.path},
            "checkpoint": self.model.checkpoint,
            "test": {"name": self.test.name, "config": self.test.path},
            "key": self.key,
            "description": evaluation.describe(),
            **evaluation.to_dict(sorted(ranks | set(RANKS))),
        }
        write_json(self.scores, scores)
        return scores

    def run(self) -> Evaluation:
        """Run the model over the test set, keep the features and score them."""
        self.scores.unlink(missing_ok=True)  # those of other features
        cfg = copy.deepcopy(self.cfg)
        cfg.test_evaluator.dump = str(self.features)
        cfg.experiment_name = f"{self.model.name} on {self.test.name}"
        runner = build_tester(cfg, str(self.folder), str(self.model.checkpoint))
        runner.test()
        return runner.test_evaluator.metrics[0].evaluation


@dataclass(frozen=True)
class Matrix:
    """Scores of every model on every test set.

    Attributes:
        results: As `Pair.result` gives them, model by model.
        metrics: Names of the metrics to show.
        stacked: A line for each pair, for many test sets, metrics, or pairs that there are not; else a line
            for each model.
    """

    results: Sequence[dict[str, Any]]
    metrics: Sequence[str] = METRICS
    stacked: bool = False

    def rows(self) -> dict[str, dict[tuple[str, str], tuple[float, float | None]]]:
        """Model -> test set with its protocol, and metric -> mean and standard deviation."""
        rows: dict[str, dict] = {}
        for result in self.results:
            test = f"{result['test']['name']} ({result['protocol']['name']})"
            row = rows.setdefault(result["model"]["name"], {})
            for name in self.metrics:
                row[test, name] = result["metrics"][name], result["stds"].get(name)
        return rows

    def markdown(self) -> str:
        """The table, and below it how each test set was scored."""
        notes = {r["test"]["name"]: r["description"] for r in self.results}
        table = self._stacked_table() if self.stacked else self._wide_table()
        return "\n\n".join([table, *(f"{name}: {note}." for name, note in notes.items())]) + "\n"

    def _wide_table(self) -> str:
        rows = self.rows()
        columns = [f"{test} {name}" for test, name in next(iter(rows.values()))]
        lines = [
            [model, *(with_deviation(mean, std) for mean, std in row.values())]
            for model, row in rows.items()
        ]
        return markdown_table(["Model", *columns], lines)

    def _stacked_table(self) -> str:
        lines = [
            [
                *(result["test"]["name"], result["model"]["name"]),
                *(
                    with_deviation(result["metrics"][m], result["stds"].get(m))
                    for m in self.metrics
                ),
            ]
            for result in self.results
        ]
        return markdown_table(["Test set", "Model", *self.metrics], lines, left=2)

    def csv(self) -> str:
        """The table with all digits, standard deviations in columns of their own."""
        return csv_table(self._stacked_lines() if self.stacked else self._wide_lines())

    def _wide_lines(self) -> list[dict[str, object]]:
        lines = []
        for model, row in self.rows().items():
            line: dict[str, object] = {"model": model}
            for (test, name), (mean, std) in row.items():
                line |= _with_std(f"{test} {name}", mean, std)
            lines.append(line)
        return lines

    def _stacked_lines(self) -> list[dict[str, object]]:
        lines = []
        for result in self.results:
            line = {
                "test set": result["test"]["name"],
                "protocol": result["protocol"]["name"],
                "model": result["model"]["name"],
            }
            for name in self.metrics:
                line |= _with_std(name, result["metrics"][name], result["stds"].get(name))
            lines.append(line)
        return lines

    def write(self, folder: Path) -> None:
        """Write ``matrix.md``, ``matrix.csv`` and, with protocols and counts, ``matrix.json``."""
        for name, text in (("matrix.md", self.markdown()), ("matrix.csv", self.csv())):
            write_bytes(folder / name, text.encode())
        write_json(folder / "matrix.json", list(self.results))


def cross_test(
    models: Sequence[Side], tests: Sequence[Side], work_dir: str, metrics: Sequence[str] = METRICS
) -> Matrix:
    """Test every model on every test set, and write the matrix into ``work_dir``.

    A pair that is done is not run again unless its checkpoint, config or part cache has changed.

    Raises:
        ConfigError: Two sides of one name, an unknown metric, or a pair that does not go together: before
            anything is run.
        DatasetError, CacheError, CheckpointError, RankingError: A test set, part cache or checkpoint cannot
            be used, or no query is valid.
    """
    for sides in (models, tests):
        names = [side.name for side in sides]
        if twice := {name for name in names if names.count(name) > 1}:
            raise ConfigError(f"two are named {sorted(twice)[0]!r}: give each its name, {_FORM}")
    check_metrics(metrics)
    pairs = [Pair(model, test, Path(work_dir)) for model in models for test in tests]
    matrix = Matrix(list(run_pairs(pairs, metrics)), tuple(metrics))
    matrix.write(Path(work_dir))
    return matrix


def check_metrics(metrics: Sequence[str]) -> None:
    """Refuse what is no metric of a matrix.

    Raises:
        ConfigError: One is unknown.
    """
    for name in metrics:
        if not re.fullmatch(r"mAP|mINP|Rank-[1-9]\d*", name):
            raise ConfigError(f"{name!r} is not a metric here: use mAP, mINP or Rank-k")


def run_pairs(pairs: Sequence[Pair], metrics: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Say which pair it is at, and yield its `Pair.result`."""
    for number, pair in enumerate(pairs, start=1):
        kept = "kept" if pair.kept else "running"
        print(f"[{number}/{len(pairs)}] {pair.model.name} on {pair.test.name}: {kept}", flush=True)
        yield pair.result(metrics)


def _with_std(name: str, mean: float, std: float | None) -> dict[str, float]:
    return {name: mean} if std is None else {name: mean, f"{name} std": std}
