"""What a fleet is made of, and where every random number in it comes from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np

MAX_VEHICLES = 9999  # names hold four digits

# Streams of random numbers; each is keyed by (seed, stream, indices), so no draw depends on another's.
CAMERA, MODEL, SPLIT, SCHEDULE, SHOT, NOISE = range(1, 7)


class FleetError(ValueError):
    """A fleet that cannot be made as asked; the message is one sentence with the mend."""


@dataclass(frozen=True)
class FleetSpec:
    """Parameters of a fleet; together with the seed they fix every byte of it.

    Attributes:
        vehicles: Vehicles in the re-identification splits.
        images_per_vehicle: Images of each of them.
        seed: Seed, 0 or more.
        size: Side of the square images, in pixels.
        cameras: Cameras of the fleet, at most 999.
        cameras_per_vehicle: Cameras that see a vehicle (fewer if it has too few images).
        rear_share: Share of the cameras that see vehicles from behind.
        twins: Vehicles in a group of near-twins.
        twin_share: Share of the vehicles that have near-twins.
        detail_change: Chance that a twin's detail is its own and not the group's.
        detail_size: Size of windscreen ornaments, 1 being the designed one.
        test_share: Share of the vehicles in the test split, about VeRi-776's 200 of 776.
        occluded: Share of the images with an occluder.
        detector_images: Images of the detector split.
        detector_vehicles: Vehicles of the detector split; in no re-identification split.
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
                f"hold {MAX_VEHICLES} vehicles at most, ask for fewer"
            )
        if 0 < self.detector_images < self.detector_vehicles:
            raise FleetError(
                f"detector_vehicles = {self.detector_vehicles}: more than the {self.detector_images} "
                "detector_images, so some would have none; ask for fewer"
            )

    def rng(self, stream: int, *indices: int) -> np.random.Generator:
        """The generator of one stream; the same on every machine, whatever was drawn elsewhere."""
        key = np.random.SeedSequence(self.seed, spawn_key=(stream, *indices))
        return np.random.Generator(np.random.PCG64(key))

    def to_dict(self) -> dict[str, int | float]:
        """The parameters as plain values, for JSON."""
        return dataclasses.asdict(self)
