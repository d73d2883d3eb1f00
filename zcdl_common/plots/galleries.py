"""Grids of images: pairs, augmented patches, examples and worst cases."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from zcdl_common.plots import style
from zcdl_common.plots.images import (
    PixelSize,
    aspect,
    draw_source,
    name_below,
    name_panel,
    scale_bar,
    view_note,
)
from zcdl_common.plots.labels import LESS_IS_BETTER, metric_label
from zcdl_common.plots.segmentation import draw_errors, draw_segmentation
from zcdl_common.task import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Draw = Callable[..., Any]
"""``(axes, source, target or prediction, pixel_size=None) -> None``: ``Task.picture``."""


@dataclass(frozen=True)
class Example:
    """One test image and what was made of it; results are what the task's picture draws."""

    name: str
    source: Array
    """(Z)YXC."""
    network: Array
    truth: Array | None = None
    classical: Array | None = None
    score: float | None = None
    """Of the network."""
    classical_score: float | None = None


def pairs(
    sources: Sequence[Array],
    targets: Sequence[Array | None],
    names: Sequence[str] = (),
    *,
    draw: Draw = draw_segmentation,
    pixel_size: PixelSize = None,
    most: int = 4,
    label: str = "with its target",
) -> Figure:
    """Images above, below the same images with their targets, where there are any.

    Parameters
    ----------
    sources
        Images (Z)YXC; the first `most` are shown.
    targets
        What belongs to each, as `draw` takes it; None where there is none.
    names
        File names.
    """
    count = min(len(sources), most)
    if not count:
        return style.say_nothing_to_show(style.new_figure(6, 2), "There is no image to show.")
    aspects = [aspect(source, pixel_size) for source in sources[:count]]
    height = 2.5 * float(np.clip(max(aspects), 1.0, 1.6))
    rows = ["image"] + [label] * any(target is not None for target in targets)
    figure, grid = _grid([np.clip(height / ratio, 1.2, 5.0) for ratio in aspects], [height] * len(rows))
    notes = []
    for column in range(count):
        above, *below = grid[:, column]
        notes.append(draw_source(above, sources[column], pixel_size))
        scale_bar(above, sources[column].shape[-2], pixel_size)
        for axes in below:
            draw(axes, sources[column], targets[column], pixel_size=pixel_size)
        name_panel(above, style.shorten(names[column], 32) if column < len(names) else f"image {column + 1}")
    _name_rows(grid, rows)
    style.note_above(figure, notes)
    return figure


def patches(
    before: Sequence[tuple[Array, Array | None]],
    after: Sequence[tuple[Array, Array | None]],
    *,
    draw: Draw = draw_segmentation,
    names: Sequence[str] = ("as it is", "augmented"),
) -> Figure:
    """Patches as they are cut, and below each what augmentation makes of it in one draw.

    Parameters
    ----------
    before, after
        As many (source (Z)YXC, target) above as below; at most eight are shown.
    names
        Of both rows.
    """
    rows = [list(before)[:8], list(after)[:8]]
    if not rows[0]:
        return style.say_nothing_to_show(style.new_figure(6, 2), "There is no patch to show.")
    figure, grid = _grid([np.clip(1.6 / aspect(source), 0.6, 3.0) for source, _ in rows[0]], [1.6, 1.6])
    for axes, (source, target) in zip(grid.ravel(), rows[0] + rows[1], strict=True):
        draw(axes, source, target)
    _name_rows(grid, list(names))
    style.note_above(figure, [view_note(rows[0][0][0].ndim - 1)])
    return figure


def examples(
    rows: Sequence[Example],
    *,
    metric: str = "iou",
    classical: str = "classical method",
    draw: Draw = draw_segmentation,
    draw_error: Draw = draw_errors,
    pixel_size: PixelSize = None,
) -> Figure:
    """A row an image: input, truth, network, classical method, errors of the network.

    Parameters
    ----------
    rows
        Test images; four make a good figure.
    metric
        Name of the scores in `rows`.
    classical
        Name of the classical method.
    """
    if not rows:
        return style.say_nothing_to_show(style.new_figure(6, 2), "There is no test image to show.")
    titles = {
        "input": "input",
        "truth": "truth",
        "network": "network",
        "classical": style.shorten(classical, 26),
    }
    if all(row.classical is None for row in rows):
        del titles["classical"]
    if all(row.truth is None for row in rows):
        del titles["truth"]
    else:
        titles["errors"] = "errors of the network"
    figure, grid = table_of_images(rows, list(titles.values()), pixel_size)
    notes = []
    for line, row in zip(grid, rows, strict=True):
        panels = dict(zip(titles, line, strict=True))
        notes.append(draw_source(panels["input"], row.source, pixel_size))
        scale_bar(panels["input"], row.source.shape[-2], pixel_size)
        for kind, result, score in (
            ("truth", row.truth, None),
            ("network", row.network, row.score),
            ("classical", row.classical, row.classical_score),
        ):
            if kind in panels:
                _draw_or_blank(panels[kind], draw, row.source, result, pixel_size)
                if score is not None and result is not None:
                    name_below(panels[kind], f"{metric_label(metric)} {score:.3f}")
        if "errors" in panels:
            over = partial(draw_error, source=row.source)
            notes.append(_draw_or_blank(panels["errors"], over, row.truth, row.network, pixel_size))
    if "errors" in titles and draw_error is draw_errors:
        _error_legend(figure, rows)
    style.note_above(figure, notes)
    return figure


def worst(
    rows: Sequence[Example],
    *,
    metric: str = "iou",
    draw: Draw = draw_segmentation,
    draw_error: Draw = draw_errors,
    pixel_size: PixelSize = None,
    most: int = 6,
) -> Figure:
    """The images that score worse than the mean, each with its truth and its errors, the worst first.

    Where all score alike, one is shown.

    Parameters
    ----------
    rows
        All test images or some; those without a score or truth are left out.
    metric
        Name of the scores; decides whether low or high is bad.
    most
        How many are shown at most.
    """
    sign = -1 if metric in LESS_IS_BETTER else 1
    scored = [
        row for row in rows if row.score is not None and row.truth is not None and np.isfinite(row.score)
    ]
    scored = sorted(scored, key=lambda row: sign * (row.score or 0.0))
    mean = sum(sign * (row.score or 0.0) for row in scored) / max(1, len(scored))
    # rounding must not make one of equal images worse than their mean
    below = [row for row in scored if sign * (row.score or 0.0) < mean - 1e-9 * abs(mean)]
    scored = (below or scored[:1])[:most]
    if not scored:
        return style.say_nothing_to_show(style.new_figure(6, 2), "There is no scored test image to show.")
    across = min(3, len(scored))
    down = -(-len(scored) // across)
    lines = [scored[i * across : (i + 1) * across] for i in range(down)]
    heights = [
        np.clip(1.75 * max(aspect(row.source, pixel_size) for row in line), 0.5, 3.5) for line in lines
    ]
    figure, grid = _grid([1.75] * (2 * across), heights)
    for number, (left, right) in enumerate(grid.reshape(-1, 2)):
        if number >= len(scored):
            left.set_axis_off()
            right.set_axis_off()
            continue
        row = scored[number]
        draw(left, row.source, row.truth, pixel_size=pixel_size)
        meaning = draw_error(right, row.truth, row.network, pixel_size=pixel_size, source=row.source)
        name_panel(left, style.shorten(row.name, 22))
        name_panel(right, f"{metric_label(metric)} {row.score:.3f}")
        if number == 0:
            scale_bar(left, row.source.shape[-2], pixel_size)
    if draw_error is draw_errors:
        _error_legend(figure, scored)
    style.note_above(figure, [view_note(scored[0].source.ndim - 1), meaning or ""])
    return figure


def _draw_or_blank(
    axes: Axes, draw: Draw, first: Array | None, second: Array | None, pixel_size: PixelSize
) -> str:
    """Draw where there is something; what the drawing says of itself."""
    if first is None or second is None:
        axes.set_axis_off()
        return ""
    return draw(axes, first, second, pixel_size=pixel_size) or ""


def table_of_images(
    rows: Sequence[Example], titles: Sequence[str], pixel_size: PixelSize, side: float = 2.1
) -> tuple[Figure, Any]:
    """Axes `side` inches wide with a row for each image and a column for each title, both named."""
    heights = [float(np.clip(side * aspect(row.source, pixel_size), 0.3 * side, 2 * side)) for row in rows]
    figure, grid = _grid([side] * len(titles), heights)
    for axes, title in zip(grid[0], titles, strict=True):
        name_panel(axes, title, bold=True)
    _name_rows(grid, [style.shorten(row.name, 26) for row in rows], heights)
    return figure, grid


def _grid(widths: Sequence[float], heights: Sequence[float]) -> tuple[Figure, Any]:
    """Axes for images as wide as their column and as tall as their row, in inches."""
    width = max(2.4, sum(widths) + 0.1 * len(widths) + 0.3)
    figure = style.new_figure(width, sum(heights) + 0.3 * len(heights) + 0.6, "compressed")
    ratios: Any = {"width_ratios": widths, "height_ratios": heights}
    return figure, figure.subplots(len(heights), len(widths), squeeze=False, **ratios)


def _name_rows(grid: Any, names: Sequence[str], heights: Sequence[float] = ()) -> None:
    """Upright beside each row, or level where it is longer than the row is high (in inches)."""
    room = heights or [np.inf] * len(names)
    for axes, name, height in zip(grid[:, 0], names, room, strict=True):
        fits = len(name) * 0.65 * style.LABEL / 72 <= height
        level: Any = {} if fits else {"rotation": 0, "ha": "right", "va": "center"}
        axes.set_ylabel(style.literal(name), fontsize=style.LABEL, color=style.INK, **level)


def _error_legend(figure: Figure, rows: Sequence[Example]) -> None:
    from matplotlib.patches import Patch

    several = any(row.truth is not None and max(row.truth.max(), row.network.max()) > 1 for row in rows)
    kinds = ["right", "too much", "missed"] + ["wrong class"] * several
    handles = [Patch(facecolor=style.ERROR_COLOURS[k], edgecolor=style.FAINT, lw=0.5, label=k) for k in kinds]
    figure.legend(
        handles=handles, loc="outside lower center", ncols=len(kinds), fontsize=style.SMALL, frameon=False
    )
