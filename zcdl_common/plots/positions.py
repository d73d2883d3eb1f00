"""Pictures of positions over a frame: those there are, and which were found, missed and invented."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from zcdl_common.metrics.localisation import RADIUS, match
from zcdl_common.plots.detections import KINDS, backdrop
from zcdl_common.plots.images import PixelSize, draw_source, scale_bar
from zcdl_common.plots.style import CLASS_COLOURS, new_figure
from zcdl_common.smlm.localisations import of_frames
from zcdl_common.task import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PANEL = 150.0
"""About how many points a side of a panel measures."""
SMALL_SIGN, LARGE_SIGN = 1.8, 5.0
"""Points across a sign."""
CROWDED = 0.4
"""Of the distance between positions that a sign may take."""
WIDTH = 6.0
"""Inches of a picture of its own."""
UNKNOWN_PIXEL = (0.1, 0.1)
"""Micrometres, where nothing tells; a match then has a radius in pixels."""


def draw_positions(axes: Axes, source: Array, points: Array | None, pixel_size: PixelSize = None) -> None:
    """Draw a frame with positions as small rings; ``Task.picture``.

    Parameters
    ----------
    axes
        Where to draw.
    source
        Frame YXC, any dtype.
    points
        float (N, 2) y, x in pixels from the corner; None draws the frame alone.
    pixel_size
        YX in micrometres; a flat picture does not need it.
    """
    draw_source(axes, source, pixel_size)
    axes.autoscale(False)  # positions beside the frame must not shrink it
    if points is None or not len(points):
        return
    side = sign(len(points), source.shape[:2])
    look: dict[str, Any] = {"mfc": "none", "mec": CLASS_COLOURS[0], "mew": 0.25 * side**0.7}
    axes.plot(points[:, 1], points[:, 0], "o", ms=1.3 * side, ls="none", **look)


def drawn_positions(source: Array, points: Array, pixel_size: PixelSize) -> Figure:
    """A frame YXC with positions (N, 2) and a scale bar, as a picture of its own."""
    figure = new_figure(WIDTH, WIDTH * source.shape[0] / source.shape[1], "compressed")
    axes = figure.subplots()
    draw_positions(axes, source, points, pixel_size)
    scale_bar(axes, source.shape[1], pixel_size)
    return figure


def draw_position_errors(
    axes: Axes, truth: Array, found: Array, pixel_size: PixelSize = None, source: Array | None = None
) -> str:
    """Draw which positions were matched, missed and invented; return what the signs mean.

    Parameters
    ----------
    axes
        Where to draw.
    truth, found
        float (N, 2) and (M, 2) y, x in pixels from the corner.
    pixel_size
        YX in micrometres; a match is at 250 nm, or 2.5 pixels where it is not known.
    source
        Frame YXC, shown faded and inverted behind the signs; without it they stand on white.
    """
    true, seen = (np.asarray(each, float).reshape(-1, 2) for each in (truth, found))
    both = np.concatenate([true, seen])
    size = backdrop(axes, source, np.tile(both, 2))
    axes.autoscale(False)
    pairs = match(of_frames([true]), of_frames([seen]), pixel_size or UNKNOWN_PIXEL)
    kinds = {
        "missed": (np.delete(true, pairs.truth, axis=0), "o"),
        "right": (seen[pairs.found], "."),
        "invented": (np.delete(seen, pairs.found, axis=0), "x"),
    }
    side = sign(max(len(true), len(seen)), size)
    for kind, (points, marker) in kinds.items():
        colour = KINDS[kind][0]
        inside = "none" if marker == "o" else colour
        width = 0.22 * side
        axes.plot(points[:, 1], points[:, 0], marker, ms=side, ls="none", mfc=inside, mec=colour, mew=width)
    radius = f"{RADIUS:.0f} nm" if pixel_size else "2.5 pixels"
    return f"errors: green dots are right (within {radius}), orange crosses invented, blue rings missed"


def sign(count: int, size: tuple[int, ...]) -> float:
    """Points across signs of so many positions in a frame (Y, X), so that neighbours stay apart."""
    apart = np.sqrt(np.prod(size, dtype=float) / max(1, count)) / max(size)
    return float(np.clip(CROWDED * PANEL * apart, SMALL_SIGN, LARGE_SIGN))
