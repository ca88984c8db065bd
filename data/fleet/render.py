"""Render a vehicle from a viewpoint, and compute the boxes of its parts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .backdrop import draw_shadow, draw_surroundings, occluder_polygons
from .camera import PinholeProjection, Shot, degrade
from .canvas import Canvas, Window
from .geometry import Loft, unit
from .parts import vehicle_patches
from .patches import Patch, Rgb, Shape
from .vehicle import Vehicle
from .visibility import OcclusionMasks, within

CARGO_RGB = (214, 216, 214)


@dataclass(frozen=True)
class RenderedImage:
    """A rendered image with its visible parts.

    Attributes:
        image: (S, S, 3) uint8 RGB.
        boxes: (n, 4) float32, x1 y1 x2 y2 in pixels, right and bottom exclusive, inside the image.
        labels: The n attribute names.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: tuple[str, ...]


@dataclass
class _CompiledPatch:
    """A patch with the indices of its polygons in the arrays of the scene."""

    patch: Patch
    shapes: list[int]
    plain: list[int]
    inside: list[int]
    items: list[_CompiledPatch]
    hull: slice | None
    middle: np.ndarray


class Scene:
    """One vehicle, prepared for rendering from any viewpoint.

    Args:
        vehicle: The vehicle.
        detail_size: Scale of the objects behind the windscreen, as in `FleetSpec`.

    >>> from fleet.camera import draw_cameras, draw_shot
    >>> from fleet.spec import FleetSpec
    >>> from fleet.vehicle import draw_fleet
    >>> spec = FleetSpec()
    >>> shot = draw_shot(spec, draw_cameras(spec)[0], vehicle=1, image=0, track=(0.0, 0.5))
    >>> Scene(draw_fleet(spec)[0]).render(shot, size=96).image.shape
    (96, 96, 3)
    """

    def __init__(self, vehicle: Vehicle, detail_size: float = 1.0) -> None:
        self.vehicle = vehicle
        self.solids: dict[str, Loft] = vehicle.body_style.solids
        self._points: list[np.ndarray] = []
        self._starts: list[int] = []
        self._rgb: list[tuple[float, float, float]] = []
        self._normals: list[np.ndarray] = []
        self._labelled: list[bool] = []
        self._count = 0
        self.drawn = [self._compile(patch) for patch in vehicle_patches(vehicle, detail_size)]
        self.points = np.concatenate(self._points)
        self.rgb, self.normals = np.asarray(self._rgb), np.stack(self._normals)
        self.labelled = np.asarray(self._labelled)
        self.ends = np.asarray([*self._starts[1:], self._count])
        self.starts = np.asarray(self._starts)
        sums = np.add.reduceat(self.points, self.starts)
        self.middles = sums / (self.ends - self.starts)[:, None]
        self.frame = self._frame()
        self.paints = {name: self._paint(name, solid) for name, solid in self.solids.items()}

    def _add(
        self, polygon: np.ndarray, rgb: Rgb, normal: np.ndarray | None, labelled: bool = False
    ) -> int:
        self._starts.append(self._count)
        self._points.append(polygon)
        self._count += len(polygon)
        self._rgb.append(rgb)
        self._labelled.append(labelled)
        self._normals.append(np.zeros(3) if normal is None else normal)
        return len(self._starts) - 1

    def _compile(self, patch: Patch) -> _CompiledPatch:
        def number(shapes: list[Shape]) -> list[int]:
            own, label = patch.normal, bool(patch.label)
            return [
                self._add(s.polygon, s.rgb, own if s.normal is None else s.normal, label)
                for s in shapes
            ]

        shapes, plain = number(patch.shapes), number(patch.plain)
        inside = number(patch.inside)
        hull = None
        if patch.hull is not None:
            index = self._add(patch.hull, (0, 0, 0), None)
            hull = slice(self._starts[index], self._count)
        polygons = [s.polygon for s in patch.shapes]
        if patch.hull is not None:
            polygons.append(patch.hull)
        middle = np.concatenate(polygons).mean(axis=0) if polygons else np.zeros(3)
        return _CompiledPatch(
            patch, shapes, plain, inside, [self._compile(i) for i in patch.items], hull, middle
        )

    def _frame(self) -> np.ndarray:
        """Points (n, 3) to frame the image on; the same for all twins."""
        corners = [solid.quads.reshape(-1, 3) for solid in self.solids.values()]
        x, y, z = self.vehicle.body_style.mirror
        extra = [(x, side * (y + 0.12), z) for side in (1, -1)]
        wheels = [
            (a, side * y * 0.9, 0.0) for a in self.vehicle.body_style.wheels for side in (1, -1)
        ]
        return np.concatenate([*corners, extra, wheels])

    def _paint(self, name: str, solid: Loft) -> np.ndarray:
        """Colour of each quad of a solid before lighting: (F, 3)."""
        rgb = np.asarray(self.vehicle.rgb)
        if self.vehicle.body_style.split:
            rgb = np.asarray(
                {"box": CARGO_RGB, "body": (58, 60, 64)}.get(name, rgb), dtype=np.float64
            )
        paint = np.broadcast_to(rgb, (len(solid.quads), 3)).copy()
        if name == "cabin" and self.vehicle.body_trim.dark_roof:
            middle = solid.quads.mean(axis=1)
            paint[middle[:, 2] > solid.floor + 0.94 * (middle[:, 2].max() - solid.floor)] = (
                26,
                27,
                30,
            )
        return paint

    def render(self, shot: Shot, size: int, degraded: bool = True) -> RenderedImage:
        """Render one image.

        Args:
            shot: Camera and viewpoint.
            size: Side of the image in pixels.
            degraded: Whether to apply the camera's blur, noise and colours.

        Returns:
            The image; a part that is mostly hidden, cut off or too small has no box.
        """
        renderer = _Renderer(self, shot, size)
        renderer.draw()
        image = renderer.canvas.finished()
        boxes = np.asarray([box for _, box in renderer.found], dtype=np.float32).reshape(-1, 4)
        labels = tuple(label for label, _ in renderer.found)
        return RenderedImage(degrade(image, shot) if degraded else image, boxes, labels)


class _Renderer:
    """Draws one image of a scene."""

    def __init__(self, scene: Scene, shot: Shot, size: int) -> None:
        self.scene, self.shot = scene, shot
        self.projection = PinholeProjection(shot, scene.frame, size)
        self.eye = self.projection.position
        self.canvas = Canvas(size)
        self.flat = self.projection(scene.points)
        self.fixed = Canvas.fixed(self.flat)
        self.depths = self.projection.depth(scene.middles)
        self.towards = np.einsum("ij,ij->i", scene.normals, self.eye - scene.middles)
        has_normal = np.abs(scene.normals).sum(axis=1) > 0
        light = np.where(has_normal, self._light(scene.normals), shot.camera.ambient)
        # Lamps, plates and badges are reflective, so shade darkens them less than paint.
        light = np.where(scene.labelled, 0.35 + 0.65 * light, light)
        self.colours = self._clip(scene.rgb * light[:, None])
        # Behind glass the light is weaker and has no direction.
        self.dim = self._clip(
            scene.rgb * min(1.0, shot.camera.ambient + 0.45 * shot.camera.sunlight + 0.1)
        )
        self.occluders = occluder_polygons(shot, size)
        self.order = self._order()
        silhouettes = {
            name: self.projection(solid.quads.reshape(-1, 3))
            for name, solid in scene.solids.items()
        }
        self.masks = OcclusionMasks(
            size, [polygon for polygon, _ in self.occluders], silhouettes, self.order
        )
        self.found: list[tuple[str, tuple[float, float, float, float]]] = []

    @staticmethod
    def _clip(rgb: np.ndarray) -> list[tuple[int, int, int]]:
        return [tuple(row) for row in np.clip(np.rint(rgb), 0, 255).astype(int).tolist()]

    def _light(self, normals: np.ndarray) -> np.ndarray:
        """Lambertian shading by sun and sky: (n,) factors for the paint."""
        camera = self.shot.camera
        sky = 0.72 + 0.28 * normals[:, 2]
        return camera.ambient * sky + camera.sunlight * np.maximum(
            0, normals @ np.asarray(camera.sun)
        )

    def _order(self) -> list[str]:
        """Names of the solids from back to front."""
        upper = [name for name in self.scene.solids if name != "body"]
        split = self.scene.vehicle.body_style.split
        if split is not None:
            upper.sort(key=lambda name: (name == "cabin") == (self.eye[0] > split))
        return ["body", *upper]

    def draw(self) -> None:
        scene, camera = self.scene, self.shot.camera
        draw_surroundings(self.canvas, self.projection, self.shot, float(np.ptp(scene.frame[:, 0])))
        draw_shadow(self.canvas, self.projection, self.shot, list(scene.solids.values()))
        near = {"left": self.eye[1] > 0, "right": self.eye[1] < 0}
        if abs(self.eye[1]) < 0.45 * abs(self.eye[0]):
            near = dict.fromkeys(near, self.eye[0] > 0)
        self._layer("under")
        for side, is_near in near.items():
            if not is_near:
                self._layer(side, "back")
        for name in self.order:
            self._solid(name)
            self._layer(name)
        for side, is_near in near.items():
            if is_near:
                self._layer(side, "front")
        shade = 0.75 + 0.4 * camera.sunlight
        for polygon, rgb in self.occluders:
            self.canvas.fill(Canvas.fixed(polygon), self._clip(np.asarray([rgb]) * shade)[0])

    def _solid(self, name: str) -> None:
        """Draw the painted faces of one solid from back to front."""
        solid, camera = self.scene.solids[name], self.shot.camera
        middles = solid.quads.mean(axis=1)
        sight = unit(self.eye - middles)
        facing = np.einsum("ij,ij->i", solid.normals, sight)
        seen = np.flatnonzero(facing > 0)
        normals, sight, facing = solid.normals[seen], sight[seen], facing[seen]
        half = unit(sight + np.asarray(camera.sun))
        gloss = 0.55 * camera.sunlight * np.maximum(0, np.einsum("ij,ij->i", normals, half)) ** 40
        # Clear coat reflects the sky at grazing angles, more on faces that look up than down.
        mirror = (1 - facing) ** 4 * np.clip(0.3 + 0.5 * normals[:, 2], 0.05, 0.6)
        rgb = self.scene.paints[name][seen] * self._light(normals)[:, None]
        low = np.clip((middles[seen, 2] - solid.floor) / 0.35, 0, 1) if name == "body" else 1.0
        rgb = rgb * np.reshape(0.72 + 0.28 * low, (-1, 1))
        rgb = rgb + (np.asarray(camera.sky) - rgb) * mirror[:, None] + 255 * gloss[:, None]
        fixed = Canvas.fixed(self.projection(solid.quads[seen]))
        colours = self._clip(rgb)
        for i in np.argsort(-self.projection.depth(middles[seen]), kind="stable"):
            self.canvas.fill_convex(fixed[i], colours[i])

    def _layer(self, layer: str, covered_as: str = "") -> None:
        for drawn in self.scene.drawn:
            if drawn.patch.layer == layer:
                self._patch(drawn, covered_as or layer)

    def _is_visible(self, drawn: _CompiledPatch) -> bool:
        normal = drawn.patch.normal
        if normal is None:
            return True
        sight = self.eye - drawn.middle
        return float(normal @ sight) > drawn.patch.facing * float(np.sqrt(sight @ sight))

    def _patch(self, drawn: _CompiledPatch, layer: str) -> None:
        patch = drawn.patch
        if drawn.inside:
            self._window(drawn, layer)
            return
        shown = True
        if patch.label:
            shown = self._is_visible(drawn) and self._add_box(
                patch.label, self.flat[drawn.hull], layer
            )
        elif not self._is_visible(drawn):
            return
        if patch.label and not shown and patch.normal is not None and not self._faces_camera(drawn):
            return
        self._fill(self.canvas, drawn.shapes if shown else drawn.plain, patch, self.colours)

    def _faces_camera(self, drawn: _CompiledPatch) -> bool:
        """Whether a part faces the camera at any angle."""
        return float(drawn.patch.normal @ (self.eye - drawn.middle)) > 0

    def _add_box(self, label: str, flat: np.ndarray, layer: str) -> bool:
        box = self.masks.box(flat, layer)
        if box is not None:
            self.found.append((label, box))
        return box is not None

    def _fill(
        self,
        target: Canvas | Window,
        numbers: list[int],
        patch: Patch,
        colours: list[tuple[int, int, int]],
    ) -> None:
        if patch.normal is None and patch.layer != "under":  # its shapes are faces of a solid
            numbers = [i for i in numbers if self.towards[i] > 0]
            numbers.sort(key=lambda i: -self.depths[i])
        for i in numbers:
            target.fill(self.fixed[self.scene.starts[i] : self.scene.ends[i]], colours[i])

    def _window(self, drawn: _CompiledPatch, layer: str) -> None:
        """Draw a windscreen: the cabin behind it, the reflection, then the parts on and behind it."""
        if not self._faces_camera(drawn):
            return
        outline, fixed = self.flat[drawn.hull], self.fixed[drawn.hull]
        view = self.canvas.through(fixed)
        if view is None:
            return
        seen = self._is_visible(drawn) and self._add_box(drawn.patch.label, outline, layer)
        self._fill(view, drawn.inside, drawn.patch, self.dim)
        shine = np.stack([fixed[1], fixed[3], fixed[-3], fixed[-2]])
        sky = self._clip(np.asarray([self.shot.camera.sky]))[0]
        view.glaze(fixed, sky, 0.10)
        view.glaze(shine, sky, 0.16)
        if seen:
            self._fill(view, drawn.shapes, drawn.patch, self.dim)
        for item in drawn.items:
            clipped = within(self.flat[item.hull], outline) if self._is_visible(item) else None
            if clipped is not None and self._add_box(item.patch.label, clipped, layer):
                self._fill(view, item.shapes, item.patch, self.dim)
        view.close()
