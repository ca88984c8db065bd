"""Rendering of the synthetic fleet: visible parts, twins, occlusion, projection, cameras."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter

import numpy as np
import pytest

from detector.common.attributes import ATTRIBUTES
from fleet.camera import PinholeProjection, Shot, degrade, draw_cameras, draw_shot
from fleet.geometry import Loft, box_quads
from fleet.render import Scene
from fleet.spec import FleetSpec
from fleet.styles import STYLES
from fleet.vehicle import DETAILS, draw_detail, draw_fleet
from fleet.visibility import OcclusionMasks, within

pytestmark = pytest.mark.slow

BEHIND_GLASS = {"annusigns", "entrylicense", "hungs", "layon", "newersign", "safebelt", "tissuebox"}
SPEC = FleetSpec(vehicles=60, seed=11, occluded=0.4)


def full_details() -> dict:
    """Details of every attribute."""
    rng = np.random.default_rng(0)
    details = {}
    for name in DETAILS:
        while details.get(name) is None:
            details[name] = draw_detail(name, rng)
    details["carrier"]["kind"] = "rails"
    return details


def view(azimuth: float, elevation: float = 14.0, occluder: str = "") -> Shot:
    camera = draw_cameras(SPEC)[0]
    return Shot(camera, azimuth, elevation, 0.0, 11.0, 0.93, (0.0, 0.0), occluder, (1, 2, 3))


@pytest.fixture(scope="module")
def loaded() -> list[Scene]:
    """One vehicle of each style with every attribute."""
    base = draw_fleet(SPEC)[0]
    return [
        Scene(dataclasses.replace(base, style=i, details=full_details()))
        for i in range(len(STYLES))
    ]


def labels(scene: Scene, azimuth: float, elevation: float = 14.0) -> set[str]:
    return set(scene.render(view(azimuth, elevation), 160, degraded=False).labels)


@pytest.fixture(scope="module")
def sample() -> list[tuple[Shot, set[str], np.ndarray]]:
    """Shots of a fleet, with the labels and boxes that are visible in each."""
    cameras, found = draw_cameras(SPEC), []
    for vehicle in draw_fleet(SPEC):
        scene = Scene(vehicle)
        for image in range(4):
            camera = cameras[(vehicle.number * 3 + image * 5) % len(cameras)]
            shot = draw_shot(SPEC, camera, vehicle.number, image, (0.0, 0.5))
            rendered = scene.render(shot, 128, degraded=False)
            found.append((shot, set(rendered.labels), rendered.boxes))
    return found


def test_styles_and_cameras_are_distinct():
    assert len(STYLES) >= 6
    assert len({style.type_id for style in STYLES}) == len(STYLES)
    cameras = draw_cameras(SPEC)
    assert len(cameras) == 20
    for key in ("azimuth", "elevation", "sun", "cast", "blur", "noise", "resolution"):
        assert len({getattr(camera, key) for camera in cameras}) == 20


def test_every_attribute_occurs_with_plausible_frequency(sample):
    count = Counter(label for _, found, _ in sample for label in found)
    share = {name: count[name] / len(sample) for name in ATTRIBUTES}
    assert min(share.values()) > 0.02
    assert share["carlight"] > 0.85
    assert share["windglass"] > 0.85
    for rare in ("hungs", "layon", "newersign", "tissuebox", "carrier", "cartopwindow"):
        assert share[rare] < 0.4
    assert share["wheel"] < share["carlight"]


def test_boxes_are_inside_and_not_empty(sample):
    boxes = np.concatenate([boxes for _, _, boxes in sample])
    assert boxes.dtype == np.float32
    assert (boxes >= 0).all()
    assert (boxes <= 128).all()
    assert (boxes[:, 2:] - boxes[:, :2] >= 2.5).all()


def test_median_image_has_several_parts(sample):
    assert np.median([len(boxes) for _, _, boxes in sample]) >= 6


def test_parts_behind_the_windscreen_are_hidden_from_the_rear(sample, loaded):
    for shot, found, _ in sample:
        if abs((shot.azimuth + 180) % 360 - 180) > 100:
            assert not found & BEHIND_GLASS
    for scene in loaded:
        for azimuth in (100, 140, 180, 220, 260):
            assert not labels(scene, azimuth) & BEHIND_GLASS


def test_parts_behind_the_windscreen_are_visible_from_the_front(loaded):
    for scene in loaded:
        seen = labels(scene, 0, 12) | labels(scene, 12, 9) | labels(scene, -12, 15)
        assert seen >= BEHIND_GLASS, scene.vehicle.body_style.name


@pytest.mark.parametrize("azimuth", [0, 180])
def test_ends_show_lights_plate_logo_but_no_wheels(loaded, azimuth):
    for scene in loaded:
        seen = labels(scene, azimuth, 10)
        assert seen >= {"carlight", "lightcover", "logo", "plate"}
        assert "backmirror" in seen or azimuth == 180  # a wide rear hides them
        assert "wheel" not in seen


@pytest.mark.parametrize("azimuth", [90, -90])
def test_sides_show_wheels_and_no_plate(loaded, azimuth):
    for scene in loaded:
        rendered = scene.render(view(azimuth), 160, degraded=False)
        assert Counter(rendered.labels)["wheel"] == 2
        assert not {"plate", "logo"} & set(rendered.labels)


def test_sunroof_needs_an_elevated_view(loaded):
    sedan = loaded[0]
    assert "cartopwindow" in labels(sedan, 30, 28)
    assert "cartopwindow" not in labels(sedan, 30, 3)


def test_far_mirror_is_hidden_from_behind():
    scene = Scene(draw_fleet(SPEC)[0])
    assert Counter(scene.render(view(0), 160).labels)["backmirror"] == 2
    assert Counter(scene.render(view(100), 160).labels)["backmirror"] <= 1


@pytest.mark.slow
def test_twins_differ_only_inside_part_boxes():
    groups: dict[int, list] = {}
    for vehicle in draw_fleet(SPEC):
        groups.setdefault(vehicle.group, []).append(vehicle)
    cameras, changed = draw_cameras(SPEC), []
    for number, members in groups.items():
        scenes = [Scene(vehicle) for vehicle in members[:3]]
        for image in range(5):
            shot = draw_shot(SPEC, cameras[(number + 4 * image) % 20], number, image, (0.2, 0.5))
            images = [scene.render(shot, 112, degraded=False) for scene in scenes]
            for one, other in itertools.combinations(images, 2):
                different = (one.image != other.image).any(axis=-1)
                changed.append(int(different.sum()))
                for x1, y1, x2, y2 in np.concatenate([one.boxes, other.boxes]):
                    # one pixel of margin: edges are anti-aliased
                    rows = slice(max(0, int(y1) - 1), int(np.ceil(y2)) + 1)
                    different[rows, max(0, int(x1) - 1) : int(np.ceil(x2)) + 1] = False
                assert not different.any(), (number, shot)
    assert len(changed) > 100
    assert np.percentile(changed, 5) > 40  # twins differ in nearly every view


def test_twins_differ_in_several_parts_front_and_rear():
    groups: dict[int, list] = {}
    for vehicle in draw_fleet(SPEC):
        groups.setdefault(vehicle.group, []).append(vehicle)
    sizes = Counter(len(members) for members in groups.values())
    assert sizes[SPEC.twins] * SPEC.twins >= 0.7 * SPEC.vehicles
    for members in groups.values():
        for one, other in itertools.combinations(members, 2):
            assert (one.style, one.trim, one.paint, one.tone) == (
                other.style,
                other.trim,
                other.paint,
                other.tone,
            )
            changed = [name for name in DETAILS if one.details[name] != other.details[name]]
            assert len(changed) >= 5
            assert "wheel" in changed


def test_occluders_remove_boxes():
    cameras = draw_cameras(SPEC)
    lost = 0
    for vehicle in draw_fleet(SPEC)[:12]:
        scene = Scene(vehicle)
        for kind in ("pole", "car", "foliage", "sign"):
            shot = dataclasses.replace(view(20), camera=cameras[3], scene=(0, 0, vehicle.number))
            free = scene.render(shot, 112, degraded=False)
            hidden = scene.render(dataclasses.replace(shot, occluder=kind), 112, degraded=False)
            assert not Counter(hidden.labels) - Counter(free.labels)
            lost += len(free.labels) - len(hidden.labels)
    assert lost > 20


def test_occlusion_masks_hide_a_part_that_is_mostly_covered():
    part = np.array([(10, 10), (20, 10), (20, 20), (10, 20)], dtype=float)
    screen = np.array([(0, 0), (14, 0), (14, 40), (0, 40)], dtype=float)
    nothing = {"body": np.array([(30, 30), (35, 30), (35, 35)], dtype=float)}
    assert OcclusionMasks(40, [screen], nothing, ["body"]).box(part, "body") == (10, 10, 20, 20)
    assert (
        OcclusionMasks(40, [screen + np.array([3, 0])], nothing, ["body"]).box(part, "body") is None
    )
    over = {"body": part, "cabin": screen + np.array([3, 0])}
    masks = OcclusionMasks(40, [], over, ["body", "cabin"])
    assert masks.box(part, "body") is None
    assert masks.box(part, "cabin") == (10, 10, 20, 20)
    assert masks.box(part, "back") is None
    assert masks.box(part - (16, 0), "front") is None  # mostly outside the image
    assert masks.box(part - (12, 0), "front") == (0, 10, 8, 20)
    assert masks.box(part * (1, 0.01), "front") is None  # too thin


def test_within_requires_half_of_the_polygon_inside_the_window():
    window = np.array([(0, 0), (10, 0), (10, 10), (0, 10)], dtype=float)
    part = np.array([(6, 2), (12, 2), (12, 4), (6, 4)], dtype=float)
    shown = within(part, window)
    assert np.allclose([shown.min(axis=0), shown.max(axis=0)], [(6, 2), (10, 4)], atol=1e-4)
    assert within(part + np.array([3, 0]), window) is None
    assert within(part + np.array([30, 0]), window) is None


def test_projection_is_a_pinhole_framed_on_the_solid():
    corners = box_quads((0, 0, 1), (4, 2, 2)).reshape(-1, 3)
    shot = view(0, 0)
    project = PinholeProjection(shot, corners, 200)
    flat = project(corners)
    assert flat.min() >= 0
    assert flat.max() <= 200
    assert np.isclose(np.ptp(flat, axis=0).max(), 200 * shot.fill, rtol=1e-6)
    near, far = (project(np.array([(x, -1.0, 1.0), (x, 1.0, 1.0)])) for x in (2.0, -2.0))
    ratio = np.ptp(near[:, 0]) / np.ptp(far[:, 0])
    depths = project.depth(np.array([(2.0, 0, 1), (-2.0, 0, 1)]))
    assert np.isclose(ratio, depths[1] / depths[0])
    assert near[1, 0] > near[0, 0]  # from the front, the vehicle's left is on the right
    assert np.allclose(depths[1] - depths[0], 4)


def test_loft_faces_look_outwards():
    loft = Loft(((0, -2, 2, 1), (1, -1.5, 1.5, 0.8)), 0.2, ((-2, 1.2), (2, 1.0)))
    middles = loft.quads.mean(axis=1)
    outward = middles - (0, 0, 0.65)
    areas = np.linalg.norm(
        np.cross(loft.quads[:, 1] - loft.quads[:, 0], loft.quads[:, 2] - loft.quads[:, 0]), axis=1
    )
    facing = np.einsum("ij,ij->i", loft.normals, outward)
    assert (facing[areas > 1e-6] > 0).all()


def test_degrade_depends_on_the_camera_and_is_repeatable():
    image = np.full((96, 96, 3), 120, np.uint8)
    shots = [dataclasses.replace(view(0), camera=camera) for camera in draw_cameras(SPEC)[:6]]
    outs = [degrade(image, shot) for shot in shots]
    assert all(np.array_equal(out, degrade(image, shot)) for out, shot in zip(outs, shots))
    casts = np.array([out.reshape(-1, 3).mean(axis=0) for out in outs])
    assert np.ptp(casts[:, 0] - casts[:, 2]) > 5
    noisy = dataclasses.replace(
        shots[0].camera, noise=8.0, blur=0.0, resolution=1.0, cast=(1, 1, 1), gamma=1.0
    )
    spread = degrade(image, dataclasses.replace(shots[0], camera=noisy)).std()
    assert 6.5 < spread < 9.5
