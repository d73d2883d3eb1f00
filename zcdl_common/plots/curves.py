"""Numbers over epochs and thresholds."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zcdl_common.plots import style
from zcdl_common.plots.images import PixelSize, aspect, draw_source, name_panel, scale_bar
from zcdl_common.plots.labels import metric_label
from zcdl_common.plots.segmentation import draw_segmentation
from zcdl_common.task import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[..., Any]
"""``(axes, source, target or prediction, pixel_size=None) -> None``: ``Task.picture``."""


def losses(table: Any, best: int | None = None, *, picked: bool = True) -> Figure:
    """Training curves: loss on a linear and a logarithmic scale, learning rate, validation scores.

    Parameters
    ----------
    table
        losses.csv as rows, columns or DataFrame: ``epoch``, ``loss``, ``val_loss``,
        ``learning_rate`` and others. Columns that start with ``val_`` get a panel of their own.
    best
        Epoch whose weights are kept as the best; None: the one of the smallest ``val_loss``.
    picked
        Whether an epoch is picked at all; else none is marked, for the last one is kept.
    """
    data = style.columns(table)
    epochs = style.numbers(data.get("epoch", []))
    if not epochs:
        return style.say_nothing_to_show(style.new_figure(6, 2), "No epoch has been trained yet.")
    best = (best_epoch(table) if best is None else best) if picked else None
    others = [name for name in data if name.startswith("val_") and name != "val_loss"][:4]
    panels = ["linear"] + (["log"] if _positive(data) else []) + (["scores"] if others else [])
    has_rate = "learning_rate" in data
    figure = style.new_figure(3.3 * len(panels) + 0.2, 3.6 if has_rate else 2.9)
    rows = [panels] + ([["rate"] * len(panels)] if has_rate else [])
    ratios = {"height_ratios": [4, 1]} if has_rate else {}
    axes = figure.subplot_mosaic(rows, gridspec_kw=ratios)  # type: ignore[arg-type]
    for panel, scale in (("linear", "linear"), ("log", "log")):
        if panel in axes:
            _loss_lines(axes[panel], data, epochs, best)
            axes[panel].set_yscale(scale)
            style.tidy(axes[panel], "epoch", "loss", f"Loss, {scale} scale")
            style.plain_ticks(axes[panel])
    if others:
        _score_lines(axes["scores"], data, epochs, others)
    if has_rate:
        rates, marker = style.numbers(data["learning_rate"]), _marker(epochs)
        axes["rate"].plot(epochs, rates, color=style.COLOURS["rate"], lw=1.4, marker=marker, markersize=4)
        axes["rate"].set_ylim(bottom=0)
        axes["rate"].ticklabel_format(axis="y", style="sci", scilimits=(-2, 2))
        axes["rate"].yaxis.get_offset_text().set_fontsize(style.SMALL)
        style.tidy(axes["rate"], "epoch", "rate", "Learning rate")
    for each in axes.values():
        style.whole_numbers(each)
    return figure


def best_epoch(table: Any) -> int | None:
    """Epoch with the smallest finite ``val_loss``; None where there is none."""
    data = style.columns(table)
    values = np.array(style.numbers(data.get("val_loss", [])))
    if not np.isfinite(values).any():
        return None
    return int(data["epoch"][int(np.nanargmin(np.where(np.isfinite(values), values, np.nan)))])


def live(
    table: Any,
    source: Array,
    prediction: Array,
    truth: Array | None = None,
    score: float | None = None,
    *,
    metric: str = "",
    draw: Draw = draw_segmentation,
    pixel_size: PixelSize = None,
    best: int | None = None,
    picked: bool = True,
) -> Figure:
    """While training: the loss so far, and what the network now says of one held-out image.

    Parameters
    ----------
    table
        The losses so far.
    source
        Held-out image (Z)YXC.
    prediction, truth
        What `draw` draws over it.
    score
        Score of this prediction, shown with the name of `metric`.
    best, picked
        As for `losses`.
    """
    data = style.columns(table)
    epochs = style.numbers(data.get("epoch", []))
    pictures = {"image": None, "network": prediction} | ({"truth": truth} if truth is not None else {})
    tall = aspect(source, pixel_size)
    height = 2.4 if tall < 1.3 else 3.2
    widths = [3.4] + [float(np.clip(height / tall, 1.2, 4.5))] * len(pictures)
    figure = style.new_figure(sum(widths) + 0.4, height + 0.6)
    curve, *panels = figure.subplots(1, len(widths), width_ratios=widths)
    _loss_lines(curve, data, epochs, (best_epoch(table) if best is None else best) if picked else None)
    if _positive(data):
        curve.set_yscale("log")
    style.tidy(curve, "epoch", "loss", "Loss")
    style.plain_ticks(curve)
    style.whole_numbers(curve)
    for axes, (name, result) in zip(panels, pictures.items(), strict=True):
        if result is None:
            style.note_above(figure, [draw_source(axes, source, pixel_size)])
            scale_bar(axes, source.shape[-2], pixel_size)
        else:
            draw(axes, source, result, pixel_size=pixel_size)
        name_panel(axes, name)
    if score is not None:
        panels[1].set_xlabel(f"{metric_label(metric) or 'score'} {score:.3f}", fontsize=style.LABEL)
    return figure


def threshold_curve(
    thresholds: Sequence[float], scores: Sequence[float], chosen: float, label: str = "IoU"
) -> Figure:
    """Score of the validation images over the probability threshold, with the chosen one marked.

    Parameters
    ----------
    thresholds
        Probabilities, 0 to 1.
    scores
        Score at each.
    chosen
        The threshold that is used from now on.
    label
        What the score is.
    """
    figure = style.new_figure(4.6, 2.9)
    axes = figure.subplots()
    colour = style.COLOURS["network"]
    axes.plot(
        thresholds, scores, color=colour, lw=1.8, marker="o" if len(thresholds) < 30 else "", markersize=3
    )
    axes.axvline(chosen, color=style.COLOURS["best"], lw=1.4, linestyle="--")
    axes.set_xlim(0, 1)
    title = f"Threshold {chosen:.2f}, chosen on validation images"
    style.tidy(axes, "threshold on the probability", label, title)
    return figure


def kept(table: Mapping[str, Sequence[float]], metric: str, best: int) -> Figure:
    """Score of the weights that were kept along a training: of validation images, and of test images.

    Parameters
    ----------
    table
        Columns ``epoch`` and ``test``, and ``validation`` where those images were scored alike.
    metric
        Name of the score.
    best
        The epoch whose weights are used.
    """
    figure = style.new_figure(4.6, 2.9)
    axes = figure.subplots()
    for column, who, label in (
        ("validation", "validation", "validation images"),
        ("test", "network", "test images"),
    ):
        if column in table:
            axes.plot(
                table["epoch"],
                table[column],
                "o-",
                color=style.COLOURS[who],
                lw=1.6,
                markersize=4,
                label=label,
            )
    axes.axvline(best, color=style.COLOURS["best"], lw=1.4, linestyle="--", label=f"used: epoch {best}")
    axes.legend(fontsize=style.SMALL, framealpha=0.9, edgecolor="none", loc="best")
    style.whole_numbers(axes)
    style.tidy(axes, "epoch", metric_label(metric), "Weights kept along the training")
    return figure


def _loss_lines(axes: Axes, data: dict[str, list[Any]], epochs: list[float], best: int | None) -> None:
    marker = _marker(epochs)
    for column, who in (("loss", "train"), ("val_loss", "validation")):
        if column in data:
            values = style.numbers(data[column])
            axes.plot(
                epochs, values, color=style.COLOURS[who], lw=1.6, marker=marker, markersize=4, label=who
            )
            if best in epochs and column == "val_loss":
                at = epochs.index(best)
                axes.plot(
                    best,
                    values[at],
                    "D",
                    color=style.COLOURS["best"],
                    markersize=6,
                    label=f"best: epoch {best}",
                )
    if data.get("epoch"):
        axes.legend(fontsize=style.SMALL, frameon=False, loc="best")


def _score_lines(axes: Axes, data: dict[str, list[Any]], epochs: list[float], names: list[str]) -> None:
    marker = _marker(epochs)
    for name, colour, line in zip(names, style.LINE_COLOURS, ("-", "--", "-.", ":"), strict=False):
        label = metric_label(name.removeprefix("val_"))
        axes.plot(
            epochs, style.numbers(data[name]), color=colour, ls=line, lw=1.6, marker=marker, label=label
        )
    axes.legend(fontsize=style.SMALL, frameon=False, loc="best")
    style.tidy(axes, "epoch", "score", "Scores of the validation images")


def _marker(epochs: list[float]) -> str:
    """Points where a line would be too short to see, or none at all."""
    return "o" if len(epochs) < 3 else ""


def _positive(data: dict[str, list[Any]]) -> bool:
    """Whether a logarithmic scale can show the losses: those of some networks fall below zero."""
    values = np.array(style.numbers(data.get("loss", [])) + style.numbers(data.get("val_loss", [])))
    values = values[np.isfinite(values)]
    return bool(values.size and values.min() > 0)
