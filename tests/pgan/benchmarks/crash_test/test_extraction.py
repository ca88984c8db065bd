"""Extractions killed with SIGKILL and begun again end as undisturbed ones do, and leave nothing behind."""

from __future__ import annotations

from pathlib import Path

import pytest

from detector.cache import PartCache
from detector.cache.layout import FILES, MANIFEST
from pgan.benchmarks.crash_test import Job, crash_test
from pgan.benchmarks.crash_test.extraction import extraction, finalisation

pytestmark = pytest.mark.slow


def survive(work: Job, folder: Path, seed: int) -> None:
    report = crash_test(work, folder, 5, seed)
    assert report.survived, (report.differing, report.leftovers)
    assert report.compared == sorted({*FILES, MANIFEST})
    assert len(report.kills) == 5
    # The next ones to come find nothing left to do.
    work.run(folder / "killed_1")


@pytest.mark.parametrize("processes", [1, 2])
def test_an_extraction_survives(tmp_path: Path, processes: int) -> None:
    work = extraction(tmp_path / "data", 60, workers=1, processes=processes)
    survive(work, tmp_path, processes)
    cache = PartCache.open(tmp_path / "uninterrupted")
    assert len(cache) == 60
    assert len(cache.failed) == 6


def test_finishing_a_cache_survives(tmp_path: Path) -> None:
    survive(finalisation(tmp_path, 4000), tmp_path, 0)
