"""Sweeps: a config's keys varied, every combination trained and tested, a table and a plot of them."""

from pgan.experiments.sweeps.plan import Job, Run, SweepError, plan
from pgan.experiments.sweeps.points import Point, Sweep, grid, parse_settings
from pgan.experiments.sweeps.results import SweepResults
from pgan.experiments.sweeps.runs import run_sweep

__all__ = [
    "Job",
    "Point",
    "Sweep",
    "SweepError",
    "SweepResults",
    "Run",
    "grid",
    "parse_settings",
    "plan",
    "run_sweep",
]
