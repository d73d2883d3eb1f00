"""From an image of any size, bit depth and channel count to a picture of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from zcdl_common.plots.style import INK, LABEL, SMALL, literal
from zcdl_common.task import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CHANNEL_COLOURS = {"cyan": (0.0, 1.0, 1.0), "magenta": (1.0, 0.0, 1.0), "yellow": (1.0, 1.0, 0.0)}
"""Red beside green is the one pair to avoid."""

SIDE = 320
"""About how many pixels a panel shows along its longer side."""

PixelSize = tuple[float, ...] | None
"""(Z)YX in micrometres, or unknown."""


def contrast(image: Array, low: float = 1.0, high: float = 99.8) -> Array:
    """Scale to [0, 1] between two percentiles, for display only.

    Parameters
    ----------
    image
        Any shape and dtype; NaN and infinities are left out of the percentiles and shown black.
    low, high
        Percentiles in percent.

    Returns
    -------
    Array
        float32 of the same shape. A constant image is all zero.
    """
    pixels = np.asarray(image, dtype=np.float32)
    finite = np.isfinite(pixels)
    sample = pixels[finite]
    if sample.size == 0:
        return np.zeros_like(pixels)
    bottom, top = np.percentile(sample[:: max(1, sample.size // 200_000)], [low, high])
    if top <= bottom:  # a few bright pixels on nothing
        bottom, top = sample.min(), sample.max()
    if top <= bottom:
        return np.zeros_like(pixels)
    scaled: Array = np.clip((np.where(finite, pixels, bottom) - bottom) / (top - bottom), 0.0, 1.0)
    return scaled.astype(np.float32)


def resize(image: Array, side: int = SIDE, smooth: bool = True) -> Array:
    """Shrink or enlarge by a whole factor until the longer side has about `side` pixels.

    Parameters
    ----------
    image
        (Y, X) or (Y, X, C).
    side
        Wanted length of the longer side in pixels.
    smooth
        When shrinking, average the pixels that fall together (float32); otherwise, for masks, take
        one of them.
    """
    longest = max(image.shape[:2])
    if longest <= side:
        k = max(1, side // longest)
        return image.repeat(k, axis=0).repeat(k, axis=1)
    ky, kx = (min(max(1, round(longest / side)), n) for n in image.shape[:2])
    y, x = image.shape[0] // ky, image.shape[1] // kx
    whole = image[: y * ky, : x * kx]
    if not smooth:
        return whole[ky // 2 :: ky, kx // 2 :: kx]
    blocks = np.asarray(whole, dtype=np.float32).reshape(y, ky, x, kx, *image.shape[2:])
    averaged: Array = blocks.mean(axis=(1, 3))
    return averaged


def flatten(image: Array, ndim: int, pixel_size: PixelSize = None) -> Array:
    """Make one flat picture: a 2D image as it is, a volume as its middle plane above a side view.

    Parameters
    ----------
    image
        (Z)YX or (Z)YXC with `ndim` spatial axes.
    ndim
        Spatial axes, 2 or 3.
    pixel_size
        (Z)YX in micrometres; gives the side view its true proportions.

    Returns
    -------
    Array
        (Y, X) or (Y, X, C). The side view is the XZ plane through the middle of Y; it is never made
        taller than the middle plane.
    """
    if ndim == 2:
        return image
    depth, height = image.shape[:2]
    stretch = 1.0
    if pixel_size is not None and len(pixel_size) == 3 and pixel_size[2] > 0:
        stretch = min(max(pixel_size[0] / pixel_size[2], 1.0), max(1.0, height / depth))
    rows = (np.arange(max(1, round(depth * stretch))) / stretch).astype(int).clip(0, depth - 1)
    return np.concatenate([image[depth // 2], image[rows, height // 2]])


def aspect(image: Array, pixel_size: PixelSize = None) -> float:
    """Height over width of an image (Z)YXC as `flatten` shows it."""
    height, width = flatten(image[..., 0], image.ndim - 1, pixel_size).shape
    return float(height / width)


def colour(image: Array, side: int = SIDE) -> tuple[Array, str]:
    """Turn channels into colours.

    Parameters
    ----------
    image
        (Y, X, C) of any dtype and channel count. Three channels of 8 bit are taken for the colours
        of a camera, others for stains.
    side
        About how many pixels the picture is to have along its longer side.

    Returns
    -------
    picture : Array
        float32 (Y, X, 3) in [0, 1].
    note : str
        How the channels are shown; empty for a single one.
    """
    count, small = image.shape[-1], resize(image, side)
    if count == 1:
        return contrast(small).repeat(3, axis=-1), ""
    if count == 3 and image.dtype == np.uint8:
        return contrast(small), ""
    picture = np.zeros((*small.shape[:2], 3), dtype=np.float32)
    names = list(CHANNEL_COLOURS)[:count]
    for channel, name in enumerate(names):
        picture += contrast(small[..., channel])[..., None] * np.array(
            CHANNEL_COLOURS[name], dtype=np.float32
        )
    note = ", ".join(f"channel {i} {name}" for i, name in enumerate(names))
    return np.clip(picture, 0.0, 1.0), note + (f" (of {count} channels)" if count > 3 else "")


def show(axes: Axes, picture: Array, size: tuple[int, int], plane: int = 0) -> None:
    """Draw a flat picture in the coordinates of the image it was made from.

    Parameters
    ----------
    picture
        (Y, X, 3) in [0, 1].
    size
        (Y, X) of the flat image before it was resized, in pixels.
    plane
        Rows above the side view; 0 where there is none.
    """
    height, width = size
    axes.imshow(picture, extent=(0, width, height, 0), aspect="equal")
    if 0 < plane < height:
        axes.axhline(plane, color="white", linewidth=2)
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)


def draw_source(axes: Axes, source: Array, pixel_size: PixelSize = None) -> str:
    """Draw an image (Z)YXC; return what must be said about how it is shown, for a title or caption."""
    ndim = source.ndim - 1
    flat = flatten(source, ndim, pixel_size)
    picture, note = colour(flat)
    show(axes, picture, flat.shape[:2], source.shape[1] if ndim == 3 else 0)
    return "; ".join(filter(None, (note, view_note(ndim))))


def view_note(ndim: int) -> str:
    """What a flat picture shows of an image with `ndim` spatial axes."""
    return "middle plane, side view (XZ) below" if ndim == 3 else ""


def scale_bar(axes: Axes, width: int, pixel_size: PixelSize) -> float | None:
    """Draw a bar of a round length near a fifth of the image; return it in micrometres.

    Nothing is drawn, and None returned, where the pixel size is unknown.
    """
    if pixel_size is None or not pixel_size[-1] > 0:
        return None
    from matplotlib.font_manager import FontProperties
    from mpl_toolkits.axes_grid1.anchored_artists import AnchoredSizeBar  # type: ignore[import-untyped]

    length = round_length(0.25 * width * pixel_size[-1])
    thick = 0.02 * abs(axes.get_ylim()[0] - axes.get_ylim()[1])
    bar = AnchoredSizeBar(
        axes.transData,
        length / pixel_size[-1],
        micrometres(length),
        "lower right",
        pad=0.3,
        borderpad=0.3,
        sep=2,
        color="white",
        size_vertical=thick,
        label_top=True,
        fill_bar=True,
        fontproperties=FontProperties(size=SMALL),
    )
    bar.patch.set(facecolor="black", alpha=0.55, linewidth=0)  # readable on bright and dark images alike
    axes.add_artist(bar)
    return length


def round_length(length: float) -> float:
    """Return the largest of 1, 2, 5 times a power of ten that is no longer than `length` (> 0)."""
    power = 10.0 ** np.floor(np.log10(length))
    return float(max(step * power for step in (1, 2, 5) if step * power <= length * (1 + 1e-9)))


def micrometres(length: float) -> str:
    """Write a length in µm, or in nm or mm where that reads better."""
    if length < 1:
        return f"{length * 1000:g} nm"
    return f"{length:g} µm" if length < 1000 else f"{length / 1000:g} mm"


def name_panel(axes: Axes, text: str, *, bold: bool = False) -> None:
    """Write above a panel."""
    axes.set_title(literal(text), fontsize=LABEL, color=INK, fontweight="bold" if bold else "normal", pad=4)


def name_below(axes: Axes, text: str) -> None:
    """Write below a panel, where scores stand."""
    axes.set_xlabel(literal(text), fontsize=SMALL, color=INK, labelpad=3)
