"""The synthetic fleet: rendered vehicles, their near-twins and their parts, in VeRi-776's layout."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .spec import FleetError, FleetSpec

if TYPE_CHECKING:
    from .build import Made, make_fleet, read_fleet

__all__ = ["FleetError", "FleetSpec", "Made", "make_fleet", "read_fleet"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import build  # needs OpenCV, which the parameters of a fleet do not

    return getattr(build, name)
