"""Sweeps: a config's keys varied, every combination trained and tested, a table and a plot of them."""

from pgan.sweeps.plan import Job, Run, SweepError, plan
from pgan.sweeps.points import Point, Sweep, grid, parse_settings
from pgan.sweeps.results import SweepResults
from pgan.sweeps.runs import run_sweep

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
