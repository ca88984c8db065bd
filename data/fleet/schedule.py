"""Plan which camera takes which image of which vehicle, and when."""

from __future__ import annotations

from dataclasses import dataclass

from .camera import Shot, draw_cameras, draw_shot
from .spec import SCHEDULE, FleetSpec
from .vehicle import Vehicle


@dataclass(frozen=True)
class Frame:
    """One image of the fleet.

    Attributes:
        name: File name as in VeRi-776, such as ``0002_c002_00030600_0.jpg``.
        vehicle: Vehicle id.
        shot: The camera and its viewpoint.
    """

    name: str
    vehicle: int
    shot: Shot

    @property
    def camera(self) -> int:
        """Camera number, from 1."""
        return self.shot.camera.number


def frames_of(spec: FleetSpec, vehicle: Vehicle, count: int) -> list[Frame]:
    """Plan the images of one vehicle.

    A re-identification vehicle passes a few cameras, with one track in each. Its twins pass the same cameras,
    so the gallery contains a vehicle and its twins under the same conditions. A vehicle of the detector split
    is seen by a different camera in each image.

    Args:
        spec: The fleet's parameters.
        vehicle: The vehicle.
        count: Number of images.

    Returns:
        The images in the order of their names.
    """
    cameras = draw_cameras(spec)
    route = spec.rng(SCHEDULE, 0, vehicle.group).permutation(len(cameras))
    rng = spec.rng(SCHEDULE, 1, vehicle.number)
    if vehicle.split == "detector":
        passes = [int(c) for c in rng.permutation(len(cameras))] * (count // len(cameras) + 1)
        passes = passes[:count]
    else:
        seen_by = min(spec.cameras_per_vehicle, len(cameras), max(2, count // 2))
        passes = [int(route[i * seen_by // count]) for i in range(count)]
    tracks = {c: (2 * rng.random() - 1, rng.random()) for c in sorted(set(passes))}
    clocks = {c: 5 * int(rng.random() * 15000) for c in sorted(set(passes))}
    frames = []
    for image, c in enumerate(passes):
        clocks[c] += 5 * (1 + int(rng.random() * 3))
        name = f"{vehicle.number:04d}_c{cameras[c].number:03d}_{clocks[c]:08d}_0.jpg"
        frames.append(
            Frame(
                name, vehicle.number, draw_shot(spec, cameras[c], vehicle.number, image, tracks[c])
            )
        )
    return sorted(frames, key=lambda frame: frame.name)


def plan(spec: FleetSpec, vehicles: list[Vehicle]) -> dict[int, list[Frame]]:
    """All images of a fleet, by vehicle id."""
    per_vehicle = [
        spec.detector_images * (i + 1) // spec.detector_vehicles
        - spec.detector_images * i // spec.detector_vehicles
        for i in range(spec.detector_vehicles)
    ]
    counts = [spec.images_per_vehicle] * spec.vehicles + per_vehicle
    return {v.number: frames_of(spec, v, count) for v, count in zip(vehicles, counts)}
