"""Plots as SVG or PNG bytes, on a transparent ground, readable on a light page and a dark one."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:  # it takes torch along, which drawing does not need
    from pgan.evaluation import RocCurve

# Of Okabe and Ito ("Color Universal Design", 2008), those that stand out on light and on dark ground;
# curves differ in their lines as well.
COLOURS = ("#e69f00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
_LINES = ("-", "--", "-.", ":")
_NEUTRAL = "#7d8590"
_HEIGHT, _LINE = 3.6, 0.21  # of the axes, and of a line of text below them, in inches
_WIDTH = 80  # letters in such a line
_ROC_POINTS = 400  # more than a picture shows: a curve has as many as there are distances
STYLE = {
    "font.size": 10,
    "font.family": "DejaVu Sans",
    "text.color": _NEUTRAL,
    "axes.labelcolor": _NEUTRAL,
    "axes.edgecolor": _NEUTRAL,
    "xtick.color": _NEUTRAL,
    "ytick.color": _NEUTRAL,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "grid.color": _NEUTRAL,
    "grid.alpha": 0.25,
    "legend.frameon": False,
    "svg.hashsalt": "pgan",  # the same plot, the same bytes
}


def attribute_bars(
    precision: Mapping[str, float | None], xlabel: str = "AP, %", fmt: str = "svg"
) -> bytes:
    """A horizontal bar per attribute, the best on top; None ('never occurs') is said in words.

    Args:
        precision: Attribute -> average precision in percent, or None.
        xlabel: What is measured.
        fmt: ``'svg'`` or ``'png'``.

    Raises:
        ValueError: No attribute.
    """
    _need(precision, "average precision by attribute")
    names = sorted(precision, key=lambda name: (precision[name] is not None, precision[name] or 0))
    values = [precision[name] for name in names]

    def draw(axes: Axes) -> None:
        bars = axes.barh(names, [value or 0 for value in values], color=COLOURS[0], height=0.65)
        texts = ["none to find" if value is None else f"{value:.1f}" for value in values]
        axes.bar_label(bars, texts, padding=4, color=_NEUTRAL)
        axes.set(xlabel=xlabel, xlim=(0, 108), ylim=(-0.6, len(names) - 0.4))
        axes.tick_params(axis="y", length=0)
        axes.grid(axis="y", visible=False)

    return render(draw, fmt, height=0.9 + 0.26 * len(names))


def cmc_curves(curves: Mapping[str, Sequence[float]], fmt: str = "svg") -> bytes:
    """Rank-k against k.

    Args:
        curves: Name -> Rank-1, Rank-2 and so on, in percent.
        fmt: ``'svg'`` or ``'png'``.

    Raises:
        ValueError: No curve, or one without a value.
    """
    _need(curves, "CMC")
    last = max(map(len, curves.values()))

    def draw(axes: Axes) -> None:
        for values, style in zip(curves.values(), _styles(curves)):
            axes.plot(range(1, len(values) + 1), values, **style)
        axes.set(xlabel="k", ylabel="Rank-k, %", xlim=(1 - last / 100, last * 1.01))
        axes.xaxis.set_major_locator(matplotlib.ticker.FixedLocator([1, *range(5, last + 1, 5)]))
        _legend_below(axes)

    return render(draw, fmt, _height(curves))


def roc_curves(curves: Mapping[str, RocCurve], fmt: str = "svg") -> bytes:
    """TPR against FPR on a logarithmic axis, from the first power of ten below all points; and chance.

    Args:
        curves: Name -> its curve.
        fmt: ``'svg'`` or ``'png'``.

    Raises:
        ValueError: No curve.
    """
    _need(curves, "ROC")
    least = min(np.min(curve.fpr[curve.fpr > 0], initial=0.1) for curve in curves.values())
    fprs = np.geomspace(10.0 ** np.floor(np.log10(least)), 1, _ROC_POINTS)

    def draw(axes: Axes) -> None:
        for curve, style in zip(curves.values(), _styles(curves)):
            tprs = [100 * curve.tpr_at(float(fpr)) for fpr in fprs]
            axes.plot(fprs, tprs, drawstyle="steps-post", **style)
        axes.plot(fprs, 100 * fprs, color=_NEUTRAL, lw=1, ls=(0, (1, 3)), label="chance")
        axes.set(xscale="log", xlabel="FPR", ylabel="TPR, %", xlim=(fprs[0], 1), ylim=(0, 102))
        _legend_below(axes)

    return render(draw, fmt, _height([*curves, "chance"]))


def _styles(names: Mapping[str, object]) -> list[dict[str, str]]:
    """How to draw each curve: told apart by its line where the colour is not seen."""
    return [
        {
            "label": fill(name, _WIDTH),
            "color": COLOURS[i % len(COLOURS)],
            "ls": _LINES[i % len(_LINES)],
        }
        for i, name in enumerate(names)
    ]


def _height(names: Iterable[str]) -> float:
    """Of a plot with these names below it, in inches."""
    return _HEIGHT + _LINE * sum(fill(name, _WIDTH).count("\n") + 1 for name in names)


def _legend_below(axes: Axes) -> None:
    """Names one below the other, under the axes: they may be as long as a protocol's with all it says."""
    axes.figure.legend(loc="outside lower left")


def render(draw: Callable[[Axes], None], fmt: str, height: float = _HEIGHT) -> bytes:
    """Draw in the house's style, 7.2 inches wide, and return the file's bytes.

    Args:
        draw: Is given the axes.
        fmt: ``'svg'`` or ``'png'``.
        height: Of the figure in inches.
    """
    with matplotlib.rc_context(STYLE):
        figure = Figure(figsize=(7.2, height), layout="constrained")  # no pyplot, no display
        axes = figure.add_subplot()
        axes.grid(True)
        axes.set_axisbelow(True)
        draw(axes)
        buffer = io.BytesIO()
        metadata = {"Date": None} if fmt == "svg" else None
        figure.savefig(buffer, format=fmt, transparent=True, dpi=160, metadata=metadata)
    return buffer.getvalue()


def _need(values: Mapping, what: str) -> None:
    empty = [key for key, value in values.items() if isinstance(value, Sequence) and not len(value)]
    if not values or empty:
        where = f" for {empty[0]}" if empty else ""
        raise ValueError(f"there is nothing to plot{where}: {what}")
