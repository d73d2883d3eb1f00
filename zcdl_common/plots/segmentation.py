"""Pictures of masks: outlines on the image, and where a prediction is right and wrong."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from zcdl_common.plots.images import PixelSize, colour, flatten, resize, show
from zcdl_common.plots.style import CLASS_COLOURS, ERROR_COLOURS
from zcdl_common.task import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def draw_segmentation(
    axes: Axes, source: Array, classes: Array | None, pixel_size: PixelSize = None, fill: float = 0.15
) -> None:
    """Draw an image with the outlines of its classes; ``Task.picture`` of segmentation.

    Parameters
    ----------
    axes
        Where to draw.
    source
        Image (Z)YXC, any dtype.
    classes
        Class index (Z)YX or (Z)YX1, 0 = background; None draws the image alone.
    pixel_size
        (Z)YX in micrometres; gives the side view of a volume its proportions.
    fill
        Opacity of the tint inside the outlines, 0 to 1.
    """
    draw_over(axes, source, classes, pixel_size, lambda picture, mask: overlay(picture, mask, fill))


def draw_over(
    axes: Axes,
    source: Array,
    numbers: Array | None,
    pixel_size: PixelSize,
    paint: Callable[[Array, Array], Array],
) -> None:
    """Draw an image (Z)YXC and what ``paint(picture, numbers)`` makes of it with numbers (Z)YX or (Z)YX1."""
    ndim = source.ndim - 1
    flat = flatten(source, ndim, pixel_size)
    picture, _ = colour(flat)
    if numbers is not None:
        numbers = numbers[..., 0] if np.ndim(numbers) == source.ndim else numbers
        picture = paint(picture, resize(flatten(np.asarray(numbers), ndim, pixel_size), smooth=False))
    show(axes, picture, flat.shape[:2], source.shape[1] if ndim == 3 else 0)


def overlay(picture: Array, classes: Array, fill: float = 0.15) -> Array:
    """Paint outlines, and inside them a faint tint, over a picture.

    Parameters
    ----------
    picture
        float32 (Y, X, 3) in [0, 1].
    classes
        Class index (Y, X), 0 = background, of the same size.
    fill
        Opacity of the tint, 0 to 1.
    """
    painted = picture.copy()
    edge = thicken(outlines(classes))
    for index in np.unique(classes[classes > 0]):
        tint = _rgb(CLASS_COLOURS[(int(index) - 1) % len(CLASS_COLOURS)])
        inside = classes == index
        painted[inside] = (1 - fill) * painted[inside] + fill * tint
        painted[inside & edge] = tint
    return painted


def outlines(classes: Array) -> Array:
    """Pixels of an object that touch another class, as a bool mask; (Y, X) in and out."""
    edge = np.zeros(classes.shape, dtype=bool)
    for axis in (0, 1):
        ahead = [slice(None)] * 2
        behind = [slice(None)] * 2
        ahead[axis], behind[axis] = slice(1, None), slice(None, -1)
        differs = classes[tuple(ahead)] != classes[tuple(behind)]
        edge[tuple(ahead)] |= differs
        edge[tuple(behind)] |= differs
    return edge & (classes > 0)


def thicken(edge: Array) -> Array:
    """Widen a bool mask (Y, X) by one pixel to each side, or thin outlines are lost on a screen."""
    padded = np.pad(edge, 1)
    wide: Array = (
        padded[1:-1, 1:-1] | padded[2:, 1:-1] | padded[:-2, 1:-1] | padded[1:-1, 2:] | padded[1:-1, :-2]
    )
    return wide


def error_map(truth: Array, prediction: Array) -> Array:
    """Colour every pixel by how right it is (`ERROR_COLOURS`).

    Parameters
    ----------
    truth, prediction
        Class index (Y, X), 0 = background.

    Returns
    -------
    Array
        float32 (Y, X, 3) in [0, 1].
    """
    kinds = {
        "background": (truth == 0) & (prediction == 0),
        "right": (truth > 0) & (prediction == truth),
        "too much": (truth == 0) & (prediction > 0),
        "missed": (truth > 0) & (prediction == 0),
        "wrong class": (truth > 0) & (prediction > 0) & (prediction != truth),
    }
    picture = np.zeros((*truth.shape, 3), dtype=np.float32)
    for kind, where in kinds.items():
        picture[where] = _rgb(ERROR_COLOURS[kind])
    return picture


def draw_errors(
    axes: Axes, truth: Array, prediction: Array, pixel_size: PixelSize = None, source: Array | None = None
) -> None:
    """Draw the error map of class masks (Z)YX."""
    truth, prediction = np.asarray(truth), np.asarray(prediction)
    flat = flatten(truth, truth.ndim, pixel_size)
    small = resize(flat, smooth=False), resize(flatten(prediction, truth.ndim, pixel_size), smooth=False)
    show(axes, error_map(*small), flat.shape[:2], truth.shape[1] if truth.ndim == 3 else 0)


def _rgb(colour: str) -> Array:
    from matplotlib.colors import to_rgb

    return np.array(to_rgb(colour), dtype=np.float32)
