"""Panels: complete files, the same each time, true to what they show."""

from __future__ import annotations

import io
import re

import cv2
import matplotlib.image
import numpy as np
import pytest

from pgan.visualization.attention import GUIDED, AttributeWeights
from pgan.visualization.attribute_plots import selection_bars, weight_densities
from pgan.visualization.panels import (
    AMBER,
    BLUE,
    COLUMN,
    GREEN,
    PAGE,
    PAPER,
    RED,
    AnnotatedImage,
    contact_sheet,
    image_panel,
    pixels,
    ranking_panel,
)
from pgan.visualization.plots import COLOURS

DPI = 300
GREY = AnnotatedImage(np.full((60, 80, 3), 100, np.uint8))
CORNER = np.zeros((4, 4), np.float32)
CORNER[0, 3] = 1  # top right


def view(shade: int = 128, maps: dict | None = None) -> AnnotatedImage:
    image = np.full((60, 80, 3), shade, np.uint8)
    boxes = np.array([[10, 10, 30, 40], [50, 20, 70, 50]], np.float32)
    weights = np.array([0.99, 0.01], np.float32)
    maps = {GUIDED: CORNER} if maps is None else maps
    return AnnotatedImage(image, boxes, ["plate", "wheel"], weights, maps)


def near(image: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    """Where the image has this colour, up to the rounding of anti-aliasing."""
    return (np.abs(image.astype(int) - colour) < 12).all(-1)


ATTRIBUTES = [
    AttributeWeights("plate", 0.9, 0.6, np.linspace(0.1, 1, 50, dtype=np.float32)),
    AttributeWeights("wheel", 0.5, 0.1, np.full(30, 1e-9, np.float32)),
    AttributeWeights("logo", 0, 0, np.zeros(0, np.float32)),
]
FIGURES = [
    lambda fmt: ranking_panel(
        view(), [view(), view()], ["1 (0.20)", "2 (0.30)"], [True, False], fmt
    ),
    lambda fmt: image_panel(view(), fmt),
    lambda fmt: selection_bars(ATTRIBUTES, fmt),
    lambda fmt: weight_densities(ATTRIBUTES, fmt),
]


@pytest.mark.parametrize("draw", FIGURES)
def test_figures_are_reproducible_and_keep_text_in_a_pdf(draw) -> None:
    pdf = draw("pdf")
    assert pdf == draw("pdf")
    assert pdf.startswith(b"%PDF")
    assert b"/FontFile2" in pdf  # text is set in an embedded font, not drawn as outlines
    _, _, width, height = map(float, re.search(rb"/MediaBox \[ ?([\d. ]+)\]", pdf)[1].split())
    assert width / 72 <= COLUMN + 1e-6
    shape = pixels(draw("png")).shape
    assert (shape[1] / DPI, shape[0] / DPI) == pytest.approx((width / 72, height / 72), abs=0.01)


def test_pixels_are_those_of_the_file() -> None:
    png = image_panel(view())
    read = (matplotlib.image.imread(io.BytesIO(png))[..., :3] * 255).round().astype(np.uint8)
    np.testing.assert_array_equal(pixels(png), read)
    assert pixels(png, 0.5).shape[1] == pytest.approx(read.shape[1] / 2, abs=1)


def test_ranking_panel_frames_the_query_blue_matches_green_and_errors_red() -> None:
    drawn = pixels(ranking_panel(view(), [view(), view()], ["1", "2"], [False, True]))
    columns = [np.flatnonzero(near(drawn, colour).any(0)) for colour in (BLUE, RED, GREEN)]
    third = drawn.shape[1] / 3
    for place, found in enumerate(columns):
        assert place * third - 5 <= found.min() < found.max() <= (place + 1) * third + 30


def test_ranking_panel_marks_matches_and_errors_without_colour() -> None:
    right, wrong = (pixels(ranking_panel(GREY, [GREY], ["1"], [good])) for good in (True, False))
    inked = [(image[:50] < 200).any(2) for image in (right, wrong)]  # titles are on top
    assert (inked[0] != inked[1]).any()


def test_ranking_panel_draws_no_frame_where_the_vehicle_is_unknown() -> None:
    drawn = pixels(ranking_panel(GREY, [GREY], ["1"], [None]))
    assert near(drawn, BLUE).any()
    assert not near(drawn, GREEN).any()
    assert not near(drawn, RED).any()


def test_ranking_panel_raises_when_a_result_has_no_mark() -> None:
    with pytest.raises(ValueError, match="2 results, but 2 titles and 1 marks"):
        ranking_panel(GREY, [GREY] * 2, ["1", "2"], [True])


def test_ranking_panel_wraps_into_rows_of_columns() -> None:
    one = pixels(ranking_panel(GREY, [GREY] * 5, list("12345"), [True] * 5, columns=6))
    two = pixels(ranking_panel(GREY, [GREY] * 7, list("1234567"), [True] * 7, columns=6))
    assert two.shape[1] == one.shape[1]
    assert two.shape[0] == pytest.approx(2 * one.shape[0], abs=1)
    assert two[-1, -1].tolist() == list(PAPER)


def test_ranking_panel_with_fewer_results_keeps_its_scale_where_room_is_left() -> None:
    few = pixels(ranking_panel(view(), [view()], ["1"], [True], room=3))
    many = pixels(ranking_panel(view(), [view()] * 3, ["1", "2", "3"], [True] * 3))
    assert few.shape[0] == many.shape[0]
    assert few.shape[1] < many.shape[1] == pytest.approx(COLUMN * DPI, abs=1)
    wide = pixels(ranking_panel(view(), [view()] * 5, list("12345"), [True] * 5))
    assert wide.shape[1] == pytest.approx(PAGE * DPI, abs=1)


def test_image_panel_lays_the_map_over_the_image() -> None:
    drawn = pixels(image_panel(view(maps={GUIDED: CORNER}))).astype(int)
    top, side = round(0.17 * DPI), drawn.shape[1] // 2  # below the title, above the scale
    tall = int(0.7 * side)
    right = drawn[top : top + tall, side:]
    yellow = right[..., 0] + right[..., 1] - 2 * right[..., 2]
    rows, columns = np.nonzero(yellow > yellow.max() - 20)
    assert rows.mean() < 0.3 * tall
    assert columns.mean() > 0.7 * side


def test_image_panel_draws_boxes_in_place_and_fills_the_heavier() -> None:
    shown = view(shade=0, maps={})
    drawn = pixels(image_panel(shown)).astype(int)
    amber = (drawn[..., 0] > 60) & (drawn[..., 2] < 60) & (drawn[..., 0] > drawn[..., 1])
    scale = drawn.shape[1] / 80
    top = drawn.shape[0] - 60 * scale - 0.03 * DPI

    def share(x1: int, y1: int, x2: int, y2: int) -> float:
        rows = slice(round(top + y1 * scale), round(top + y2 * scale))
        return amber[rows, round(x1 * scale) : round(x2 * scale)].mean()

    assert share(13, 20, 27, 38) > 0.95  # inside the heavy box
    assert share(54, 24, 66, 46) < 0.05  # inside the light one
    assert share(32, 5, 48, 55) < 0.05  # between them


def with_weight(weight: float, x1: int = 30) -> AnnotatedImage:
    box = np.array([[x1, 28, x1 + 4, 32]], np.float32)
    return AnnotatedImage(
        np.zeros((60, 80, 3), np.uint8), box, ["plate"], np.array([weight], np.float32)
    )


def test_image_panel_writes_the_greatest_weight_even_at_the_edge() -> None:
    for x1 in (0, 76):
        written = near(pixels(image_panel(with_weight(1, x1))), AMBER).any(0)
        assert np.ptp(np.flatnonzero(written)) > 0.15 * len(written)  # the box has a twentieth


def test_image_panel_draws_small_weights_but_does_not_write_them() -> None:
    large, small = (near(pixels(image_panel(with_weight(w))), AMBER) for w in (0.5, 0.02))
    assert small.any()
    assert large.sum() > 2 * small.sum()


def test_image_panel_draws_images_without_parts_or_maps() -> None:
    drawn = pixels(image_panel(AnnotatedImage(np.full((40, 60, 3), 90, np.uint8)))).astype(int)
    assert (np.abs(drawn[drawn.shape[0] // 2] - 90) < 3).mean() > 0.9
    none = np.zeros((0, 4), np.float32), [], np.zeros(0, np.float32)
    empty = AnnotatedImage(GREY.image, *none)
    assert cv2.imdecode(np.frombuffer(image_panel(empty), np.uint8), 1) is not None


def test_weight_densities_draw_tiny_weights_at_the_end_of_the_axis() -> None:
    # All of the wheel's weights lie below the axis: its row has one full bin, at the left.
    light_blue = tuple(int(COLOURS[4][i : i + 2], 16) for i in (1, 3, 5))
    drawn = near(pixels(weight_densities(ATTRIBUTES)), light_blue)
    rows = np.flatnonzero(drawn.any(1))
    low = drawn[rows[-len(rows) // 3 :]]
    assert low.any()
    assert np.ptp(np.flatnonzero(low.any(0))) < 0.06 * drawn.shape[1]
    with pytest.raises(ValueError, match="no image has a part"):
        weight_densities(ATTRIBUTES[2:])


def test_annotated_image_raises_for_bad_arrays() -> None:
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8 RGB"):
        AnnotatedImage(GREY.image.astype(float))
    with pytest.raises(ValueError, match="1 boxes, but 2 weights"):
        AnnotatedImage(GREY.image, np.zeros((1, 4)), weights=np.zeros(2))
    with pytest.raises(ValueError, match="0 boxes, but 1 labels"):
        AnnotatedImage(GREY.image, labels=["wheel"])


def test_contact_sheet_fills_rows_first() -> None:
    images = [AnnotatedImage(np.full((8, 8, 3), value, np.uint8)) for value in (50, 100, 150)]
    sheet = contact_sheet(images, columns=2, tile=60)
    height, width = sheet.shape[:2]
    assert width == 120
    centres = [(height // 4, 30), (height // 4, 90), (3 * height // 4, 30)]
    assert [50 * round(int(sheet[y, x, 0]) / 50) for y, x in centres] == [50, 100, 150]
    assert sheet[-5, -5].tolist() == list(PAPER)
    with pytest.raises(ValueError, match="needs images"):
        contact_sheet([], 2)


def test_contact_sheet_draws_one_colour_per_class() -> None:
    boxes = np.array([[5, 20, 25, 40], [40, 20, 70, 40]], np.float32)

    def colours(*labels: str) -> int:
        sheet = contact_sheet([AnnotatedImage(GREY.image, boxes, labels)], 1)
        return sum(near(sheet, tuple(int(c[i : i + 2], 16) for i in (1, 3, 5))).sum() > 50
                   for c in COLOURS)  # fmt: skip

    assert colours("wheel", "wheel") == 1
    assert colours("wheel", "logo") == 2
