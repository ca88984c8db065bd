"""Which camera takes which picture of which vehicle, and when."""

from __future__ import annotations

from dataclasses import dataclass

from .camera import Shot, draw_cameras, draw_shot
from .spec import SCHEDULE, FleetSpec
from .vehicle import Vehicle


@dataclass(frozen=True)
class Frame:
    """One picture of the fleet.

    Attributes:
        name: File name in VeRi-776's manner, ``0002_c002_00030600_0.jpg``.
        vehicle: Vehicle id.
        shot: The viewpoint, with its camera.
    """

    name: str
    vehicle: int
    shot: Shot

    @property
    def camera(self) -> int:
        """Camera number, from 1."""
        return self.shot.camera.number


def frames_of(spec: FleetSpec, vehicle: Vehicle, count: int) -> list[Frame]:
    """Plan one vehicle's pictures.

    A re-identification vehicle passes a few cameras, in one track each; twins pass the same ones, so that
    the gallery holds a vehicle and its twins under the same conditions. A detector vehicle is seen by
    another camera in every picture.

    Args:
        spec: The fleet's parameters.
        vehicle: The vehicle.
        count: Number of pictures.

    Returns:
        The pictures in the order of their names.
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
    """All pictures of a fleet, by vehicle id."""
    shares = [
        spec.detector_images * (i + 1) // spec.detector_vehicles
        - spec.detector_images * i // spec.detector_vehicles
        for i in range(spec.detector_vehicles)
    ]
    counts = [spec.images_per_vehicle] * spec.vehicles + shares
    return {v.number: frames_of(spec, v, count) for v, count in zip(vehicles, counts)}
