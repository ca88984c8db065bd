"""The parameters of a fleet and the source of its random numbers."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np

MAX_VEHICLES = 9999  # image names have four digits for the vehicle

# Streams of random numbers. Each is keyed by (seed, stream, indices), so draws do not depend on each other.
CAMERA, MODEL, SPLIT, SCHEDULE, SHOT, NOISE = range(1, 7)


class FleetError(ValueError):
    """A fleet cannot be rendered; the message is one sentence that says how to fix it."""


@dataclass(frozen=True)
class FleetSpec:
    """Parameters of a fleet; they determine every byte of it.

    Attributes:
        vehicles: Vehicles in the re-identification splits.
        images_per_vehicle: Images of each of these vehicles.
        seed: Random seed, 0 or more.
        size: Side of the square images, in pixels.
        cameras: Number of cameras, at most 999.
        cameras_per_vehicle: Cameras that see a vehicle (fewer if it has too few images).
        rear_share: Fraction of the cameras that see vehicles from behind.
        twins: Vehicles per group of near-twins.
        twin_share: Fraction of the vehicles that have near-twins.
        detail_change: Probability that a detail of a twin differs from its group's.
        detail_size: Scale of the objects behind the windscreen; 1 is the designed size.
        test_share: Fraction of the vehicles in the test split; VeRi-776 has 200 of 776.
        occluded: Fraction of the images with an occluder.
        detector_images: Images of the detector split.
        detector_vehicles: Vehicles of the detector split, which are in no re-identification split; 0 for one
            per four images.

    Raises:
        FleetError: A parameter is out of range.

    >>> FleetSpec(vehicles=8, detector_images=10).detector_vehicles
    3
    """

    vehicles: int = 60
    images_per_vehicle: int = 12
    seed: int = 0
    size: int = 224
    cameras: int = 20
    cameras_per_vehicle: int = 6
    rear_share: float = 0.4
    twins: int = 4
    twin_share: float = 0.85
    detail_change: float = 0.85
    detail_size: float = 1.0
    test_share: float = 0.3
    occluded: float = 0.2
    detector_images: int = 0
    detector_vehicles: int = 0

    def __post_init__(self) -> None:
        if self.detector_images and not self.detector_vehicles:
            object.__setattr__(self, "detector_vehicles", -(-self.detector_images // 4))
        limits = {
            "vehicles": (4, MAX_VEHICLES),
            "images_per_vehicle": (2, 9999),
            "seed": (0, 2**63),
            "size": (48, 1024),
            "cameras": (2, 999),
            "cameras_per_vehicle": (2, 999),
            "rear_share": (0, 1),
            "twins": (2, 12),
            "twin_share": (0, 1),
            "detail_change": (0.2, 1),
            "detail_size": (0.5, 1.5),
            "test_share": (0.1, 0.9),
            "occluded": (0, 1),
            "detector_images": (0, 10**7),
            "detector_vehicles": (0, MAX_VEHICLES),
        }
        for name, (low, high) in limits.items():
            value = getattr(self, name)
            if not low <= value <= high:
                raise FleetError(f"{name} = {value}: must be from {low} to {high}")
        if self.vehicles + self.detector_vehicles > MAX_VEHICLES:
            raise FleetError(
                f"vehicles + detector_vehicles = {self.vehicles + self.detector_vehicles}: image names "
                f"allow {MAX_VEHICLES} vehicles at most; reduce them"
            )
        if 0 < self.detector_images < self.detector_vehicles:
            raise FleetError(
                f"detector_vehicles = {self.detector_vehicles}: more than the {self.detector_images} "
                "detector_images, so some would have none; reduce them"
            )

    def rng(self, stream: int, *indices: int) -> np.random.Generator:
        """The random generator of a stream: the same on every machine, independent of other streams."""
        import numpy as np  # late, so that a command line is parsed without it

        key = np.random.SeedSequence(self.seed, spawn_key=(stream, *indices))
        return np.random.Generator(np.random.PCG64(key))

    def to_dict(self) -> dict[str, int | float]:
        """The parameters as JSON values."""
        return dataclasses.asdict(self)
