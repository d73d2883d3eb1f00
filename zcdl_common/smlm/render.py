"""Super-resolved images drawn from positions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from zcdl_common.smlm.localisations import Localisations
from zcdl_common.task import Array
from zcdl_common.writers import write_image

REACH = 4.0
"""Standard deviations after which a drawn Gaussian ends; what is cut off is given to the rest."""
AT_ONCE = 2**22
"""Pixels of windows that are held in memory."""


def histogram(found: Localisations, shape: tuple[int, int], magnification: int) -> Array:
    """Count positions in fine pixels.

    Parameters
    ----------
    found
        Positions; those beyond the image are left out.
    shape
        YX of the camera image in pixels.
    magnification
        Fine pixels a side of a camera pixel, a whole number.

    Returns
    -------
    Array
        float32 (Y * magnification, X * magnification).
    """
    height, width = (n * magnification for n in shape)
    fine = np.floor(found.yx * magnification).astype(np.int64)
    y, x = fine[((fine >= 0) & (fine < (height, width))).all(axis=1)].T
    counts = np.bincount(y * width + x, minlength=height * width)
    return counts.reshape(height, width).astype(np.float32)


def gaussian(found: Localisations, shape: tuple[int, int], magnification: int, sigma: float | Array) -> Array:
    """Draw every position as a Gaussian of sum 1, integrated over the fine pixels.

    Parameters
    ----------
    found, shape, magnification
        As for `histogram`.
    sigma
        Standard deviation in camera pixels: one for all, or one for each as ``found.uncertainty`` has it.
        A tenth of a fine pixel is the least.

    Returns
    -------
    Array
        float32 (Y * magnification, X * magnification). The sum is the number of positions; only of Gaussians
        at the rim, what lies beyond the image is lost.
    """
    height, width = (n * magnification for n in shape)
    image = np.zeros(height * width)
    spread = np.maximum(np.broadcast_to(sigma, len(found)) * magnification, 0.1)
    order = np.argsort(spread, kind="stable")  # windows of one size stand together
    start = 0
    while start < len(order):
        # windows grow along the order: the widest of a first guess bounds those of the chunk
        guess = order[start : start + max(1, AT_ONCE // _window(spread[order[start]]) ** 2)]
        side = _window(spread[guess[-1]])
        chunk = guess[: max(1, AT_ONCE // side**2)]
        _draw(
            image, (height, width), found.yx[chunk] * magnification, spread[chunk], _window(spread[chunk[-1]])
        )
        start += len(chunk)
    return image.reshape(height, width).astype(np.float32)


def _window(sigma: float) -> int:
    """Odd side of a window that holds a Gaussian wherever in the middle pixel its centre lies."""
    return 2 * int(np.ceil(REACH * sigma + 0.5)) + 1


def _draw(image: Array, shape: tuple[int, int], yx: Array, sigma: Array, side: int) -> None:
    """Add Gaussians to a flat image, each in a window of `side` pixels."""
    from scipy.special import erf

    places, shares = [], []
    for axis, size in enumerate(shape):
        first = np.floor(yx[:, axis]).astype(np.int64) - side // 2
        edges = first[:, None] + np.arange(side + 1)
        share = np.diff(erf((edges - yx[:, axis, None]) / (np.sqrt(2) * sigma[:, None])), axis=1)
        share /= share.sum(axis=1, keepdims=True)
        place = edges[:, :-1]
        inside = (place >= 0) & (place < size)
        places.append(np.where(inside, place, 0))
        shares.append(np.where(inside, share, 0.0))
    index = places[0][:, :, None] * shape[1] + places[1][:, None, :]
    np.add.at(image, index.ravel(), (shares[0][:, :, None] * shares[1][:, None, :]).ravel())


def widefield(frames: Iterable[Array]) -> Array:
    """Mean of the frames YX, float32: the image that a camera without blinking would have seen."""
    total: Array | None = None
    count = 0
    for frame in frames:
        total = frame.astype(np.float64) if total is None else total + frame
        count += 1
    if total is None:
        raise ValueError("there is no frame to take the mean of")
    return np.asarray(total / count, np.float32)


def write_rendered(path: Path, image: Array, pixel_size: Sequence[float], magnification: int) -> Path:
    """Write a rendered image as OME-TIFF with its own pixel size.

    Parameters
    ----------
    path
        Its ending becomes .ome.tif.
    image
        (Y, X) from `histogram` or `gaussian`.
    pixel_size
        YX of a *camera* pixel in micrometres.
    magnification
        Fine pixels a side of a camera pixel.
    """
    fine = [side / magnification for side in pixel_size[-2:]]
    return write_image(path, image, "YX", pixel_size=fine, format="ome-tiff")
