"""Pictures of objects: outlines on the image, and which were matched, missed and invented."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from zcdl_common.plots.images import PixelSize, flatten, resize, show
from zcdl_common.plots.segmentation import draw_over, outlines, thicken
from zcdl_common.plots.style import CLASS_COLOURS, ERROR_COLOURS
from zcdl_common.task import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

THRESHOLD = 0.5
"""Least IoU of a match in pictures."""
KIND_COLOURS = tuple(ERROR_COLOURS[k] for k in ("background", "right", "too much", "missed", "wrong class"))
"""Of each value of `zcdl_common.metrics.instances.kinds`."""


def draw_instances(
    axes: Axes, source: Array, labels: Array | None, pixel_size: PixelSize = None, fill: float = 0.15
) -> None:
    """Draw an image with the outlines of its objects, in colours that alternate; ``Task.picture``.

    Parameters
    ----------
    axes
        Where to draw.
    source
        Image (Z)YXC, any dtype.
    labels
        Numbers of objects (Z)YX or (Z)YX1, 0 = background; None draws the image alone.
    pixel_size
        (Z)YX in micrometres; gives the side view of a volume its proportions.
    fill
        Opacity of the tint inside the outlines, 0 to 1.
    """
    draw_over(axes, source, labels, pixel_size, lambda p, small: outlined(p, small.astype(np.int64), fill))


def outlined(picture: Array, labels: Array, fill: float = 0.15) -> Array:
    """Paint the outline of every object, and inside it a faint tint, over a picture.

    Parameters
    ----------
    picture
        float32 (Y, X, 3) in [0, 1].
    labels
        Integer (Y, X), 0 = background, of the same size.
    fill
        Opacity of the tint, 0 to 1.
    """
    palette = _rgb(CLASS_COLOURS)
    inside = labels > 0
    tint = palette[(labels[inside] - 1) % len(palette)]
    opacity = np.where(thicken(outlines(labels))[inside], 1.0, fill)[:, None].astype(np.float32)
    painted = picture.copy()
    painted[inside] = (1 - opacity) * painted[inside] + opacity * tint
    return painted


def draw_instance_errors(
    axes: Axes, truth: Array, prediction: Array, pixel_size: PixelSize = None, source: Array | None = None
) -> str:
    """Draw which objects (labels (Z)YX) were matched, missed and invented; return what the colours mean.

    Objects of a volume are matched as a whole, whatever the planes that are shown hold of them.
    """
    from zcdl_common.metrics.instances import kinds

    ndim = truth.ndim
    shown = kinds(truth, prediction, THRESHOLD)
    flat = flatten(shown, ndim, pixel_size)
    small = resize(flat, smooth=False)
    picture = _rgb(KIND_COLOURS)[small]
    found = resize(flatten(prediction, ndim, pixel_size), smooth=False)
    true = resize(flatten(truth, ndim, pixel_size), smooth=False)
    # a thin dark line between neighbours, where objects of one colour would run together
    picture[between(found) | between(np.where(found > 0, 0, true))] = _rgb(KIND_COLOURS)[0]
    show(axes, picture, flat.shape[:2], truth.shape[1] if ndim == 3 else 0)
    return (
        f"errors: light objects are matched (IoU of {THRESHOLD:g} or more), orange ones invented, blue ones "
        "missed, pink where the two overlap too little"
    )


def between(labels: Array) -> Array:
    """Pixels of an object whose neighbour to the right or below is another object: bool (Y, X)."""
    line = np.zeros(labels.shape, bool)
    for axis in (0, 1):
        along, drawn = np.moveaxis(labels, axis, 0), np.moveaxis(line, axis, 0)
        drawn[:-1] |= (along[:-1] != along[1:]) & (along[:-1] > 0) & (along[1:] > 0)
    return line


def _rgb(colours: Sequence[str]) -> Array:
    """Colours as float32 (N, 3)."""
    from matplotlib.colors import to_rgb

    return np.array([to_rgb(name) for name in colours], np.float32)
