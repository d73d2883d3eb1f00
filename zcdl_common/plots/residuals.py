"""What a denoiser removed, as an image: noise should look like noise."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zcdl_common.plots import style
from zcdl_common.plots.galleries import Example, table_of_images
from zcdl_common.plots.images import PixelSize, draw_source, resize, show
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
    figure, grid = table_of_images(rows, titles, pixel_size, side=2.3)
    for line, row in zip(grid, rows, strict=True):
        draw_source(line[0], row.source, pixel_size)
        draw_source(line[1], row.network, pixel_size)
        draw_residual(line[2], row.source, row.network, pixel_size)
        if row.classical is None:
            line[3].set_axis_off()
        else:
            draw_residual(line[3], row.source, row.classical, pixel_size)
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
