"""Plot the statistics of a part cache: parts per image, images per attribute, and scores."""

from __future__ import annotations

import io

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from detector.cache import PartCache
from detector.cache.records import FAILED
from pgan.visualization.plots import COLOURS, STYLE


def plot_cache(cache: PartCache, fmt: str = "png") -> bytes:
    """Plot the statistics of a part cache.

    A cache of masks has no labels and no scores, so only its parts per image are plotted.

    Args:
        cache: The part cache.
        fmt: ``'svg'`` or ``'png'``.

    Returns:
        The bytes of the file.
    """
    records = cache.records()
    read = records[records["count"] != FAILED]
    kept = np.arange(cache.max_parts) < read["count"][:, None]
    with matplotlib.rc_context(STYLE):
        boxes = not cache.mask_size
        figure = Figure(figsize=(7.2, 6.4 if boxes else 3.2), layout="constrained")
        figure.patch.set_facecolor("white")
        if boxes:
            axes = figure.subplot_mosaic([["count", "label"], ["score", "label"]])
            _draw_labels(axes["label"], cache, read, kept)
            _draw_scores(axes["score"], read["scores"][kept])
        else:
            axes = {"count": figure.add_subplot()}
        _draw_counts(axes["count"], read["count"], cache.max_parts)
        for each in axes.values():
            each.set_axisbelow(True)
        buffer = io.BytesIO()
        figure.savefig(
            buffer, format=fmt, dpi=160, metadata={"Date": None} if fmt == "svg" else None
        )
    return buffer.getvalue()


def _draw_counts(axes: Axes, counts: np.ndarray, most: int) -> None:
    numbers = np.bincount(counts, minlength=most + 1)
    axes.bar(range(len(numbers)), numbers, color=COLOURS[1], width=0.8)
    axes.set(xlabel="parts in an image", ylabel="images", xlim=(-0.6, most + 0.6))
    axes.xaxis.set_major_locator(matplotlib.ticker.MaxNLocator(integer=True))
    axes.grid(axis="y")


def _draw_labels(axes: Axes, cache: PartCache, read: np.ndarray, kept: np.ndarray) -> None:
    shares = np.array(
        [
            (kept & (read["labels"] == i)).any(1).mean() if len(read) else 0
            for i in range(len(cache.classes))
        ]
    )
    order = np.argsort(shares, kind="stable")
    bars = axes.barh(
        [cache.classes[i] for i in order], 100 * shares[order], color=COLOURS[0], height=0.7
    )
    axes.bar_label(bars, [f"{100 * shares[i]:.1f}" for i in order], padding=3)
    axes.set(xlabel="images with such a part, %", xlim=(0, 118), xticks=range(0, 101, 25))
    axes.tick_params(axis="y", length=0)


def _draw_scores(axes: Axes, scores: np.ndarray) -> None:
    axes.hist(scores, bins=40, range=(0, 1), color=COLOURS[2])
    axes.set(xlabel="score", ylabel="parts", xlim=(0, 1))
    axes.grid(axis="y")
