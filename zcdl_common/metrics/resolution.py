"""How fine the detail of an image is, told from the image alone.

Decorrelation analysis needs no truth and no second exposure. It finds the highest frequency at which an
image still stands out from its noise. It cannot know whether the detail is true: a network that invents
filaments scores as if they were there, sharpening lowers the number, and noise that correlates between
pixels (resampled, compressed or smoothed images) counts as detail.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zcdl_common.metrics.rings import rings
from zcdl_common.task import Array

SMALLEST = 32
"""Pixels a side below which there are too few frequencies to tell."""
FILTERS = 40
NARROWEST = 0.1
"""Standard deviation in pixels of the last high-pass filter; a smaller one only rescales it."""
DROP = 5e-4
"""A maximum counts where the correlation falls by so much behind it."""
LOWEST = 0.05
"""A maximum below this correlation is noise."""


def resolution(image: Array) -> float:
    r"""Size of the finest detail in pixels, at least 2; the median over planes and channels.

    Parameters
    ----------
    image
        (Z)YXC, any type and range; planes are taken one by one.

    Returns
    -------
    float
        NaN where no frequency stands out from the noise, or all up to the limit of the pixels do; and for
        an image that is constant, not finite, or narrower than 32 pixels.

    Notes
    -----
    With the amplitude :math:`|I(k)|` of the Fourier transform, the image is correlated with a copy of
    itself of which all amplitudes up to the radius r were made equal and all others 0:

    .. math:: d(r) = \frac{\sum_{|k|<r} |I(k)|}{\sqrt{\sum_k |I(k)|^2 \; \sum_{|k|<r} 1}}

    While there is signal, d rises; once only noise is added, it falls. High-pass filters of growing
    strength move this maximum outwards, and the farthest one is where signal ends. Radii are shares of
    the highest frequency that pixels can hold; the resolution is 2 pixels divided by that share. A
    Gaussian spot of standard deviation s without any noise has 2.48 s, near its full width at half maximum.

    Where the publication fades 20 pixels at the border, a Hann window weighs the whole plane: the spectrum
    of a border of 20 pixels reaches beyond that of smooth images, and was found to halve their number.

    References
    ----------
    Descloux, A., Grußmayer, K. S., Radenovic, A. (2019). Parameter-free image resolution estimation
    based on decorrelation analysis. Nature Methods 16, 918-924. doi:10.1038/s41592-019-0515-7
    """
    planes = np.moveaxis(image, -1, 0).reshape(-1, *image.shape[-3:-1])
    found = np.array([2.0 / cutoff(plane) for plane in planes])
    known = found[np.isfinite(found)]
    return float(np.median(known)) if known.size else float("nan")


def cutoff(plane: Array) -> float:
    """Highest frequency of a plane (Y, X) that stands out from noise, as a share of the highest possible.

    Returns
    -------
    float
        In (0, 1]; NaN where there is none.
    """
    if min(plane.shape) < SMALLEST or not np.isfinite(plane).all() or not np.ptp(plane) > 0:
        return float("nan")
    rings = _rings(plane)
    peaks = [_last_maximum(row) for row in _correlations(rings, min(plane.shape) / 4)]
    farthest = max(peaks)
    return float(rings.radius[farthest]) if farthest > 0 else float("nan")


class _Rings(NamedTuple):
    """A Fourier transform summed over rings around zero frequency, each one frequency wide: (R,)."""

    radius: Array
    """Middle of the ring; 1 is the highest frequency that pixels can hold."""
    number: Array
    amplitude: Array
    power: Array


def _rings(plane: Array) -> _Rings:
    from scipy import fft

    image = plane.astype(np.float64)
    image -= image.mean()
    image *= np.outer(*(np.hanning(side + 2)[1:-1] for side in image.shape))
    amplitude = np.abs(fft.rfft2(image))
    amplitude[0, 0] = 0.0
    each = rings(image.shape)
    number, first, second = map(each.sums, (np.ones_like(amplitude), amplitude, amplitude**2))
    return _Rings(each.radius, number, first, second)


def _correlations(rings: _Rings, widest: float) -> Array:
    """d(r) of the image and of its high-pass filtered copies, (1 + FILTERS, R)."""
    sigma = np.geomspace(widest, NARROWEST, FILTERS)[:, None]
    passed = 1.0 - np.exp(-0.5 * (np.pi * sigma * rings.radius) ** 2)
    passed = np.concatenate([np.ones((1, len(rings.radius))), passed])
    energy = (rings.power * passed**2).sum(axis=1, keepdims=True)
    return np.asarray(np.cumsum(rings.amplitude * passed, axis=1) / np.sqrt(energy * np.cumsum(rings.number)))


def _last_maximum(values: Array) -> int:
    """Index of the last maximum that the curve falls from by `DROP` before it rises above it; 0: none."""
    found, top, at, low = 0, -np.inf, 0, np.inf
    for index, value in enumerate(values.tolist()):
        if value > top:
            top, at, low = value, index, value
        low = min(low, value)
        if top - low >= DROP and top >= LOWEST:
            found = at
    return found
