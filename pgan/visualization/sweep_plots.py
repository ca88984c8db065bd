"""Plot a sweep: a metric against the varied setting, with error bars and published numbers."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from numbers import Real
from typing import Any

from matplotlib.axes import Axes

from pgan.visualization.plots import COLOURS, render


def sweep_plot(
    lines: Mapping[str, Mapping[Any, Sequence[float]]],
    xlabel: str,
    ylabel: str = "mAP, %",
    references: Mapping[str, Sequence[float]] | None = None,
    published: Mapping[str, Mapping[Any, float]] | None = None,
    fmt: str = "svg",
) -> bytes:
    """Plot means with error bars of one standard deviation (N - 1).

    If all x are numbers they are joined by a line, in ascending order; otherwise they are category names.

    Args:
        lines: Name -> x -> one value per seed. A single line may have the name ``''``.
        xlabel: The setting that was varied.
        ylabel: The metric.
        references: Name -> one value per seed, drawn as a horizontal line, such as a baseline.
        published: Source of published numbers -> x -> value, drawn as hollow marks.
        fmt: ``'svg'`` or ``'png'``.

    Returns:
        The bytes of the file.

    Raises:
        ValueError: There is nothing to plot.

    Example:
        >>> svg = sweep_plot({"": {4: [50.0, 51.0], 8: [52.0, 53.0]}}, xlabel="parts")
        >>> svg.startswith(b"<?xml")
        True
    """
    xs = list(dict.fromkeys(x for points in lines.values() for x in points))
    if not xs:
        raise ValueError(f"there is nothing to plot: {ylabel} by {xlabel}")
    numeric = all(isinstance(x, Real) and not isinstance(x, bool) for x in xs)
    xs = sorted(xs) if numeric else xs
    place = {x: x if numeric else i for i, x in enumerate(xs)}

    def draw(axes: Axes) -> None:
        for index, (name, values) in enumerate((references or {}).items()):
            _across(axes, name, values, COLOURS[(index + 1) % len(COLOURS)])
        for index, (name, points) in enumerate(lines.items()):
            colour = COLOURS[(2 * index) % len(COLOURS)]
            present = [x for x in xs if x in points]
            means = [statistics.fmean(points[x]) for x in present]
            bars = [statistics.stdev(points[x]) if len(points[x]) > 1 else 0 for x in present]
            joined: dict[str, Any] = {"marker": "os^Dv"[index % 5], "ls": "-" if numeric else ""}
            # Lines of categories are shifted sideways, so that their bars do not overlap.
            shift = 0 if numeric else 0.1 * (index - (len(lines) - 1) / 2)
            at = [place[x] + shift for x in present]
            axes.errorbar(at, means, bars, color=colour, capsize=3, label=name or "ours", **joined)
            if len(lines) == 1:
                _write_above(axes, at, means, bars)
        _published(axes, published or {}, place)
        axes.set(xlabel=xlabel, ylabel=ylabel)
        if numeric and 0 < 8 * min(xs) < max(xs):
            axes.set_xscale("log", base=2)
            axes.minorticks_off()
        axes.set_xticks(list(place.values()), [str(x) for x in xs])
        if not numeric and sum(len(str(x)) for x in xs) > 60:
            axes.tick_params(axis="x", rotation=30)
        axes.margins(x=0.08, y=0.2)
        if len(lines) > 1 or references or published:
            axes.legend(loc="best")

    return render(draw, fmt)


def _write_above(
    axes: Axes, at: Sequence[float], means: Sequence[float], bars: Sequence[float]
) -> None:
    for x, mean, bar in zip(at, means, bars):
        top = (x, mean + bar)
        axes.annotate(f"{mean:.1f}", top, (0, 5), textcoords="offset points", ha="center")


def _published(
    axes: Axes, published: Mapping[str, Mapping[Any, float]], place: Mapping[Any, float]
) -> None:
    for index, (name, points) in enumerate(published.items()):
        shown = {place[x]: y for x, y in points.items() if x in place}
        style: dict[str, Any] = {
            "marker": "dPX*"[index % 4],
            "ms": 8,
            "mfc": "none",
            "ls": "",
            "zorder": 3,
        }
        axes.plot(list(shown), list(shown.values()), color=COLOURS[5], label=name, **style)


def _across(axes: Axes, name: str, values: Sequence[float], colour: str) -> None:
    mean = statistics.fmean(values)
    if len(values) > 1:
        std = statistics.stdev(values)
        axes.axhspan(mean - std, mean + std, color=colour, alpha=0.15, lw=0)
    axes.axhline(mean, color=colour, ls="--", label=f"{name}, {mean:.1f}")
