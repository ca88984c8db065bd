import re

import numpy as np
import pytest
from defusedxml import ElementTree

from pgan.evaluation import RocCurve
from pgan.visualization.plots import COLOURS, attribute_bars, cmc_curves, roc_curves

ROC = RocCurve(
    np.array([0.1, 0.2, 0.3], np.float32),
    np.array([0.0, 0.002, 1.0]),
    np.array([0.25, 0.5, 1.0]),
    4,
    500,
)
PLOTS = [
    lambda fmt: attribute_bars({"wheel": 70.0, "logo": None}, fmt=fmt),
    lambda fmt: cmc_curves({"PGAN": [60.0, 70.0], "baseline": [50.0, 65.0]}, fmt=fmt),
    lambda fmt: roc_curves({"PGAN": ROC, "baseline": ROC}, fmt=fmt),
]


@pytest.mark.parametrize("plot", PLOTS)
def test_plots_are_complete_and_reproducible_files(plot):
    svg = plot("svg")
    assert ElementTree.fromstring(svg, forbid_external=False).tag.endswith("svg")
    assert plot("svg") == svg
    assert plot("png").startswith(b"\x89PNG")


def comments(svg):
    """Matplotlib draws text as outlines and leaves the words as comments."""
    return re.findall(r"<!-- (.*?) -->", svg.decode())


def test_attribute_bars_put_the_best_on_top_and_name_absent_ones():
    words = comments(attribute_bars({"logo": None, "wheel": 70.0, "plate": 30.0}))
    names = [word for word in words if word in ("logo", "wheel", "plate")]
    assert names == ["logo", "plate", "wheel"]  # from the bottom up
    assert {"70.0", "30.0", "none to find"} <= set(words)


def drawn(svg, colour):
    """What is drawn in a colour: the y of each point, from the bottom up, and the dashes."""
    paths = re.findall(rf'<path d="([^"]+)"[^>]*style="([^"]*stroke: {colour}[^"]*)"', svg.decode())
    (path, style), *_ = sorted(paths, key=lambda found: -len(found[0]))
    points = np.array(re.findall(r"[ML] ([-\d.]+) ([-\d.]+)", path), float)
    return points, "dasharray" in style


def test_curves_differ_in_colour_and_line_style():
    svg = cmc_curves({"PGAN": [60.0, 70.0, 80.0], "baseline": [50.0, 65.0, 70.0]})
    (first, plain), (second, dashed) = drawn(svg, COLOURS[0]), drawn(svg, COLOURS[1])
    assert (plain, dashed) == (False, True)
    np.testing.assert_allclose(np.diff(first[:, 1]), np.diff(first[:, 1])[0], rtol=1e-3)
    assert (first[:, 1] < second[:, 1]).all()  # y goes down
    assert {"PGAN", "baseline", "1"} <= set(comments(svg))


def test_long_names_are_wrapped_below_the_curves():
    name = "multi-gallery-shot, " * 7 + "re-ranked"
    short, long = (roc_curves({n: ROC}) for n in ("PGAN", name))
    assert " ".join(comments(long)).count("multi-gallery-shot,") == 7
    heights = [float(re.search(rb'height="([\d.]+)pt"', svg)[1]) for svg in (short, long)]
    assert heights[1] > heights[0]


def test_roc_curves_start_at_a_power_of_ten_and_step_at_their_points():
    svg = roc_curves({"PGAN": ROC})
    assert {"PGAN", "chance", "TPR, %", "FPR"} <= set(comments(svg))
    (points, _), (left, right) = drawn(svg, COLOURS[0]), (0, -1)
    x = (points[:, 0] - points[left, 0]) / np.ptp(points[:, 0])  # 0 at 0.001, 1 at 1
    y = (points[left, 1] - points[:, 1]) / (points[left, 1] - points[right, 1])  # 0 at 25 %
    assert set(np.round(y, 3)) == {0, 0.333, 1}
    assert x[y > 0.3].min() == pytest.approx(np.log10(2) / 3, abs=0.01)
    assert x[y > 0.9].min() == pytest.approx(1, abs=0.01)


@pytest.mark.parametrize(
    ("plot", "message"),
    [
        (lambda: attribute_bars({}), "by attribute"),
        (lambda: cmc_curves({}), "CMC"),
        (lambda: cmc_curves({"PGAN": []}), "for PGAN: CMC"),
        (lambda: roc_curves({}), "ROC"),
    ],
)
def test_plots_raise_without_values(plot, message):
    with pytest.raises(ValueError, match=message):
        plot()
