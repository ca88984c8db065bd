import re

import numpy as np
import pytest
from defusedxml import ElementTree

from pgan.evaluation import evaluate_distances
from pgan.visualization.plots import attribute_bars, cmc_curves, map_by_parts

RESULT = evaluate_distances(np.random.default_rng(0).random((9, 40)), [0] * 9, [0, 1] * 20)
PLOTS = [
    lambda fmt: map_by_parts({8: [60.0, 62.0], 4: [55.0]}, [50.0, 52.0], fmt),
    lambda fmt: attribute_bars({"wheel": 70.0, "logo": None}, fmt=fmt),
    lambda fmt: cmc_curves({"PGAN": RESULT, "baseline": RESULT}, fmt=fmt),
]


@pytest.mark.parametrize("plot", PLOTS)
def test_plots_are_whole_files_and_the_same_each_time(plot):
    svg = plot("svg")
    assert ElementTree.fromstring(svg, forbid_external=False).tag.endswith("svg")
    assert plot("svg") == svg
    assert plot("png").startswith(b"\x89PNG")


def comments(svg):
    """Matplotlib draws text as outlines and leaves the words as comments."""
    return re.findall(r"<!-- (.*?) -->", svg.decode())


def test_map_by_parts_writes_means_and_every_d():
    words = comments(map_by_parts({8: [60.0, 62.0], 2: [55.0]}, [50.0, 52.0]))
    assert {"61.0", "55.0", "2", "8", "baseline, 51.0"} <= set(words)


def test_attribute_bars_put_the_best_on_top_and_say_what_is_absent():
    words = comments(attribute_bars({"logo": None, "wheel": 70.0, "plate": 30.0}))
    names = [word for word in words if word in ("logo", "wheel", "plate")]
    assert names == ["logo", "plate", "wheel"]  # from the bottom up
    assert {"70.0", "30.0", "none to find"} <= set(words)


@pytest.mark.parametrize(
    ("plot", "message"),
    [
        (lambda: map_by_parts({}), "mAP by number of parts"),
        (lambda: map_by_parts({4: []}), "for 4"),
        (lambda: attribute_bars({}), "by attribute"),
        (lambda: cmc_curves({}), "CMC"),
    ],
)
def test_nothing_to_plot_is_said(plot, message):
    with pytest.raises(ValueError, match=message):
        plot()
