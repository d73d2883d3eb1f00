"""Network against classical method, image by image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from zcdl_common.plots import style
from zcdl_common.plots.labels import better, metric_label, number
from zcdl_common.task import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

METHODS = {"input": "input_", "classical": "classical_", "network": ""}
"""Who is scored -> how its columns of metrics.csv begin."""


FAR_APART = 50
"""Ratio of the largest score to the smallest above which their axis is logarithmic."""


def scores(table: Any, summary: Mapping[str, Any] | None = None, metrics: tuple[str, ...] = ()) -> Figure:
    """Every test image as a line from the classical method to the network, with means and intervals.

    Parameters
    ----------
    table
        metrics.csv as rows, columns or DataFrame.
    summary
        summary.json: means, bootstrap intervals and the name of the classical method.
    metrics
        Which scores to show; empty: the first four of the summary, the deciding one in front.
    """
    data, summary = style.columns(table), summary or {}
    shown = [key for key in metrics or _main_metrics(data, summary) if key in data][:4]
    if not shown or not data[shown[0]]:
        return style.say_nothing_to_show(style.new_figure(6, 2), "No test image has been scored yet.")
    figure = style.new_figure(2.5 * len(shown) + 0.6, 3.3)
    for axes, key in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        _paired_dots(axes, data, key, summary.get("metrics", {}).get(key, {}))
    count = len(data[shown[0]])
    what = "image" if summary.get("learned_from") else "test image"
    lines = "every line is an image" if count > 1 else "one image"
    means = summary.get("metrics", {})
    known = any((method or {}).get("ci95") for key in shown for method in (means.get(key) or {}).values())
    bars = "bars are mean and 95 % interval" if known else "bars are means (too few images for an interval)"
    style.headline(figure, f"{count} {what}{'s' * (count != 1)}: {lines}, {bars}")
    return figure


def _main_metrics(data: Mapping[str, Any], summary: Mapping[str, Any]) -> list[str]:
    keys = list(summary.get("metrics", {})) or [
        name for name in data if name != "image" and not name.startswith(("classical_", "input_"))
    ]
    primary = summary.get("primary")
    return sorted(keys, key=lambda key: key != primary)


def _paired_dots(axes: Axes, data: Mapping[str, list[Any]], key: str, stats: Mapping[str, Any]) -> None:
    methods = [who for who, prefix in METHODS.items() if prefix + key in data]
    values = np.array([style.numbers(data[METHODS[who] + key]) for who in methods])
    axes.plot(
        range(len(methods)), values, color="#999999", lw=0.7, alpha=max(0.12, 0.6 - values.shape[1] / 100)
    )
    for x, who in enumerate(methods):
        axes.plot(
            np.full(values.shape[1], x), values[x], "o", color=style.COLOURS[who], markersize=3.5, alpha=0.6
        )
        _mean_bar(axes, x, values[x], stats.get(who) or {}, style.COLOURS[who])
    finite = values[np.isfinite(values)]
    if finite.size and finite.min() > 0 and finite.max() > FAR_APART * finite.min():
        axes.set_yscale("log")
    style.tidy(axes, "", metric_label(key), f"{better(key)} is better" if better(key) else "")
    axes.title.set(fontsize=style.SMALL, color=style.FAINT)
    axes.grid(False, axis="x")
    axes.set_xticks(range(len(methods)), methods, fontsize=style.SMALL)
    axes.set_xlim(-0.5, len(methods) - 0.35)
    axes.margins(y=0.1)


def _mean_bar(axes: Axes, x: int, values: Array, stats: Mapping[str, Any], colour: str) -> None:
    finite = values[np.isfinite(values)]
    if not finite.size:
        return
    mean = stats.get("mean")
    mean = float(finite.mean()) if mean is None else float(mean)
    if stats.get("ci95"):
        low, high = stats["ci95"]
        axes.plot([x + 0.2, x + 0.2], [low, high], color=colour, lw=5, alpha=0.45, solid_capstyle="butt")
    axes.plot([x + 0.12, x + 0.28], [mean, mean], color=colour, lw=2.2)
    where: Any = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
    axes.annotate(number(mean), (x + 0.28, mean), fontsize=style.SMALL, color=style.INK, **where)
