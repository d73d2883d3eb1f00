"""Pictures of boxes: what is in them, and which are right, wrong and missed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zcdl_common.boxes import Boxes, area
from zcdl_common.metrics.detection_matching import IOU, partners
from zcdl_common.plots.images import PixelSize, colour, draw_source, show
from zcdl_common.plots.style import CLASS_COLOURS, SMALL, literal, shorten
from zcdl_common.task import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

KINDS = {
    "right": ("#009e73", "-"),
    "wrong class": ("#cc79a7", "-"),
    "invented": ("#d55e00", "-"),
    "missed": ("#0072b2", (0, (2.5, 1.5))),
}
"""Colours and dashes of boxes; missed ones alone are those of the truth."""
FADED = 0.5
"""How far an image steps back behind the kinds of boxes, 0 to 1 (white)."""
CORNERS = {"lower left": (0, 1), "upper left": (0, 0), "upper right": (1, 0)}
"""Where a legend may be, right and down; the scale bar has the fourth corner."""
LEGEND = (0.35, 0.3)
"""About how much of a small panel a legend takes, across and down."""
SMALLEST, LARGEST, DOTS = 600, 1600, 110
"""Longer side of a picture of its own in pixels, and pixels an inch."""
NARROW, WIDE = 0.7, 1.8
"""Widths of lines in points: of boxes that are a few pixels of the picture, and of large ones."""


def draw_boxes(
    axes: Axes,
    source: Array,
    boxes: Array | Boxes | None,
    pixel_size: PixelSize = None,
    names: Sequence[str] = (),
) -> None:
    """Draw an image with boxes in the colours of their classes; ``Task.picture``.

    Parameters
    ----------
    axes
        Where to draw.
    source
        Image YXC, any dtype.
    boxes
        float (N, 5...) y0 x0 y1 x1 in pixels, class index; or `Boxes` of the classes `names`; None draws the
        image alone.
    pixel_size
        YX in micrometres; pictures of boxes are flat and do not need it.
    names
        Of the classes, for a small legend; without them there is none.
    """
    draw_source(axes, source, pixel_size)
    if boxes is None:
        return
    _draw(axes, boxes, source.shape[:2], names)


def drawn_boxes(source: Array, boxes: Array, names: Sequence[str] = ()) -> Figure:
    """An image YXC with boxes (N, 5...), as large as the image, within `SMALLEST` and `LARGEST` pixels."""
    from matplotlib.figure import Figure

    side = max(source.shape[:2])
    height, width = (n / side * min(max(side, SMALLEST), LARGEST) / DOTS for n in source.shape[:2])
    figure = Figure(figsize=(width, height), dpi=DOTS, facecolor="white")
    axes = figure.add_axes((0, 0, 1, 1))
    show(axes, colour(source, LARGEST)[0], source.shape[:2])
    _draw(axes, boxes, source.shape[:2], names)
    return figure


def _draw(axes: Axes, boxes: Array | Boxes, size: Sequence[int], names: Sequence[str]) -> None:
    """Outlines by class, and a legend."""
    if isinstance(boxes, Boxes):
        boxes = np.column_stack([boxes.yxyx, [names.index(name) for name in boxes.classes]])
    boxes = rows(boxes)
    classes = boxes[:, 4].astype(int)
    width = line_width(boxes, size)
    shown = {}
    for c in np.unique(classes):
        tint = CLASS_COLOURS[c % len(CLASS_COLOURS)]
        _outline(axes, boxes[classes == c], tint, "-", width, rim=True)
        if c < len(names):
            shown[names[c]] = (tint, "-")
    _legend(axes, shown, _emptiest(boxes, size))


def draw_box_errors(
    axes: Axes, truth: Array, found: Array, pixel_size: PixelSize = None, source: Array | None = None
) -> str:
    """Draw which boxes are right, of a wrong class, invented and missed; return what the colours mean.

    Boxes are matched whatever their class, those that share most first, at an IoU of 0.5.

    Parameters
    ----------
    axes
        Where to draw.
    truth, found
        float (N, 5...) and (M, 5...) y0 x0 y1 x1 in pixels, class index.
    pixel_size
        YX in micrometres; pictures of boxes are flat and do not need it.
    source
        Image YXC, shown faded and in grey behind the boxes; without it they stand on white.
    """
    truth, found = rows(truth), rows(found)
    size = backdrop(axes, source, np.concatenate([truth[:, :5], found[:, :5]]))
    i, j = partners(truth, found)
    same = truth[i, 4] == found[j, 4]
    boxes = {
        "right": found[j[same]],
        "wrong class": found[j[~same]],
        "invented": np.delete(found, j, axis=0),
        "missed": np.delete(truth, i, axis=0),
    }
    width = line_width(truth if len(truth) else found, size)
    for kind, those in boxes.items():
        _outline(axes, those, *KINDS[kind], 0.7 * width if kind == "right" else width)
    return (
        f"errors: green boxes are right (IoU of {IOU:g} or more), pink of a wrong class, orange invented, "
        "dashed blue missed"
    )


def rows(boxes: Array) -> Array:
    """Boxes as float64 (N, 5...), where there are none, too."""
    return np.asarray(boxes, float) if len(boxes) else np.zeros((0, 5))


def line_width(boxes: Array, size: Sequence[int]) -> float:
    """Width in points that suits boxes (N, 4...) on an image (Y, X): thin where they are small."""
    if not len(boxes):
        return NARROW
    side = np.median((boxes[:, 2:4] - boxes[:, :2]).max(1))
    return float(np.clip(12 * side / max(size), NARROW, WIDE))


def backdrop(axes: Axes, source: Array | None, boxes: Array) -> tuple[int, int]:
    """The image in faint grey on a light ground, or white as far as boxes reach; its size YX."""
    if source is None:
        height, width = np.ceil(boxes[:, 2:4].max(0)).astype(int) if len(boxes) else (1, 1)
        show(axes, np.ones((1, 1, 3), np.float32), (int(height), int(width)))
        return int(height), int(width)
    picture, _ = colour(source)
    grey = picture.mean(-1, keepdims=True).repeat(3, axis=-1)
    light = grey if np.median(grey) > 0.5 else 1 - grey  # fluorescence is inverted
    show(axes, FADED + (1 - FADED) * light, source.shape[:2])
    return source.shape[0], source.shape[1]


def _outline(axes: Axes, boxes: Array, tint: str, dashes: Any, width: float, rim: bool = False) -> None:
    """Draw boxes; a thin dark rim sets bright colours off from bright images."""
    from matplotlib.collections import PolyCollection
    from matplotlib.patheffects import Normal, Stroke

    if not len(boxes):
        return
    y0, x0, y1, x1 = boxes[:, :4].T
    corners = np.stack([np.stack(c, -1) for c in ((x0, y0), (x1, y0), (x1, y1), (x0, y1))], axis=1)
    effects = [Stroke(linewidth=width + 0.8, foreground="black", alpha=0.5), Normal()]
    axes.add_collection(
        PolyCollection(
            list(corners),
            facecolors="none",
            edgecolors=tint,
            linewidths=width,
            linestyles=[dashes],
            path_effects=effects if rim else None,
        ),
        autolim=False,
    )


def _emptiest(boxes: Array, size: Sequence[int]) -> Any:
    """The corner in which a legend covers least of boxes (N, 4...) on an image (Y, X)."""
    wide, high = LEGEND[0] * size[1], LEGEND[1] * size[0]
    taken = {}
    for corner, (right, down) in CORNERS.items():
        x, y = right * (size[1] - wide), down * (size[0] - high)
        within = np.clip(boxes[:, :4], (y, x, y, x), (y + high, x + wide, y + high, x + wide))
        taken[corner] = (area(within) / np.maximum(area(boxes), 1e-9)).sum()  # a small box is lost whole
    return min(taken, key=lambda corner: taken[corner])


def _legend(axes: Axes, shown: dict[str, tuple[str, Any]], corner: Any) -> None:
    from matplotlib.lines import Line2D

    if not shown:
        return
    handles = [
        Line2D([], [], color=tint, linestyle=dashes, linewidth=2, label=literal(shorten(name, 18)))
        for name, (tint, dashes) in shown.items()
    ]
    legend = axes.legend(
        handles=handles,
        loc=corner,
        fontsize=SMALL - 1.5,
        framealpha=0.85,
        edgecolor="none",
        handlelength=1,
        handletextpad=0.4,
        borderpad=0.3,
        borderaxespad=0.3,
        labelspacing=0.2,
    )
    legend.set_in_layout(False)
