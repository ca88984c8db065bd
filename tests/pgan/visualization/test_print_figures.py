"""Figures to print: whole files, the same each time, true to what they show."""

from __future__ import annotations

import io
import re

import cv2
import matplotlib.image
import numpy as np
import pytest

from pgan.visualization.attention import GUIDED, AttributeWeights, View
from pgan.visualization.panels import Picture
from pgan.visualization.plots import COLOURS
from pgan.visualization.print_figures import (
    COLUMN,
    PAGE,
    image_figure,
    ranking_figure,
    selection_bars,
    weight_densities,
)

DPI = 300
CORNER = np.zeros((4, 4), np.float32)
CORNER[0, 3] = 1  # top right


def view(shade: int = 128, maps: dict | None = None) -> View:
    image = np.full((60, 80, 3), shade, np.uint8)
    boxes = np.array([[10, 10, 30, 40], [50, 20, 70, 50]], np.float32)
    weights = np.array([0.99, 0.01], np.float32)
    maps = {GUIDED: CORNER} if maps is None else maps
    return View(Picture(image, boxes, ["plate", "wheel"], weights), maps)


def pixels(png: bytes) -> np.ndarray:
    return (matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).round().astype(int)


def near(image: np.ndarray, colour: str) -> np.ndarray:
    """Where the image has this colour, but for the rounding of anti-aliasing."""
    wanted = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    return (np.abs(image - wanted) < 12).all(-1)


ATTRIBUTES = [
    AttributeWeights("plate", 0.9, 0.6, np.linspace(0.1, 1, 50, dtype=np.float32)),
    AttributeWeights("wheel", 0.5, 0.1, np.full(30, 1e-9, np.float32)),
    AttributeWeights("logo", 0, 0, np.zeros(0, np.float32)),
]
FIGURES = [
    lambda fmt: ranking_figure(
        view(), [view(), view()], ["1 (0.20)", "2 (0.30)"], [True, False], fmt
    ),
    lambda fmt: image_figure(view(), fmt),
    lambda fmt: selection_bars(ATTRIBUTES, fmt),
    lambda fmt: weight_densities(ATTRIBUTES, fmt),
]


@pytest.mark.parametrize("draw", FIGURES)
def test_figures_are_the_same_each_time_and_vectors_with_text_in_a_pdf(draw) -> None:
    pdf = draw("pdf")
    assert pdf == draw("pdf")
    assert pdf.startswith(b"%PDF")
    assert b"/FontFile2" in pdf  # a whole font and letters of it, not their outlines
    _, _, width, height = map(float, re.search(rb"/MediaBox \[ ?([\d. ]+)\]", pdf)[1].split())
    assert width / 72 <= COLUMN + 1e-6
    shape = pixels(draw("png")).shape
    assert (shape[1] / DPI, shape[0] / DPI) == pytest.approx((width / 72, height / 72), abs=0.01)


def test_marks_are_told_by_the_frames_colour_from_left_to_right() -> None:
    drawn = pixels(ranking_figure(view(), [view(), view()], ["1", "2"], [False, True]))
    columns = [
        np.flatnonzero(near(drawn, COLOURS[i]).any(0)) for i in (1, 5, 2)
    ]  # blue, red, green
    third = drawn.shape[1] / 3
    for place, found in enumerate(columns):
        assert place * third - 5 <= found.min() < found.max() <= (place + 1) * third + 30


def test_the_map_lies_on_its_image_as_the_cells_do() -> None:
    drawn = pixels(image_figure(view(maps={GUIDED: CORNER})))
    top, side = round(0.17 * DPI), drawn.shape[1] // 2  # below the title, above the scale
    tall = int(0.7 * side)
    right = drawn[top : top + tall, side:]
    yellow = right[..., 0] + right[..., 1] - 2 * right[..., 2]
    rows, columns = np.nonzero(yellow > yellow.max() - 20)
    assert rows.mean() < 0.3 * tall
    assert columns.mean() > 0.7 * side


def test_boxes_lie_where_they_are_and_the_heavier_is_filled() -> None:
    shown = view(shade=0, maps={})
    drawn = pixels(image_figure(shown))
    amber = (drawn[..., 0] > 60) & (drawn[..., 2] < 60) & (drawn[..., 0] > drawn[..., 1])
    scale = drawn.shape[1] / 80
    top = drawn.shape[0] - 60 * scale - 0.03 * DPI

    def share(x1: int, y1: int, x2: int, y2: int) -> float:
        rows = slice(round(top + y1 * scale), round(top + y2 * scale))
        return amber[rows, round(x1 * scale) : round(x2 * scale)].mean()

    assert share(13, 20, 27, 38) > 0.95  # inside the heavy box
    assert share(54, 24, 66, 46) < 0.05  # inside the light one
    assert share(32, 5, 48, 55) < 0.05  # between them


def test_the_heaviest_part_has_its_weight_written_even_at_the_images_edge() -> None:
    for x1 in (0, 76):
        box = np.array([[x1, 28, x1 + 4, 32]], np.float32)
        picture = Picture(np.zeros((60, 80, 3), np.uint8), box, ["plate"], np.ones(1, np.float32))
        written = near(pixels(image_figure(View(picture))), COLOURS[0]).any(0)
        assert np.ptp(np.flatnonzero(written)) > 0.15 * len(written)  # the box has a twentieth


def test_fewer_results_keep_their_scale_where_room_is_left() -> None:
    few = pixels(ranking_figure(view(), [view()], ["1"], [True], room=3))
    many = pixels(ranking_figure(view(), [view()] * 3, ["1", "2", "3"], [True] * 3))
    assert few.shape[0] == many.shape[0]
    assert few.shape[1] < many.shape[1] == pytest.approx(COLUMN * DPI, abs=1)
    wide = pixels(ranking_figure(view(), [view()] * 5, list("12345"), [True] * 5))
    assert wide.shape[1] == pytest.approx(PAGE * DPI, abs=1)


def test_images_without_parts_or_maps_are_drawn_bare() -> None:
    grey = View(Picture(np.full((40, 60, 3), 90, np.uint8)))
    drawn = pixels(image_figure(grey))
    assert (np.abs(drawn[drawn.shape[0] // 2] - 90) < 3).mean() > 0.9
    empty = Picture(grey.picture.image, np.zeros((0, 4), np.float32), [], np.zeros(0, np.float32))
    assert cv2.imdecode(np.frombuffer(image_figure(View(empty)), np.uint8), 1) is not None


def test_tiny_weights_stand_at_the_axis_end() -> None:
    # All of the wheel's weights lie below the axis: its row has one full bin, at the left.
    drawn = near(pixels(weight_densities(ATTRIBUTES)), COLOURS[4])
    rows = np.flatnonzero(drawn.any(1))
    low = drawn[rows[-len(rows) // 3 :]]
    assert low.any()
    assert np.ptp(np.flatnonzero(low.any(0))) < 0.06 * drawn.shape[1]
    with pytest.raises(ValueError, match="no image has a part"):
        weight_densities(ATTRIBUTES[2:])
