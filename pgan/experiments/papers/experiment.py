"""An experiment of a paper: what one of its tables or figures compares."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pgan.errors import ConfigError
from pgan.experiments.sweeps.points import Point, Sweep


@dataclass(frozen=True)
class Experiment:
    """A table or figure.

    Each point names the model it trains and what is changed in that model's config; so the same experiment
    runs on VeRi-776 with the paper's hyper-parameters, or on any other data with configs of one's own.

    Attributes:
        title: What it shows.
        points: Of the model, and of its baseline as references.
    """

    title: str
    points: Sequence[Point]

    def sweep(
        self,
        name: str,
        model: str | None = None,
        baseline: str | None = None,
        seeds: Sequence[int] = (0,),
        options: Mapping[str, Any] | None = None,
    ) -> Sweep:
        """The experiment, to be run.

        Args:
            name: Of its table and plot.
            model: Config to take in place of the model's. The published numbers stay beside it, by name.
            baseline: The same for the baseline's.
            seeds: Of the models.
            options: Config keys to change in all of it.

        Raises:
            ConfigError: A config in place of several, or of none.
        """
        for role, config, reference in (("model", model, False), ("baseline", baseline, True)):
            there = {point.config for point in self.points if point.reference == reference}
            if config and len(there) != 1:
                raise ConfigError(f"--{role}: {name} has no place for it")
        points = [
            replace(point, config=(baseline if point.reference else model) or point.config)
            for point in self.points
        ]
        return Sweep(self.title, points, tuple(seeds), options or {}, name)
