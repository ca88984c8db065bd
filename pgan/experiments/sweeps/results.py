"""What a sweep came to: a table, a plot, the best point, and published numbers beside ours."""

from __future__ import annotations

import os
import re
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from detector.common.files import write_bytes, write_json
from pgan.experiments.sweeps.plan import Job, SweepError
from pgan.experiments.sweeps.points import Point, Sweep
from pgan.tables import csv_table, markdown_table, with_deviation

SHOWN = ("mAP", "Rank-1", "Rank-5", "mINP")


def scores(results: Mapping[str, Any]) -> dict[str, float]:
    """The metrics of a ``results.json`` without their prefix, the usual ones first; not their spread."""
    plain = {name.split("/", 1)[-1]: value for name, value in results["metrics"].items()}
    names = [*(name for name in SHOWN if name in plain), *plain]
    return {name: plain[name] for name in dict.fromkeys(names) if not name.endswith("_std")}


@dataclass(frozen=True)
class Row:
    """A point with its scores.

    Attributes:
        point: The point.
        runs: Seed -> ``results.json``, of the finished ones.
    """

    point: Point
    runs: Mapping[int, Mapping[str, Any]]

    @property
    def values(self) -> dict[str, list[float]]:
        """Metric -> one value per seed."""
        runs = [scores(results) for results in self.runs.values()]
        return {name: [run[name] for run in runs] for name in runs[0]} if runs else {}

    def mean(self, metric: str) -> float:
        """Mean over the seeds."""
        return statistics.fmean(self.values[metric])

    def std(self, metric: str) -> float | None:
        """Standard deviation over the seeds, as of a sample (N - 1); None of a single one."""
        values = self.values[metric]
        return statistics.stdev(values) if len(values) > 1 else None

    @property
    def protocol(self) -> str:
        """Data set and protocol of its scores; empty where they were not stored."""
        first = next(iter(self.runs.values()), {})
        names = first.get("dataset"), first.get("protocol", {}).get("name")
        return ", ".join(filter(None, names))


@dataclass(frozen=True)
class SweepResults:
    """Scores of the points of a sweep that are finished.

    Attributes:
        sweep: What was run.
        rows: One per point, in its order.
        metric: What the best point is chosen by, and what is plotted.

    Raises:
        SweepError: The runs have no such metric.
    """

    sweep: Sweep
    rows: Sequence[Row]
    metric: str = "mAP"

    def __post_init__(self) -> None:
        for row in self.finished:
            if self.metric not in row.values:
                known = ", ".join(row.values)
                raise SweepError(
                    f"{row.point.name}: was not scored by {self.metric!r}, but by {known}"
                )

    @classmethod
    def collect(cls, sweep: Sweep, jobs: Sequence[Job], metric: str = "mAP") -> SweepResults:
        """Read what the runs left."""
        runs: dict[int, dict[int, dict]] = {id(point): {} for point in sweep.points}
        for job in jobs:
            for run in job.runs:
                if (results := run.results()) is not None:
                    runs[id(run.point)][run.seed] = results
        return cls(sweep, [Row(point, runs[id(point)]) for point in sweep.points], metric)

    @property
    def finished(self) -> list[Row]:
        """Points with at least one score."""
        return [row for row in self.rows if row.runs]

    @property
    def best(self) -> Row | None:
        """The point of the highest mean, the first of several; never a baseline beside the sweep."""
        rows = [row for row in self.finished if not row.point.reference]
        return max(rows, key=lambda row: row.mean(self.metric), default=None)

    @property
    def metrics(self) -> list[str]:
        """What the table shows: what of the usual is there, or else all that is."""
        there = list(dict.fromkeys(name for row in self.finished for name in row.values))
        names = [name for name in SHOWN if name in there] or there
        return list(dict.fromkeys([self.metric, *names]))

    def describe_best(self) -> str:
        """The best point in a sentence."""
        if self.best is None:
            return "No run is finished."
        mean = _text(self.best, self.metric)
        return f"Best {self.metric}: {mean} % at {self.best.point.name}."

    def markdown(self) -> str:
        """The table, with how to read it."""
        columns = self.sweep.columns
        sources = list(dict.fromkeys(s for row in self.rows for s in row.point.published))
        protocols = list(dict.fromkeys(row.protocol for row in self.finished if row.protocol))
        lines = []
        for row in self.rows:
            cells = [_cell(row.point.values.get(column)) for column in columns]
            if len(protocols) > 1:
                cells.append(row.protocol)
            cells += [_text(row, metric) for metric in self.metrics]
            cells += [_published(row.point.published.get(source)) for source in sources]
            lines.append(cells)
        heads = [*columns, *(["Test set, protocol"] if len(protocols) > 1 else [])]
        left = len(heads)
        heads += [f"{metric}, %" for metric in self.metrics]
        heads += [f"*{source}*: {_heading(self.rows, source)}" for source in sources]
        notes = [self.describe_best(), self._note(protocols), *([_THEIRS] if sources else [])]
        table = markdown_table(heads, lines, left)
        return "\n\n".join([f"**{self.sweep.title}**", table, *notes]) + "\n"

    def _note(self, protocols: Sequence[str]) -> str:
        seeds = ", ".join(map(str, self.sweep.seeds))
        runs = sum(len(row.runs) for row in self.rows)
        total = len(self.rows) * len(self.sweep.seeds)
        spread = (
            "mean ± standard deviation (N - 1) over the seeds" if len(self.sweep.seeds) > 1 else ""
        )
        parts = [
            f"Protocol: {protocols[0]}" if len(protocols) == 1 else "",
            f"seed {seeds}" if len(self.sweep.seeds) == 1 else f"seeds {seeds}; {spread}",
            "" if runs == total else f"{runs} of {total} runs are finished",
        ]
        return "; ".join(filter(None, parts)) + "."

    def csv(self) -> str:
        """The table with all digits; means, standard deviations and published numbers in columns."""
        lines = []
        for row in self.rows:
            line: dict[str, object] = {c: row.point.values.get(c) for c in self.sweep.columns}
            line |= {"config": row.point.config, "protocol": row.protocol, "seeds": len(row.runs)}
            for metric in self.metrics:
                line[metric] = row.mean(metric) if row.runs else None
                line[f"{metric} std"] = row.std(metric) if row.runs else None
            for source, numbers in row.point.published.items():
                line |= {f"{metric} ({source})": value for metric, value in numbers.items()}
            lines.append(line)
        return csv_table(lines)

    def plot(self, fmt: str = "svg") -> bytes:
        """The metric of all points, see `pgan.visualization.sweep_plots.sweep_plot`."""
        from pgan.visualization.sweep_plots import sweep_plot

        axis, *others = self.sweep.columns
        lines: dict[str, dict[Any, Sequence[float]]] = {}
        references: dict[str, Sequence[float]] = {}
        published: dict[str, dict[Any, float]] = {}
        for row in self.rows:
            x = row.point.values.get(axis)
            rest = [
                f"{c}={row.point.values[c]}" for c in others if row.point.values.get(c) is not None
            ]
            if row.runs and row.point.reference:
                references[", ".join([_cell(x), *rest])] = row.values[self.metric]
            elif row.runs:
                lines.setdefault(", ".join(rest), {})[x] = row.values[self.metric]
            for source, numbers in row.point.published.items():
                if self.metric in numbers:
                    published.setdefault(source, {})[x] = numbers[self.metric]
        return sweep_plot(lines, axis, f"{self.metric}, %", references, published, fmt)

    def write(self, folder: str | os.PathLike[str]) -> None:
        """Write ``NAME.md``, ``.csv`` and ``.json`` and, once a run is finished, ``.png`` and ``.svg``."""
        folder = Path(folder)
        files = {"md": self.markdown().encode(), "csv": self.csv().encode()}
        if any(not row.point.reference for row in self.finished):
            files |= {fmt: self.plot(fmt) for fmt in ("png", "svg")}
        for suffix, content in files.items():
            write_bytes(folder / f"{self.sweep.name}.{suffix}", content)
        write_json(folder / f"{self.sweep.name}.json", self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Every run in plain values."""
        return {
            "title": self.sweep.title,
            "options": dict(self.sweep.options),
            "points": [
                {
                    "values": dict(row.point.values),
                    "config": row.point.config,
                    "options": {**row.point.options, **row.point.test_options},
                    "published": {s: dict(n) for s, n in row.point.published.items()},
                    "runs": {str(seed): dict(run) for seed, run in row.runs.items()},
                }
                for row in self.rows
            ],
        }


_THEIRS = "Columns in italics are the named source's numbers, not ours."


def _heading(rows: Sequence[Row], source: str) -> str:
    names = dict.fromkeys(name for row in rows for name in row.point.published.get(source, {}))
    return " / ".join(names)


def _published(numbers: Mapping[str, float] | None) -> str:
    return " / ".join(f"{value:.1f}" for value in numbers.values()) if numbers else ""


def _text(row: Row, metric: str) -> str:
    if metric not in row.values:
        return ""
    return with_deviation(row.mean(metric), row.std(metric))


def _cell(value: Any) -> str:
    return "" if value is None else re.sub(r"([|])", r"\\\1", str(value))
