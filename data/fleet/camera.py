"""Cameras: viewpoint, projection, light, lens and sensor."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from .spec import CAMERA, NOISE, SHOT, FleetSpec

GROUND_TONES = ((92, 93, 96), (112, 110, 106), (128, 126, 122), (84, 88, 94), (140, 134, 124))
VERGE_TONES = ((86, 112, 62), (150, 146, 138), (122, 108, 84), (104, 122, 76), (164, 156, 148))
SKY_TONES = ((178, 204, 232), (206, 212, 218), (232, 222, 204), (150, 178, 216))


@dataclass(frozen=True)
class Camera:
    """One camera of the fleet; angles in degrees, lengths in metres.

    Attributes:
        number: From 1, as in the image names of VeRi-776.
        azimuth: Mean direction from which it sees vehicles: 0 front, 90 left, 180 rear.
        spread: Half of the azimuth range.
        elevation: Range of the elevation above the ground.
        distance: Range of the distance.
        roll: Rotation of the camera about its axis.
        sun: Direction to the sun in the vehicle's frame, a unit vector.
        sunlight: Strength of the direct light.
        ambient: Strength of the ambient light.
        cast: Gain of each colour channel.
        gamma: Exponent of the tone curve.
        blur: Sigma of the lens blur in pixels, for images of 224 pixels.
        resolution: Factor by which the sensor is coarser than the stored image.
        noise: Sigma of the sensor noise in grey levels.
        ground: Colour of the road.
        verge: Colour of the roadside.
        sky: Colour of the sky.
        lanes: Kind of lane lines: 0 none, 1 dashed, 2 solid.
    """

    number: int
    azimuth: float
    spread: float
    elevation: tuple[float, float]
    distance: tuple[float, float]
    roll: float
    sun: tuple[float, float, float]
    sunlight: float
    ambient: float
    cast: tuple[float, float, float]
    gamma: float
    blur: float
    resolution: float
    noise: float
    ground: tuple[int, int, int]
    verge: tuple[int, int, int]
    sky: tuple[int, int, int]
    lanes: int


@dataclass(frozen=True)
class Shot:
    """The camera, viewpoint and occluder of one image.

    Attributes:
        camera: The camera.
        azimuth: In degrees.
        elevation: In degrees.
        roll: In degrees.
        distance: In metres.
        fill: Fraction of the image that the vehicle fills along its longer side.
        shift: Offset of the vehicle from the image centre, as a fraction of the image size.
        occluder: Kind of occluder, or ``''``.
        scene: Seed of the image's background, occluder and noise.
    """

    camera: Camera
    azimuth: float
    elevation: float
    roll: float
    distance: float
    fill: float
    shift: tuple[float, float]
    occluder: str
    scene: tuple[int, ...]

    def rng(self, stream: int) -> np.random.Generator:
        """The random generator of a stream of this image."""
        return np.random.Generator(np.random.PCG64(np.random.SeedSequence([*self.scene, stream])))


def _between(rng: np.random.Generator, low: float, high: float) -> float:
    return low + (high - low) * rng.random()


def _azimuths(spec: FleetSpec) -> list[float]:
    """Mean azimuths, spread over front and rear, in an order drawn with the seed."""
    rng = spec.rng(CAMERA, 0)
    rear = round(spec.cameras * spec.rear_share)
    found = []
    for middle, count, reach in ((0.0, spec.cameras - rear, 62.0), (180.0, rear, 58.0)):
        for i in range(count):
            position = (i + 0.5) / count * 2 - 1
            # More cameras look along the road than across it.
            found.append(middle + math.copysign(abs(position) ** 1.25, position) * reach)
    return [found[i] for i in rng.permutation(len(found))]


@lru_cache(maxsize=4)
def draw_cameras(spec: FleetSpec) -> tuple[Camera, ...]:
    """Draw the cameras of a fleet, each with its own viewpoint, light and image quality."""
    cameras = []
    for number, azimuth in enumerate(_azimuths(spec), 1):
        rng = spec.rng(CAMERA, number)
        low = _between(rng, 7, 19)
        near = _between(rng, 8, 14)
        sun_azimuth, sun_height = rng.random() * math.tau, math.radians(_between(rng, 32, 68))
        flat = math.cos(sun_height)
        sun = (flat * math.cos(sun_azimuth), flat * math.sin(sun_azimuth), math.sin(sun_height))
        warm, green = _between(rng, -0.10, 0.10), _between(rng, -0.03, 0.03)
        cameras.append(
            Camera(
                number=number,
                azimuth=azimuth,
                spread=_between(rng, 8, 16),
                elevation=(low, low + _between(rng, 4, 9)),
                distance=(near, near + 5),
                roll=_between(rng, -3, 3),
                sun=sun,
                sunlight=_between(rng, 0.3, 0.6),
                ambient=_between(rng, 0.62, 0.8),
                cast=(1 + warm, 1 + green, 1 - warm),
                gamma=_between(rng, 0.8, 1.1),
                blur=_between(rng, 0.2, 0.9),
                resolution=_between(rng, 1.0, 1.6),
                noise=_between(rng, 1.0, 6.0),
                ground=GROUND_TONES[int(rng.random() * len(GROUND_TONES))],
                verge=VERGE_TONES[int(rng.random() * len(VERGE_TONES))],
                sky=SKY_TONES[int(rng.random() * len(SKY_TONES))],
                lanes=int(rng.random() * 3),
            )
        )
    return tuple(cameras)


def draw_shot(
    spec: FleetSpec, camera: Camera, vehicle: int, image: int, track: tuple[float, float]
) -> Shot:
    """Draw the viewpoint of one image.

    Args:
        spec: The fleet's parameters.
        camera: The camera that takes the image.
        vehicle: Vehicle id.
        image: Number of the image among those of the vehicle.
        track: Position of the track in the camera's azimuth range (-1 to 1) and elevation range (0 to 1).
    """
    rng = spec.rng(SHOT, vehicle, image)
    position = min(1.0, max(-1.0, track[0] + _between(rng, -0.3, 0.3)))
    height = min(1.0, max(0.0, track[1] + _between(rng, -0.25, 0.25)))
    occluded = rng.random() < spec.occluded
    kind = ("pole", "car", "foliage", "sign")[int(rng.random() * 4)]
    return Shot(
        camera=camera,
        azimuth=camera.azimuth + position * camera.spread,
        elevation=camera.elevation[0] + height * (camera.elevation[1] - camera.elevation[0]),
        roll=camera.roll + _between(rng, -1, 1),
        distance=_between(rng, *camera.distance),
        fill=_between(rng, 0.88, 0.97),
        shift=(_between(rng, -0.02, 0.02), _between(rng, -0.025, 0.025)),
        occluder=kind if occluded else "",
        scene=(spec.seed % 2**32, spec.seed >> 32, vehicle, image),
    )


class PinholeProjection:
    """A pinhole projection framed on a vehicle, like the crops of re-identification data sets.

    Args:
        shot: The viewpoint.
        solid: (n, 3) points of the vehicle to frame.
        size: Side of the image in pixels.
        stretch: Maximum ratio of the scales of the two axes, which differ as when a crop is resized.
    """

    def __init__(self, shot: Shot, solid: np.ndarray, size: int, stretch: float = 1.3) -> None:
        azimuth, elevation = math.radians(shot.azimuth), math.radians(shot.elevation)
        flat = math.cos(elevation)
        direction = (flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation))
        # Far enough that no part of a long vehicle is beside the camera.
        distance = shot.distance + 1.3 * float(np.abs(solid[:, 0]).max())
        middle = (solid.min(axis=0) + solid.max(axis=0)) / 2
        self.position = middle + distance * np.asarray(direction)
        forward = -np.asarray(direction)
        right = np.array([-math.sin(azimuth), math.cos(azimuth), 0.0])
        down = np.cross(forward, right)
        c, s = math.cos(math.radians(shot.roll)), math.sin(math.radians(shot.roll))
        self.axes = np.stack([c * right + s * down, c * down - s * right, forward])
        self.scale, self.centre = np.ones(2), np.zeros(2)
        flat_points = self(solid)
        low, high = flat_points.min(axis=0), flat_points.max(axis=0)
        fit = size * shot.fill / (high - low)
        self.scale = np.minimum(fit, fit.min() * stretch)
        self.centre = size * (0.5 + np.asarray(shot.shift)) - self.scale * (low + high) / 2

    def __call__(self, points: np.ndarray) -> np.ndarray:
        """Pixel coordinates (..., 2) of points (..., 3) in front of the camera, from the image corner."""
        local = (points - self.position) @ self.axes.T
        return local[..., :2] / local[..., 2:] * self.scale + self.centre

    def depth(self, points: np.ndarray) -> np.ndarray:
        """Depth (...) of points (..., 3) along the camera's axis, in metres."""
        return (points - self.position) @ self.axes[2]


def degrade(image: np.ndarray, shot: Shot) -> np.ndarray:
    """Apply the camera's lens blur, sensor noise and tone curve.

    Args:
        image: (S, S, 3) uint8 RGB.
        shot: The shot, which states the camera and seeds the noise.

    Returns:
        (S, S, 3) uint8 RGB.
    """
    camera, size = shot.camera, image.shape[0]
    rng = shot.rng(NOISE)
    sigma = camera.blur * size / 224
    if sigma > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), sigma)
    coarse = max(48, round(size / camera.resolution))
    if coarse < size:
        image = cv2.resize(image, (coarse, coarse), interpolation=cv2.INTER_AREA)
    # Integers, so that the result is the same on every machine.
    noise = rng.integers(-64, 65, size=(*image.shape[:2], 2), dtype=np.int16).sum(
        axis=2, dtype=np.int16
    )
    weight = round(camera.noise * 4.86)
    noise = (noise * np.int16(min(weight, 255))) >> 8
    image = np.clip(image.astype(np.int16) + noise[..., None], 0, 255).astype(np.uint8)
    if coarse < size:
        image = cv2.resize(image, (size, size), interpolation=cv2.INTER_LINEAR)
    exposure = _between(rng, 0.94, 1.06)
    level = np.arange(256) / 255.0
    table = [255 * np.minimum(1, exposure * gain * level) ** camera.gamma for gain in camera.cast]
    return cv2.LUT(image, np.round(np.stack(table, axis=-1)).astype(np.uint8)[None])
