"""A synthetic fleet of rendered vehicles, near-twins and their parts, in the layout of VeRi-776."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .spec import FleetError, FleetSpec

if TYPE_CHECKING:
    from .build import FleetSummary, make_fleet, read_fleet

__all__ = ["FleetError", "FleetSpec", "FleetSummary", "make_fleet", "read_fleet"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from . import build  # imported late: it needs OpenCV

    return getattr(build, name)
