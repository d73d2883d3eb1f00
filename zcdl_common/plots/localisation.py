"""Molecules that were located: points over frames, super-resolved images, and what judges them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zcdl_common.metrics.error_map import ErrorMap
from zcdl_common.metrics.frc import THRESHOLD, Curve
from zcdl_common.metrics.statistics import Interval
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
ERROR_BINS = 50
"""Across the picture of errors."""
DENSITY_PANELS = {
    "jaccard": ("Jaccard index", "Found, of all that is there or was invented"),
    "rmse_nm": ("lateral RMSE (nm)", "How far matches are off"),
    "recall": ("recall", "Found, of all that is there"),
    "precision": ("precision", "There, of all that was found"),
}
"""Scores over density, with the label of their axis and what they mean."""


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
    """Recall, precision, Jaccard index and lateral error over local density, a line a method.

    Parameters
    ----------
    rows
        By method ("network", "classical"), from `zcdl_common.metrics.localisation.by_density`.
    """
    if not any(rows.values()):
        return style.say_nothing_to_show(style.new_figure(6, 2), "There is no position to score.")
    figure = style.new_figure(7.0, 5.2)
    panels = dict(zip(DENSITY_PANELS, figure.subplots(2, 2).ravel(), strict=True))
    starts = sorted(
        {row["density_from"]: row["density_to"] for bins in rows.values() for row in bins}.items()
    )
    place = {low: number for number, (low, _) in enumerate(starts)}
    worst = max((row["rmse_nm"] for bins in rows.values() for row in bins if row["n_matched"]), default=1.0)
    for method, bins in rows.items():
        start = [place[row["density_from"]] for row in bins]
        for key, axes in panels.items():
            axes.plot(start, [row[key] for row in bins], label=method, **_line(method))
    for key, axes in panels.items():
        style.tidy(axes, "local density (emitters/µm²)", *DENSITY_PANELS[key])
        axes.set_ylim(0, 1.1 * worst or 1.0 if key == "rmse_nm" else 1.02)
        axes.set_xticks(range(len(starts)), [_span(low, high) for low, high in starts])
    panels["jaccard"].legend(fontsize=style.SMALL, frameon=False)
    return figure


def radius_curves(radii: Sequence[float], scores: Mapping[str, Sequence[Interval]]) -> Figure:
    """Jaccard index over the matching radius, a line a method, with bands of 95 % intervals.

    Parameters
    ----------
    radii
        Nanometres, ascending.
    scores
        By method ("network", "classical", "by chance"), a score a radius.
    """
    figure = style.new_figure(4.8, 3.2)
    axes = figure.subplots()
    for method, values in scores.items():
        look = _line(method)
        axes.plot(radii, [value.mean for value in values], label=method, **look)
        known = [(r, v.low, v.high) for r, v in zip(radii, values, strict=True) if v.low is not None]
        if known:
            axes.fill_between(*np.array(known, float).T, color=look["color"], alpha=0.2, lw=0)
    style.tidy(axes, "matching radius (nm)", "Jaccard index", "How near what was found is to the truth")
    axes.set_xlim(0, None)
    axes.set_ylim(0, 1.02)
    axes.legend(fontsize=style.SMALL, frameon=False)
    return figure


def position_errors(errors: Mapping[str, Array], radius: float) -> Figure:
    """Where matched positions lie beside the true ones, and their mean, a panel a method.

    Parameters
    ----------
    errors
        By method, found minus true position YX in nanometres (M, 2).
    radius
        Largest distance of a match in nanometres.
    """
    figure = style.new_figure(3.4 * len(errors) + 0.2, 3.6)
    edges = np.linspace(-radius, radius, ERROR_BINS + 1)
    for axes, (method, yx) in zip(_row(figure, len(errors)), errors.items(), strict=True):
        picture = np.histogram2d(yx[:, 0], yx[:, 1], (edges, edges))[0]
        extent = (-radius, radius, radius, -radius)  # y grows downwards, as in the frames
        axes.imshow(picture, cmap="Blues", extent=extent, aspect="equal", interpolation="nearest")
        style.tidy(axes, "found minus true x (nm)", "found minus true y (nm)", f"{method}: no match")
        axes.grid(False)
        for line in (axes.axhline, axes.axvline):
            line(0, color=style.FAINT, lw=0.7, ls=":")
        if not len(yx):
            continue
        y, x = yx.mean(axis=0)
        axes.plot(x, y, "+", color=style.COLOURS["classical"], ms=11, mew=1.8)
        title = f"{method}: mean y {y:+.1f} nm, x {x:+.1f} nm"
        axes.set_title(title.replace("-", "−"), fontsize=style.LABEL, color=style.INK, loc="left")
    note = "cross: mean of all matches; half a camera pixel beside 0 is a table that counts pixels otherwise"
    style.note_above(figure, [note])
    return figure


def _line(method: str) -> dict[str, Any]:
    """How the line of a method looks."""
    chance = method not in style.COLOURS
    colour = style.FAINT if chance else style.COLOURS[method]
    return {
        "color": colour,
        "ls": "--" if chance else "-",
        "marker": "" if chance else "o",
        "ms": 4,
        "lw": 1.6,
    }


def _span(low: float, high: float) -> str:
    return f"{low:g} to {high:g}" if np.isfinite(high) else f"{low:g} or more"


def _row(figure: Figure, count: int) -> list[Axes]:
    return list(figure.subplots(1, count, squeeze=False)[0])
