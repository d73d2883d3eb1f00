"""Molecules that were located: points over frames, super-resolved images, and what judges them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zcdl_common.metrics.error_map import ErrorMap
from zcdl_common.metrics.frc import THRESHOLD, Curve
from zcdl_common.plots import style
from zcdl_common.plots.images import PixelSize, contrast, name_below, name_panel, resize, scale_bar, show
from zcdl_common.smlm.localisations import nanometres
from zcdl_common.task import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

SIDE = 640
"""About how many pixels of a super-resolved image are shown along its longer side."""
BRIGHTEST = 99.5
"""Percentile of the pixels with molecules that is drawn brightest: few crossings must not darken the rest."""


def draw_points(axes: Axes, frame: Array, found: Array | None = None, truth: Array | None = None) -> str:
    """Draw positions YX in pixels (N, 2) over a frame (Y, X); return what the signs mean."""
    show(axes, contrast(resize(frame))[..., None].repeat(3, axis=-1), (frame.shape[0], frame.shape[1]))
    notes = []
    if truth is not None:
        colour = style.ERROR_COLOURS["missed"]
        axes.plot(truth[:, 1], truth[:, 0], "o", ms=6, mfc="none", mec=colour, mew=1.1, ls="none")
        notes.append("circles: true positions")
    if found is not None:
        axes.plot(found[:, 1], found[:, 0], "+", ms=6, color=style.ERROR_COLOURS["too much"], mew=1.3)
        notes.append("crosses: found positions")
    return ", ".join(notes)


def points(frames: Sequence[tuple[str, Array, Array | None, Array | None]], pixel_size: PixelSize) -> Figure:
    """Frames with their positions, side by side.

    Parameters
    ----------
    frames
        Title, frame (Y, X), found and true positions YX in pixels (N, 2) or None; three make a good figure.
    pixel_size
        YX in micrometres, for the scale bar.
    """
    figure = style.new_figure(3.2 * len(frames) + 0.2, 3.5, "compressed")
    notes = []
    for axes, (title, frame, found, truth) in zip(_row(figure, len(frames)), frames, strict=True):
        notes.append(draw_points(axes, frame, found, truth))
        scale_bar(axes, frame.shape[1], pixel_size)
        name_panel(axes, title)
    style.note_above(figure, notes)
    return figure


def draw_rendered(axes: Axes, image: Array, magnification: int = 1) -> None:
    """Draw a super-resolved image (Y, X), in coordinates of camera pixels."""
    from matplotlib import colormaps

    small = resize(image, SIDE)
    lit = small[small > 0.01 * small.max()] if small.any() else small.ravel()
    top = float(np.percentile(lit, BRIGHTEST)) or 1.0
    picture = colormaps["inferno"](np.clip(small / top, 0, 1))[..., :3]
    show(axes, picture, (image.shape[0] // magnification, image.shape[1] // magnification))


def superresolved(
    widefield: Array, images: Mapping[str, Array], pixel_size: PixelSize, magnification: int
) -> Figure:
    """The widefield image, and super-resolved ones of the same field beside it.

    Parameters
    ----------
    widefield
        Mean of the frames (Y, X).
    images
        By title, each (Y * magnification, X * magnification).
    pixel_size
        YX of a camera pixel in micrometres.
    magnification
        Fine pixels a side of a camera pixel.
    """
    figure = style.new_figure(3.6 * (1 + len(images)) + 0.2, 3.9, "compressed")
    first, *others = _row(figure, 1 + len(images))
    draw_rendered(first, widefield - widefield.min())
    name_panel(first, "widefield (mean of the frames)")
    for axes, (title, image) in zip(others, images.items(), strict=True):
        draw_rendered(axes, image, magnification)
        name_panel(axes, title)
    for axes in (first, *others):
        scale_bar(axes, widefield.shape[1], pixel_size)
    return figure


def errors(widefield: Array, found: ErrorMap, pixel_size: PixelSize) -> Figure:
    """Widefield image, super-resolved one as the microscope would have seen it, and their difference."""
    from matplotlib import colormaps

    figure = style.new_figure(10.0, 3.9, "compressed")
    low, high = np.percentile(widefield, [0.1, 99.9])
    span = (high - low) or 1.0
    panels = {
        "widefield": (widefield - low) / span,
        "super-resolved, blurred": (found.seen - low) / span,
        "difference": found.error / (0.2 * span),
    }
    grid = _row(figure, 3)
    for axes, (title, image) in zip(grid, panels.items(), strict=True):
        picture = colormaps["inferno"](np.clip(resize(image), 0, 1))[..., :3]
        show(axes, picture, (image.shape[0], image.shape[1]))
        scale_bar(axes, image.shape[1], pixel_size)
        name_panel(axes, title)
    name_below(grid[1], f"point spread: standard deviation {found.sigma:.2f} pixels")
    name_below(grid[2], f"correlation (RSP) {found.rsp:.3f}, error (RSE) {found.rse:.3g}")
    style.note_above(figure, ["difference: black none, brightest 20% of the range of the widefield image"])
    return figure


def correlation_curve(curve: Curve) -> Figure:
    """Fourier ring correlation over frequency, with the threshold and the resolution."""
    figure = style.new_figure(4.6, 3.0)
    axes = figure.subplots()
    microns = 1000 * curve.frequency
    axes.plot(microns, curve.correlation, color=style.GRID, lw=0.9)
    axes.plot(microns, curve.smooth, color=style.COLOURS["network"], lw=1.8)
    axes.axhline(THRESHOLD, color=style.FAINT, lw=1, ls="--")
    known = np.isfinite(curve.resolution)
    if known:
        axes.plot(1000 / curve.resolution, THRESHOLD, "o", color=style.COLOURS["best"], ms=6)
    title = (
        f"Resolution {curve.resolution:.0f} nm"
        if known
        else "The halves agree at every frequency, or at none"
    )
    style.tidy(axes, "cycles a micrometre", "Fourier ring correlation", title)
    axes.set_ylim(-0.2, 1.05)
    return figure


def drift_curve(drift: Array, pixel_size: Sequence[float]) -> Figure:
    """Drift (frames, 2) YX in camera pixels, drawn in nanometres."""
    figure = style.new_figure(4.6, 2.8)
    axes = figure.subplots()
    for along, name, colour, dashes in zip(
        (drift * nanometres(pixel_size)).T, "yx", style.LINE_COLOURS, ("-", "--"), strict=False
    ):
        axes.plot(along, color=colour, ls=dashes, lw=1.8, label=name)
    style.tidy(axes, "frame", "drift (nm)", "Drift against the first frame")
    axes.legend(fontsize=style.SMALL, frameon=False)
    return figure


def density_curves(rows: Mapping[str, Sequence[Mapping[str, Any]]]) -> Figure:
    """Jaccard index and lateral error over local density, a line a method.

    Parameters
    ----------
    rows
        By method ("network", "classical"), from `zcdl_common.metrics.localisation.by_density`.
    """
    figure = style.new_figure(7.0, 2.9)
    panels = figure.subplots(1, 2)
    starts = sorted(
        {row["density_from"]: row["density_to"] for bins in rows.values() for row in bins}.items()
    )
    place = {low: number for number, (low, _) in enumerate(starts)}
    worst = max((row["rmse_nm"] for bins in rows.values() for row in bins if row["n_matched"]), default=1.0)
    for method, bins in rows.items():
        start = [place[row["density_from"]] for row in bins]
        for axes, key in zip(panels, ("jaccard", "rmse_nm"), strict=True):
            values = [row[key] for row in bins]
            axes.plot(start, values, "o-", color=style.COLOURS.get(method), ms=4, lw=1.6, label=method)
    density = "local density (emitters/µm²)"
    style.tidy(panels[0], density, "Jaccard index", "Found, of all that is there or was invented")
    style.tidy(panels[1], density, "lateral RMSE (nm)", "How far matches are off")
    panels[0].set_ylim(0, 1.02)
    panels[1].set_ylim(0, 1.1 * worst or 1.0)
    for axes in panels:
        axes.set_xticks(range(len(starts)), [_span(low, high) for low, high in starts])
    panels[0].legend(fontsize=style.SMALL, frameon=False)
    return figure


def _span(low: float, high: float) -> str:
    return f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} or more"


def _row(figure: Figure, count: int) -> list[Axes]:
    return list(figure.subplots(1, count, squeeze=False)[0])
