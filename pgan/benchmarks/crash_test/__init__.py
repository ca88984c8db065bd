"""Killing our own trainings and extractions, and comparing what they leave with undisturbed ones."""

from pgan.benchmarks.crash_test.kills import Kill, Report, TortureError, Work, torture

__all__ = ["Kill", "Report", "TortureError", "Work", "torture"]
