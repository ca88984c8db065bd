"""Plots of how a model weighs attributes, to print: PNG, or PDF with lines and text (PGAN, Figure 11)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pgan.visualization.panels import COLUMN, render_print
from pgan.visualization.plots import COLOURS

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from pgan.visualization.attention import AttributeWeights

LEAST_WEIGHT = 1e-5  # smaller weights are drawn at the end of the axis


def selection_bars(attributes: Sequence[AttributeWeights], fmt: str = "png") -> bytes:
    """Plot how often each attribute is selected, and how often it has the largest weight.

    Args:
        attributes: What `pgan.visualization.attention.attribute_weights` returns.
        fmt: ``'png'`` or ``'pdf'``.
    """
    order = sorted(attributes, key=lambda a: (a.selected, a.strongest))
    places = np.arange(len(order))

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for shift, key, colour, label in (
            (0.19, "selected", COLOURS[4], "among the D parts"),
            (-0.19, "strongest", COLOURS[1], "has the largest weight"),
        ):
            values = [100 * getattr(attribute, key) for attribute in order]
            bars = axes.barh(places + shift, values, 0.36, color=colour, label=label)
            axes.bar_label(bars, [f"{value:.0f}" for value in values], padding=1.5, fontsize=6)
        axes.set_yticks(places, [attribute.name for attribute in order])
        axes.set(xlabel="images, %", xlim=(0, 106), ylim=(-0.6, len(order) - 0.4))
        axes.tick_params(axis="y", length=0)
        axes.legend(loc="lower right")

    return render_print(draw, COLUMN, 0.5 + 0.23 * len(order), fmt, layout="constrained")


def weight_densities(attributes: Sequence[AttributeWeights], fmt: str = "png") -> bytes:
    """Plot a histogram of each attribute's attention weights, on a logarithmic axis.

    Each histogram is scaled to the same height; the black line is the median. Attributes without a box
    are skipped.

    Args:
        attributes: What `pgan.visualization.attention.attribute_weights` returns.
        fmt: ``'png'`` or ``'pdf'``.

    Raises:
        ValueError: No attribute has a box.
    """
    order = sorted((a for a in attributes if len(a.weights)), key=lambda a: np.median(a.weights))
    if not order:
        raise ValueError("there is nothing to plot: no image has a part")
    edges = np.geomspace(LEAST_WEIGHT, 1, 41)
    # In float64, so that the end of the axis falls into the first bin.
    values = [a.weights.astype(np.float64).clip(LEAST_WEIGHT, 1) for a in order]
    counts = [np.histogram(v, edges)[0] for v in values]

    def draw(figure: Figure) -> None:
        axes = figure.add_subplot()
        for place, (weights, count) in enumerate(zip(values, counts)):
            heights = place + 0.85 * count / count.max()
            axes.stairs(heights, edges, baseline=place, fill=True, color=COLOURS[4])
            axes.vlines(np.median(weights), place, place + 0.5, color="black", lw=1)
        axes.set_yticks(range(len(order)), [f"{a.name} ({len(a.weights)})" for a in order])
        axes.set(xscale="log", xlim=(LEAST_WEIGHT, 1), ylim=(-0.1, len(order)))
        ticks = [LEAST_WEIGHT, 1e-4, 1e-3, 1e-2, 1e-1, 1]
        axes.set_xticks(ticks, ["< 0.00001", "0.0001", "0.001", "0.01", "0.1", "1"])
        axes.set_xlabel("attention weight")
        axes.tick_params(axis="y", length=0)
        axes.hlines(range(len(order)), LEAST_WEIGHT, 1, color="0.8", lw=0.4, zorder=0)
        axes.minorticks_off()

    return render_print(draw, COLUMN, 0.5 + 0.24 * len(order), fmt, layout="constrained")
