import numpy as np
import pytest

from pgan.visualization.panels import (
    AMBER,
    BLUE,
    GREEN,
    PAPER,
    RED,
    Picture,
    contact_sheet,
    draw_boxes,
    fit,
    ranked_row,
)

GREY = np.full((60, 80, 3), 100, np.uint8)
TILE = 64


def tile_lefts(row, count):
    return [round(index * (row.shape[1] + 10) / count) for index in range(count)]


def test_borders_tell_query_right_and_wrong():
    row = ranked_row(Picture(GREY), [Picture(GREY)] * 3, [True, False, True], tile=TILE)
    colours = [BLUE, GREEN, RED, GREEN]
    for left, colour in zip(tile_lefts(row, 4), colours):
        assert row[-1, left : left + TILE + 12].tolist() == [list(colour)] * (TILE + 12)
        assert (row[40:, left] == colour).all()
        assert (row[40:, left + TILE + 11] == colour).all()
    assert row.dtype == np.uint8


def test_marks_tell_right_from_wrong_without_colour():
    right = ranked_row(Picture(GREY), [Picture(GREY)], [True], tile=TILE)
    wrong = ranked_row(Picture(GREY), [Picture(GREY)], [False], tile=TILE)
    white = [(image == 255).all(axis=2) for image in (right, wrong)]
    assert white[0].any()
    assert white[1].any()
    assert (white[0] != white[1]).any()


def test_row_needs_a_mark_for_each_result():
    with pytest.raises(ValueError, match="2 results, but 1 marks"):
        ranked_row(Picture(GREY), [Picture(GREY)] * 2, [True])


def test_box_outlines_the_pixels_it_covers():
    drawn = draw_boxes(GREY, np.array([[10.0, 20.0, 30.0, 40.0]]))
    changed = np.argwhere((drawn != GREY).any(axis=2))
    assert changed.min(axis=0).tolist() == [20, 10]
    assert changed.max(axis=0).tolist() == [39, 29]
    assert (drawn[25:35, 15:25] == 100).all()


def test_heavier_parts_are_filled_more():
    boxes = np.array([[2, 20, 22, 50], [30, 20, 50, 50], [58, 20, 78, 50]], np.float32)
    drawn = draw_boxes(GREY, boxes, weights=np.array([0.1, 0.6, 0.3], np.float32)).astype(int)
    amber = [np.abs(drawn[45, x] - AMBER).sum() for x in (12, 40, 68)]
    assert amber[1] < amber[2] < amber[0] < np.abs(np.subtract(100, AMBER)).sum()


def test_small_weights_are_drawn_but_not_written():
    box = np.array([[10, 30, 30, 50]], np.float32)
    above = (slice(15, 28), slice(10, 40))
    assert (draw_boxes(GREY, box, weights=np.array([0.5]))[above] != 100).any()
    assert (draw_boxes(GREY, box, weights=np.array([0.02]))[above] == 100).all()


def test_labels_are_written_in_one_colour_per_class():
    boxes = np.array([[5, 20, 25, 40], [40, 20, 70, 40]], np.float32)
    drawn = draw_boxes(GREY, boxes, labels=["wheel", "wheel"])
    assert drawn[39, 5].tolist() == drawn[39, 40].tolist()
    other = draw_boxes(GREY, boxes, labels=["wheel", "logo"])
    assert other[39, 5].tolist() != other[39, 40].tolist()
    assert (other[10:19, 40:50] != 100).any()


def test_boxes_outside_are_drawn_at_the_edge_and_none_is_fine():
    drawn = draw_boxes(GREY, np.array([[70.0, 50.0, 200.0, 90.0]]), weights=np.array([0.0]))
    assert drawn.shape == GREY.shape
    np.testing.assert_array_equal(draw_boxes(GREY, np.zeros((0, 4)), weights=np.zeros(0)), GREY)


def test_images_are_not_changed_and_must_be_rgb():
    image = GREY.copy()
    draw_boxes(image, np.array([[1.0, 1, 20, 20]]), weights=np.array([1.0]))
    np.testing.assert_array_equal(image, GREY)
    with pytest.raises(ValueError, match=r"\(H, W, 3\) uint8 RGB"):
        draw_boxes(image.astype(float), np.zeros((0, 4)))
    with pytest.raises(ValueError, match="1 boxes, but 2 weights"):
        draw_boxes(image, np.zeros((1, 4)), weights=np.zeros(2))


@pytest.mark.parametrize("shape", [(30, 120, 3), (120, 30, 3), (1, 500, 3), (64, 64, 3)])
def test_fit_keeps_the_aspect_ratio_and_scales_boxes(shape):
    image = np.full(shape, 100, np.uint8)
    box = np.array([[0, 0, shape[1], shape[0]]], np.float32)
    square = fit(Picture(image, box), TILE)
    assert square.shape == (TILE, TILE, 3)
    picture = (square != PAPER).any(axis=2)
    height, width = np.ptp(np.argwhere(picture), axis=0) + 1
    scale = TILE / max(shape)
    assert (height, width) == (max(round(shape[0] * scale), 1), max(round(shape[1] * scale), 1))


def test_contact_sheet_fills_rows_first():
    colours = [np.full((8, 8, 3), value, np.uint8) for value in (10, 20, 30)]
    sheet = contact_sheet([Picture(image) for image in colours], columns=2, tile=20)
    assert sheet.shape == (2 * 32 + 10, 2 * 32 + 10, 3)
    assert [sheet[16, 16, 0], sheet[16, 58, 0], sheet[58, 16, 0]] == [10, 20, 30]
    with pytest.raises(ValueError, match="needs pictures"):
        contact_sheet([], 2)
