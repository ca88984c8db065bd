"""Vehicle re-identification with part-guided attention (PGAN, Zhang et al., IEEE T-ITS 2020)."""

__version__ = "0.1.0"
__all__ = ["VehicleReID"]


def __getattr__(name: str) -> object:
    """Import what is asked for only then: torch and mmengine take seconds."""
    if name != "VehicleReID":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pgan.inference.vehicle_reid import VehicleReID

    return VehicleReID
