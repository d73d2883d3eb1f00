"""What a denoiser removed, as an image: noise should look like noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zcdl_common.plots import style
from zcdl_common.plots.galleries import Example
from zcdl_common.plots.images import PixelSize, aspect, draw_source, name_panel, resize, show
from zcdl_common.task import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FULL = 3.0
"""Standard deviations of the residual that are drawn black and white."""


def removed(
    rows: Sequence[Example], *, classical: str = "classical method", pixel_size: PixelSize = None
) -> Figure:
    """A row an image: input, network, what the network and the classical method removed.

    Parameters
    ----------
    rows
        Images with their results in the same units; four make a good figure.
    classical
        Name of the classical method.
    """
    titles = ["input", "network", "removed by the network", f"removed by {style.shorten(classical, 20)}"]
    heights = [float(np.clip(2.3 * aspect(row.source, pixel_size), 0.7, 4.6)) for row in rows]
    figure = style.new_figure(2.3 * 4 + 0.7, sum(heights) + 0.3 * len(heights) + 0.6, "compressed")
    ratios: Any = {"height_ratios": heights}
    grid = figure.subplots(len(rows), 4, squeeze=False, **ratios)
    for line, row, height in zip(grid, rows, heights, strict=True):
        draw_source(line[0], row.source, pixel_size)
        draw_source(line[1], row.network, pixel_size)
        draw_residual(line[2], row.source, row.network, pixel_size)
        if row.classical is None:
            line[3].set_axis_off()
        else:
            draw_residual(line[3], row.source, row.classical, pixel_size)
        line[0].set_ylabel(
            style.literal(style.shorten(row.name, max(8, int(10 * height)))),
            fontsize=style.LABEL,
            color=style.INK,
        )
    for axes, title in zip(grid[0], titles, strict=True):
        name_panel(axes, title, bold=True)
    style.note_above(figure, [f"removed: grey nothing, black and white {FULL:g} standard deviations"])
    return figure


def draw_residual(axes: Axes, source: Array, denoised: Array, pixel_size: PixelSize = None) -> None:
    """Draw source minus denoised image (Z)YXC, mean over channels; of a volume the middle plane.

    A projection would add up the noise of all planes, and hide structure in it.
    """
    residual = (source.astype(float) - denoised).mean(axis=-1)
    if residual.ndim == 3:
        residual = residual[len(residual) // 2]
    picture = resize(residual - residual.mean())
    grey = np.clip(0.5 + picture / (2 * FULL * (float(picture.std()) or 1.0)), 0, 1)
    show(axes, np.repeat(grey[..., None], 3, axis=-1), residual.shape)
