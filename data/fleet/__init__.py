"""The synthetic fleet: rendered vehicles, their near-twins and their parts, in VeRi-776's layout."""

from .build import Made, make_fleet, read_fleet
from .spec import FleetError, FleetSpec

__all__ = ["FleetError", "FleetSpec", "Made", "make_fleet", "read_fleet"]
