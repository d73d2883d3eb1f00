"""Scores of boxes as figures: precision and recall, which classes are confused, and how counts agree."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zcdl_common.plots import style
from zcdl_common.task import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from zcdl_common.metrics.detection_confidence import CountError, Curve
    from zcdl_common.metrics.statistics import Interval

DASHES = ("-", "--", "-.", ":")
MOST_PANELS = 6
"""Classes whose counts are shown; of more, the most frequent."""


def precision_recall_curves(
    curves: Mapping[str, Curve], confidence: float | None = None, ap: Mapping[str, Interval] | None = None
) -> Figure:
    """Precision over recall as the confidence threshold falls, a line a class.

    Parameters
    ----------
    curves
        By name of the class, from `zcdl_common.metrics.detection_confidence.precision_recall`.
    confidence
        The threshold in use, marked on each line.
    ap
        AP at an IoU of 0.5 by name of the class, with its interval, for the legend.
    """
    known = {name: curve for name, curve in curves.items() if not np.isnan(curve.recall).any()}
    if not any(curve.recall.size for curve in known.values()):
        reason = "In the test images no box of a class that they hold was found."
        return style.say_nothing_to_show(style.new_figure(6, 2), reason)
    figure = style.new_figure(5.6, 3.1)
    axes = figure.subplots()
    for n, (name, curve) in enumerate(known.items()):
        colour, dashes = style.LINE_COLOURS[n % 4], DASHES[(n + n // 4) % 4]  # 16 lines that differ
        line: Any = {"color": colour, "linestyle": dashes}
        label = _with_interval(name, ap) if curve.recall.size else f"{_short(name)}: nothing found"
        axes.plot(curve.recall, curve.precision, lw=1.6, label=label, **line)
        above = int((curve.confidence >= confidence).sum()) if confidence is not None else 0
        if above:
            at = curve.recall[above - 1], curve.precision[above - 1]
            axes.plot(*at, "o", color=line["color"], markersize=6, markeredgecolor="white")
    if confidence is not None:
        axes.plot([], [], "o", color=style.FAINT, markersize=5, label=f"confidence {confidence:.2f}, in use")
    axes.set(xlim=(0, 1.02), ylim=(0, 1.02), aspect="equal")
    axes.legend(fontsize=style.SMALL, frameon=False, loc="center left", bbox_to_anchor=(1.02, 0.5))
    style.tidy(axes, "recall", "precision", "Precision and recall (IoU of 0.5 or more)")
    return figure


def _with_interval(name: str, ap: Mapping[str, Interval] | None) -> str:
    if ap is None or name not in ap:
        return _short(name)
    bounds = "" if ap[name].low is None else f" ({ap[name].low:.2f} to {ap[name].high:.2f})"
    return f"{_short(name)}: AP {ap[name].mean:.2f}{bounds}"


def _short(name: str) -> str:
    return style.literal(style.shorten(name, 24))


def confusion_matrix(table: Array, names: Sequence[str]) -> Figure:
    """Numbers of boxes by true class (rows) and found class (columns), shaded by their share of the row.

    Parameters
    ----------
    table
        int (K + 1, K + 1) from `zcdl_common.metrics.detection_confidence.confusion`; the last row and column
        are the background.
    names
        Of the classes, (K,).
    """
    from matplotlib.colors import LinearSegmentedColormap

    count = len(table)
    whole = table.sum(1, keepdims=True)
    share = np.divide(table, whole, out=np.zeros(table.shape), where=whole > 0)
    side = 0.62 * count
    figure = style.new_figure(side + 2.2, side + 1.4)
    axes = figure.subplots()
    blues = LinearSegmentedColormap.from_list("shares", ["#ffffff", style.COLOURS["network"]])
    axes.imshow(share, cmap=blues, vmin=0, vmax=1)
    size = style.LABEL if table.max(initial=0) < 10_000 else style.SMALL - 1
    for (row, column), number in np.ndenumerate(table):
        empty = row == column == count - 1  # what nobody marked cannot be counted
        axes.text(
            column,
            row,
            "" if empty else f"{number}",
            ha="center",
            va="center",
            fontsize=size,
            color="white" if share[row, column] > 0.55 else style.INK,
        )
    labels = [_short(name) for name in names]
    axes.set_xticks(range(count), [*labels, "missed"], rotation=35, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(count), [*labels, "nothing there"])
    style.tidy(axes, "found as", "truth", "Boxes by class (IoU of 0.5 or more)")
    axes.grid(False)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    return figure


def counts(
    true: Array, found: Array, names: Sequence[str], errors: Sequence[CountError] | None = None
) -> Figure:
    """Boxes found in each image over true ones, a panel a class; larger dots are several images.

    Parameters
    ----------
    true, found
        int (N, K), images and classes.
    names
        Of the classes, (K,).
    errors
        Of each class, from `zcdl_common.metrics.detection_confidence.count_errors`.
    """
    if not true.size:
        return style.say_nothing_to_show(style.new_figure(6, 2), "There is no test image to count in.")
    order = np.argsort(-(true + found).sum(0), kind="stable")[:MOST_PANELS]
    shown = [c for c in sorted(order) if (true[:, c] + found[:, c]).any()] or [0]
    across = min(3, len(shown))
    figure = style.new_figure(2.6 * across + 0.3, 2.9 * -(-len(shown) // across) + 0.2)
    panels = figure.subplots(-(-len(shown) // across), across, squeeze=False).ravel()
    for axes, c in zip(panels, shown, strict=False):
        _scatter(axes, true[:, c], found[:, c])
        title = _short(names[c])
        style.tidy(
            axes,
            "true boxes in an image",
            "boxes found",
            title if errors is None else f"{title}\n{_bias(errors[c])}",
        )
    for axes in panels[len(shown) :]:
        axes.set_axis_off()
    return figure


def _scatter(axes: Axes, true: Array, found: Array) -> None:
    from matplotlib.ticker import MaxNLocator

    places, images = np.unique(np.stack([true, found], 1), axis=0, return_counts=True)
    top = max(1, int(places.max())) * 1.06 + 0.5
    axes.plot([0, top], [0, top], color=style.FAINT, lw=1)
    axes.scatter(
        places[:, 0],
        places[:, 1],
        s=14 * np.sqrt(images),
        color=style.COLOURS["network"],
        alpha=0.6,
        linewidths=0,
    )
    low = -0.03 * top
    axes.set(xlim=(low, top), ylim=(low, top), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(MaxNLocator(5, integer=True))


def _bias(error: CountError) -> str:
    bias = error.bias
    bounds = "" if bias.low is None else f" ({bias.low:+.1f} to {bias.high:+.1f})"
    return f"bias {bias.mean:+.1f}{bounds}, off by {error.absolute.mean:.1f}".replace("-", "−")
