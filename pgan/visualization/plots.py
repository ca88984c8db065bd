"""Plots as SVG or PNG bytes, with a transparent background, readable on light and on dark pages."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from textwrap import fill
from typing import TYPE_CHECKING, Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from pgan.evaluation import RocCurve

# The colours of Okabe and Ito ("Color Universal Design", 2008) that stand out on light and on dark
# backgrounds. Curves also differ in their line styles.
COLOURS = ("#e69f00", "#0072b2", "#009e73", "#cc79a7", "#56b4e9", "#d55e00")
_LINES = ("-", "--", "-.", ":")
_NEUTRAL = "#7d8590"
_HEIGHT, _LINE = 3.6, 0.21  # inches: the axes, and a line of text below them
_WIDTH = 80  # characters in such a line
_ROC_POINTS = 400  # more than a plot resolves; a curve has as many points as distances
STYLE: Any = {
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
    "svg.hashsalt": "pgan",  # so that the same plot has the same bytes
}


def attribute_bars(
    precision: Mapping[str, float | None], xlabel: str = "AP, %", fmt: str = "svg"
) -> bytes:
    """Plot one horizontal bar per attribute, the best on top.

    Args:
        precision: Attribute -> average precision in percent, or None if the attribute never occurs.
        xlabel: Name of the metric.
        fmt: ``'svg'`` or ``'png'``.

    Returns:
        The bytes of the file.

    Raises:
        ValueError: There is no attribute.

    Example:
        >>> attribute_bars({"wheel": 81.5, "roof rack": None}).startswith(b"<?xml")
        True
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
    """Plot Rank-k against k.

    Args:
        curves: Name -> Rank-1, Rank-2 and so on, in percent.
        fmt: ``'svg'`` or ``'png'``.

    Returns:
        The bytes of the file.

    Raises:
        ValueError: There is no curve, or one is empty.

    Example:
        >>> cmc_curves({"PGAN": [90.0, 95.0, 96.5]}).startswith(b"<?xml")
        True
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
    """Plot TPR against FPR, and chance, on a logarithmic axis from the first power of ten below all points.

    Args:
        curves: Name -> ROC curve.
        fmt: ``'svg'`` or ``'png'``.

    Returns:
        The bytes of the file.

    Raises:
        ValueError: There is no curve.

    Example:
        >>> from pgan.evaluation import RocCurve
        >>> rates = np.array([0.0, 0.1, 1.0]), np.array([0.5, 0.9, 1.0])
        >>> curve = RocCurve(np.array([0.1, 0.2, 0.3], np.float32), *rates, 10, 10)
        >>> roc_curves({"PGAN": curve}).startswith(b"<?xml")
        True
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


def _styles(names: Mapping[str, object]) -> list[dict[str, Any]]:
    """Return the style of each curve, which also differ in their lines for colour-blind readers."""
    return [
        {
            "label": fill(name, _WIDTH),
            "color": COLOURS[i % len(COLOURS)],
            "ls": _LINES[i % len(_LINES)],
        }
        for i, name in enumerate(names)
    ]


def _height(names: Iterable[str]) -> float:
    """Return the height of a plot with these names below it, in inches."""
    return _HEIGHT + _LINE * sum(fill(name, _WIDTH).count("\n") + 1 for name in names)


def _legend_below(axes: Axes) -> None:
    """Put the names below each other under the axes, since they may be long."""
    axes.figure.legend(loc="outside lower left")


def render(draw: Callable[[Axes], None], fmt: str, height: float = _HEIGHT) -> bytes:
    """Draw a plot 7.2 inches wide, in the style of all plots, and return the file's bytes.

    Args:
        draw: Called with the axes.
        fmt: ``'svg'`` or ``'png'``.
        height: Height of the figure, inches.
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
