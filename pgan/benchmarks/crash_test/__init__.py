"""Kill training runs and extractions, and compare their results with uninterrupted ones."""

from pgan.benchmarks.crash_test.kills import CrashTestError, CrashTestReport, Job, Kill, crash_test

__all__ = ["CrashTestError", "CrashTestReport", "Job", "Kill", "crash_test"]
