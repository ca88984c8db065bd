"""The experiments of papers as sweeps; ``tools/sweep.py --paper NAME`` runs one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pgan.errors import ConfigError
from pgan.experiments.papers import pgan, ssrnet
from pgan.experiments.papers.experiment import Experiment
from pgan.experiments.sweeps.points import Sweep

EXPERIMENTS: dict[str, Experiment] = {**pgan.EXPERIMENTS, **ssrnet.EXPERIMENTS}


def paper_sweep(
    name: str,
    model: str | None = None,
    baseline: str | None = None,
    seeds: Sequence[int] = (0,),
    options: Mapping[str, Any] | None = None,
) -> Sweep:
    """One of `EXPERIMENTS` by name; see `Experiment.sweep`.

    Raises:
        ConfigError: No such experiment, or a config in place of several.
    """
    if name not in EXPERIMENTS:
        raise ConfigError(f"{name!r} is no experiment of a paper: {', '.join(EXPERIMENTS)}")
    return EXPERIMENTS[name].sweep(name, model, baseline, seeds, options)
