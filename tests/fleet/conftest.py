from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from fleet import FleetSpec, make_fleet

SPEC = FleetSpec(vehicles=12, images_per_vehicle=6, size=96, seed=5, detector_images=16)


@pytest.fixture(scope="session")
def spec() -> FleetSpec:
    return SPEC


@pytest.fixture(scope="session")
def fleet_dir(tmp_path_factory) -> Path:
    """A small fleet on disk, for reading only."""
    out = tmp_path_factory.mktemp("fleet") / "small"
    make_fleet(out, SPEC)
    return out


def digests(root: Path) -> dict[str, str]:
    """SHA-256 of every file below a folder, by relative path."""
    files = sorted(path for path in root.rglob("*") if path.is_file())
    return {str(p.relative_to(root)): hashlib.sha256(p.read_bytes()).hexdigest() for p in files}


@pytest.fixture(scope="session")
def file_digests():
    return digests
