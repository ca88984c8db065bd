import re

import pytest
from defusedxml import ElementTree

from pgan.visualization import sweep_plots
from pgan.visualization.sweep_plots import sweep_plot

LINES = {"": {8: [60.0, 62.0], 4: [55.0]}}


def comments(svg):
    """Matplotlib draws text as outlines and leaves the words as comments."""
    return re.findall(r"<!-- (.*?) -->", svg.decode())


def test_sweep_plot_of_numbers_has_means_references_and_published_values():
    svg = sweep_plot(LINES, "D", "mAP, %", {"baseline": [50, 52]}, {"the paper": {8: 59.0, 6: 1}})
    assert ElementTree.fromstring(svg, forbid_external=False).tag.endswith("svg")
    assert svg == sweep_plot(
        LINES, "D", "mAP, %", {"baseline": [50, 52]}, {"the paper": {8: 59.0, 6: 1}}
    )
    words = comments(svg)
    assert {"61.0", "55.0", "D", "mAP, %", "baseline, 51.0", "the paper"} <= set(words)
    assert words.index("4") < words.index("8")
    assert "6" not in words


def test_sweep_plot_error_bars_are_one_standard_deviation(monkeypatch):
    drawn = {}

    class Axes:
        def errorbar(self, x, y, bars, **style):
            drawn.update(x=x, y=y, bars=bars)

        def __getattr__(self, name):
            return lambda *args, **kwargs: None

    monkeypatch.setattr(sweep_plots, "render", lambda draw, fmt: draw(Axes()))
    sweep_plot(LINES, "D")
    # For 60 and 62: sqrt(((-1)^2 + 1^2) / 1); for a single value, none.
    assert drawn == {"x": [4, 8], "y": [55.0, 61.0], "bars": [0, pytest.approx(2**0.5)]}


def test_sweep_plot_of_names_keeps_their_order_and_has_a_legend():
    lines = {"2C'=256": {"grid": [1.0], "PGAN": [2.0]}, "2C'=512": {"PGAN": [3.0]}}
    words = comments(sweep_plot(lines, "model"))
    assert words.index("grid") < words.index("PGAN")
    assert {"2C'=256", "2C'=512"} <= set(words)
    assert sweep_plot(lines, "model", fmt="png").startswith(b"\x89PNG")


def test_sweep_plot_raises_without_values():
    with pytest.raises(ValueError, match="nothing to plot: mAP, % by D"):
        sweep_plot({}, "D")
