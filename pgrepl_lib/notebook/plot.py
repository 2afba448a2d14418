"""Plots, for where people would rather look than read.

Their paper is the page's, light or dark: all colours can be seen on both.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from ..doors import ahead, show
from ..words.text import t

if TYPE_CHECKING:
    import pandas

# Each colour also has its own line style.
COLOURS = ("#336791", "#c8553d", "#4f8a3d", "#8a5a9e", "#b08900", "#3d8a8a")
STYLES = ("-", "--", "-.", ":")
INK = "#777777"  # of text and axes


@ahead.measured
def lag(samples: pandas.DataFrame) -> None:
    """Each replica's lag over time, in MB above and in seconds below."""
    figure, axes = _figure(2)
    for number, (name, rows) in enumerate(samples.groupby("name")):
        look = {
            "color": COLOURS[number % len(COLOURS)],
            "linestyle": STYLES[number % len(STYLES)],
            "linewidth": 2,
            "label": name,
        }
        axes[0].plot(rows["time"], rows["bytes"] / 1024**2, **look)
        axes[1].plot(rows["time"], rows["seconds"], **look)
    for axis, label in zip(axes, (t("lag (MB)"), t("lag (s)")), strict=True):
        axis.set_ylabel(label)
        axis.set_ylim(bottom=0)
    axes[0].legend(loc="upper left", frameon=False, labelcolor=INK)
    axes[1].set_xlabel(t("time (s)"))
    most = [
        t("{name}: up to {size:.1f} MB", name=name, size=rows["bytes"].max() / 1024**2)
        for name, rows in samples.groupby("name")
    ]
    _show(figure, t("The lag over time; {most}", most=", ".join(most)))


@ahead.measured
def writes(times: Sequence[float]) -> None:
    """Confirmed rows per tenth of a second over time; the longest gap is marked and named."""
    figure, (axis,) = _figure(1)
    last = max(times, default=0.0)
    axis.hist(times, bins=max(1, int(10 * last)), color=COLOURS[0])
    gap, start, end = max(((b - a, a, b) for a, b in pairwise(times)), default=(0.0, 0.0, 0.0))
    told = t("without writes: {gap:.2f} s", gap=gap)
    axis.axvspan(start, end, color=COLOURS[1], alpha=0.3, label=told)
    axis.legend(loc="lower left", bbox_to_anchor=(0, 1), frameon=False, labelcolor=INK)
    axis.set_xlabel(t("time (s)"))
    axis.set_ylabel(t("rows / 0.1 s"))
    _show(figure, t("Confirmed rows per tenth of a second; {told}", told=told))


def _figure(count: int) -> tuple[Any, Any]:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 2.4 * count), layout="constrained")
    axes = [figure.add_subplot(count, 1, n + 1) for n in range(count)]
    for axis in axes:
        axis.grid(alpha=0.3, color=INK)
        axis.spines[["top", "right"]].set_visible(False)
        axis.spines[["bottom", "left"]].set_color(INK)
        axis.tick_params(colors=INK)
        axis.xaxis.label.set_color(INK)
        axis.yaxis.label.set_color(INK)
    return figure, axes


def _show(figure: Any, alt: str) -> None:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=110, transparent=True, metadata={"Software": None})
    show.png(content.getvalue(), alt)
