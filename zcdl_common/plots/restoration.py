"""Pictures of restored images, and of how far they are from the truth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zcdl_common.plots import style
from zcdl_common.plots.comparison import METHODS
from zcdl_common.plots.galleries import Example, table_of_images
from zcdl_common.plots.images import PixelSize, draw_source, flatten, resize, show
from zcdl_common.plots.labels import metric_label
from zcdl_common.task import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FULL = 0.2
"""Error that is drawn white, in parts of the brightness range of the truth."""


def draw_restoration(axes: Axes, source: Array, image: Array | None, pixel_size: PixelSize = None) -> None:
    """Draw a clean or restored image (Z)YXC, or the source where there is none; ``Task.picture``."""
    draw_source(axes, source if image is None else image, pixel_size)


def draw_difference(
    axes: Axes, truth: Array, prediction: Array, pixel_size: PixelSize = None, source: Array | None = None
) -> str:
    """Draw the absolute error of a restored image (Z)YXC, mean over channels; return what it means.

    Truth and prediction are made comparable as for the scores: `zcdl_common.metrics.images`.
    """
    from zcdl_common.metrics.images import fit_to, normalise

    ndim = truth.ndim - 1
    true, found = (flatten(image, ndim, pixel_size) for image in (truth, prediction))
    true = normalise(true)
    _draw_share(axes, np.abs(fit_to(true, found) - true), truth)
    return f"errors: black none, white {FULL:.0%} of the brightness range or more"


def _draw_share(axes: Axes, error: Array, whole: Array) -> None:
    """Draw a flat picture (Y, X, C) in parts of the brightness range, of an image `whole` (Z)YXC."""
    from matplotlib import colormaps

    picture = colormaps["magma"](np.clip(resize(error.mean(axis=-1)) / FULL, 0, 1))[..., :3]
    show(axes, picture, error.shape[:2], whole.shape[1] if whole.ndim == 4 else 0)


def uncertainties(rows: Sequence[tuple[Example, Array]], title: str, pixel_size: PixelSize = None) -> Figure:
    """A row an image: input, predicted image, where the network is unsure, and the error that it makes.

    Parameters
    ----------
    rows
        Images, and the uncertainty (Z)YXC in the units of the predicted image. The errors are left out where
        an image has no truth.
    title
        What kind of uncertainty that is.
    """
    known = all(row.truth is not None for row, _ in rows)
    titles = ["input", "network", title, *["error it makes"] * known]
    figure, grid = table_of_images([row for row, _ in rows], titles, pixel_size, side=2.3)
    meaning = f"{title}: black none, white {FULL:.0%} of the brightness range or more"
    for line, (row, unsure) in zip(grid, rows, strict=True):
        whole = row.network if row.truth is None else row.truth
        draw_source(line[0], row.source, pixel_size)
        draw_source(line[1], row.network, pixel_size)
        low, high = np.percentile(whole.astype(float), [0.1, 99.9], axis=tuple(range(whole.ndim - 1)))
        flat = flatten(unsure, whole.ndim - 1, pixel_size)
        _draw_share(line[2], flat / np.where(high > low, high - low, np.inf), whole)
        if known:
            assert row.truth is not None
            meaning = draw_difference(line[3], row.truth, row.network, pixel_size)
    style.note_above(figure, [meaning])
    return figure


def planes(table: Any, metric: str) -> Figure:
    """Score of every plane of the test volumes by method: a line a volume, and their mean.

    Parameters
    ----------
    table
        slices.csv as DataFrame: image, method, z, and a column `metric`.
    """
    figure = style.new_figure(5.2, 3.0)
    axes = figure.subplots()
    for method in (who for who in METHODS if who in set(table["method"])):
        by_image = table[table["method"] == method].pivot(index="z", columns="image", values=metric)
        colour = style.COLOURS[method]
        axes.plot(by_image.index, by_image, color=colour, lw=0.7, alpha=0.4)
        axes.plot(by_image.index, by_image.mean(axis=1), color=colour, lw=2, label=method)
    style.tidy(axes, "plane (z)", metric_label(metric), "Plane by plane; bold: mean over volumes")
    style.whole_numbers(axes)
    axes.legend(fontsize=style.SMALL, frameon=False)
    return figure
