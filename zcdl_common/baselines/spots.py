"""Where single emitters may be: local maxima of filtered frames."""

from __future__ import annotations

from typing import Literal, NamedTuple

import numpy as np
from scipy import ndimage

from zcdl_common.task import Array

Filter = Literal["wavelet", "LoG"]

SPLINE = np.array([1, 4, 6, 4, 1], np.float32) / 16
"""Samples of a B-spline of the third order at half its knots; the second pass skips every other pixel."""
TO_DEVIATION = np.float32(1.4826)
"""Standard deviation of normal noise over the median of its absolute values."""


class Candidates(NamedTuple):
    """Brightest pixels, a row each, frame by frame from the upper left."""

    at: Array
    """int (N, 3), indices of frame, row and column."""
    height: Array
    """float32 (N,), filtered brightness in standard deviations of the noise (see `find`)."""


def find(frames: Array, kind: Filter, factor: float, sigma: float, noise: Array | None = None) -> Candidates:
    """Pixels that stand out from their eight neighbours and from the noise.

    Noise is measured as in ThunderSTORM, in the frame less its smoothed self (first wavelet plane), in which
    spots hardly show; but by the median deviation, which neither hot pixels nor many emitters raise. Of a
    plateau the first pixel counts.

    Parameters
    ----------
    frames
        TYX, any number type.
    kind
        "wavelet": the second plane of the B-spline wavelet transform, a band of spots of 1 to 2 pixels;
        "LoG": the Laplacian of a Gaussian, times its variance, negative.
    factor
        Least height, in units of the noise.
    sigma
        Standard deviation of the LoG in pixels; the wavelet has none.
    noise
        Of each frame, (T, 1, 1), where it is known.

    References
    ----------
    Izeddin et al. 2012, doi:10.1364/OE.20.002081 (wavelet); Ovesny et al. 2014,
    doi:10.1093/bioinformatics/btu202 (ThunderSTORM).
    """
    band, own = filtered(frames, kind, sigma)
    noise = own if noise is None else noise
    height = np.divide(band, noise, out=np.zeros_like(band), where=noise > 0)
    at = np.argwhere(_maxima(height) & (height > factor))
    return Candidates(at, height[tuple(at.T)])


def filtered(frames: Array, kind: Filter, sigma: float) -> tuple[Array, Array]:
    """Filtered frames, float32 TYX, and the noise of each, (T, 1, 1), 0 in a frame of one grey value."""
    frames = np.asarray(frames, np.float32)
    # Rounding must not make noise of a constant frame.
    frames = frames - np.median(frames, axis=(1, 2), keepdims=True)
    first = _smooth(frames, SPLINE)
    fine = frames - first
    noise = TO_DEVIATION * np.median(np.abs(fine), axis=(1, 2), keepdims=True)
    noise = np.where(noise > 0, noise, fine.std(axis=(1, 2), keepdims=True))
    if kind == "wavelet":
        holes = np.zeros(2 * SPLINE.size - 1, np.float32)
        holes[::2] = SPLINE
        band = first - _smooth(first, holes)
    else:
        band = np.zeros_like(frames)
        for order in ((0, 2, 0), (0, 0, 2)):
            width = (0, sigma, sigma)
            band -= sigma**2 * ndimage.gaussian_filter(frames, width, order, mode="nearest")
    return band, noise


def windows(frames: Array, at: Array, radius: int) -> tuple[Array, Array, Array]:
    """Surroundings of pixels: values float64 (N, S, S), whether inside the image, corners YX (N, 2)."""
    reach = np.arange(-radius, radius + 1)
    rows, columns = (at[:, i, None] + reach for i in (1, 2))
    sizes = frames.shape[1:]
    inside = [(i >= 0) & (i < n) for i, n in zip((rows, columns), sizes, strict=True)]
    y, x = (np.clip(i, 0, n - 1) for i, n in zip((rows, columns), sizes, strict=True))
    values = frames[at[:, 0, None, None], y[:, :, None], x[:, None, :]].astype(float)
    return values, inside[0][:, :, None] & inside[1][:, None, :], at[:, 1:] - radius


def _smooth(frames: Array, kernel: Array) -> Array:
    rows = ndimage.convolve1d(frames, kernel, axis=1, mode="nearest")
    return np.asarray(ndimage.convolve1d(rows, kernel, axis=2, mode="nearest"))


def _maxima(height: Array) -> Array:
    """Pixels above the neighbours before them and not below those after them: bool TYX."""
    padded = np.pad(height, ((0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
    _, rows, columns = height.shape
    result = np.ones(height.shape, bool)
    for number in (n for n in range(9) if n != 4):
        y, x = divmod(number, 3)
        neighbour = padded[:, y : y + rows, x : x + columns]
        result &= height > neighbour if number < 4 else height >= neighbour
    return result
