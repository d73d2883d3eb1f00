"""How an image looks, in numbers: brightness, texture and shapes at several scales, without learned weights.

Brightness is measured in units of a reference set, so that what is too bright or too dim shows. Every other
number describes structure: how strong each scale is, whether bright or dark spots, lines or flat areas
make it up, and the order of neighbouring pixels, which grain, blur and checkerboards change.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from math import prod

import numpy as np

from zcdl_common.task import Array

WINDOW = 64
"""Pixels a side of the windows that an image is described by."""
ALONG = 4
"""Windows along each axis of a plane, at most, evenly spread."""
PLANES = 4
"""Planes of a volume that are looked at, at most, evenly spread."""
SCALES = (0.0, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Gaussian blurs in pixels; two successive ones enclose a band."""
APART = (1, 2)
"""Pixels between the neighbours of a local binary pattern and its centre."""
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
"""Quantiles of brightness."""
FAINT = 1e-3
"""Contrast, as a share of the reference's span of brightness, below which nothing counts as structure."""
RING = ((-1, -1), (-1, 0), (-1, 1), (0, 1), (1, 1), (1, 0), (1, -1), (0, -1))


def describe(image: Array, offset: Array, span: Array) -> Array:
    """What the windows of an image look like.

    Parameters
    ----------
    image
        (Z)YXC of any dtype. NaN and infinity count as `offset`.
    offset, span
        (C,) brightness that becomes 0, and what is added to it to become 1.

    Returns
    -------
    float64 (P, F)
        F numbers, of the order of 1, for each of P windows: of every channel the quantiles `LEVELS`; of every
        band the logarithm of its contrast, skewness and kurtosis (compressed), coherence of orientation (0
        to 1), shape index weighted by curvedness (-1 dark spots, 1 bright ones), with and without its sign
        taken; frequencies (square roots) of the 10 uniform local binary patterns. Of every two channels
        the correlation of each band.

    References
    ----------
    Ojala, T. et al. (2002). Multiresolution gray-scale and rotation invariant texture classification with
    local binary patterns. IEEE TPAMI 24, 971-987. doi:10.1109/TPAMI.2002.1017623
    Koenderink, J. J. and van Doorn, A. J. (1992). Surface shape and curvature scales. Image and Vision
    Computing 10, 557-564. doi:10.1016/0262-8856(92)90076-F
    """
    scaled = (windows(image).astype(np.float32) - offset.astype(np.float32)) / span.astype(np.float32)
    scaled = np.nan_to_num(scaled, nan=0.0, posinf=0.0, neginf=0.0)
    found = [*np.quantile(scaled, LEVELS, axis=(1, 2)), *_patterns(scaled)]
    blurs = [(sigma, _blur(scaled, sigma)) for sigma in SCALES]
    for (sigma, fine), (_, coarse) in pairwise(blurs):
        band = fine - coarse
        found += [*_moments(band), *_shapes(scaled, max(sigma, 0.7))]
        found += [_correlation(band, a, b) for a, b in combinations(range(band.shape[-1]), 2)]
    return np.concatenate(found, axis=-1).astype(np.float64)


def windows(image: Array) -> Array:
    """Square windows of an image (Z)YXC, evenly spread, (P, Y, X, C); the whole plane where it is smaller."""
    planes = image if image.ndim == 4 else image[None]
    chosen = planes[:: -(-len(planes) // PLANES)]
    size = tuple(min(WINDOW, side) for side in image.shape[-3:-1])
    starts = [_starts(side, length) for side, length in zip(image.shape[-3:-1], size, strict=True)]
    return np.stack(
        [p[y : y + size[0], x : x + size[1]] for p in chosen for y in starts[0] for x in starts[1]]
    )


def count(shape: Sequence[int]) -> int:
    """How many windows an image of size (Z)YX has; see `windows`."""
    planes = len(range(0, shape[0], -(-shape[0] // PLANES))) if len(shape) == 3 else 1
    return planes * prod(len(_starts(side, min(WINDOW, side))) for side in shape[-2:])


def _starts(side: int, length: int) -> list[int]:
    count = min(ALONG, max(1, round(side / length)))
    return [round(start) for start in np.linspace(0, side - length, count)]


def _moments(band: Array) -> Iterator[Array]:
    """Contrast, skewness and kurtosis of each window and channel (P, C), on scales of the order of 1."""
    contrast = np.sqrt((band**2).mean((1, 2)))
    unit = band / (contrast[:, None, None] + FAINT)
    yield np.log(contrast + FAINT)
    yield np.arcsinh((unit**3).mean((1, 2)))
    yield np.log((unit**4).mean((1, 2)) + 0.1)


def _shapes(image: Array, sigma: float) -> Iterator[Array]:
    """Coherence of orientation, and signed and unsigned shape index, each (P, C)."""
    y, x = np.gradient(_blur(image, sigma), axis=(1, 2))
    yy, xx, yx = (_blur(product, 2 * sigma) for product in (y * y, x * x, y * x))
    yield np.hypot(yy - xx, 2 * yx).mean((1, 2)) / ((yy + xx).mean((1, 2)) + FAINT**2)
    (yy, yx), xx = np.gradient(y, axis=(1, 2)), np.gradient(x, axis=2)
    both, gap = yy + xx, np.hypot(yy - xx, 2 * yx)
    weight = np.hypot(both, gap)
    index = -2 / np.pi * np.arctan2(both, gap)
    total = weight.mean((1, 2)) + FAINT / max(sigma, 1.0) ** 2
    yield (index * weight).mean((1, 2)) / total
    yield (np.abs(index) * weight).mean((1, 2)) / total


def _patterns(image: Array) -> Iterator[Array]:
    """Square roots of frequencies (P, C): uniform patterns with 0 to 8 bright neighbours, and others."""
    for apart in APART:
        inner = [slice(apart, side - apart) for side in image.shape[1:3]]
        centre = image[:, inner[0], inner[1]]
        ring = np.stack([np.roll(image, (-apart * y, -apart * x), (1, 2)) for y, x in RING])
        bright = ring[:, :, inner[0], inner[1]] >= centre
        turns = (bright != np.roll(bright, 1, axis=0)).sum(0)
        code = np.where(turns <= 2, bright.sum(0), 9)
        for pattern in range(10):
            yield np.sqrt((code == pattern).mean((1, 2)))


def _correlation(band: Array, a: int, b: int) -> Array:
    """Of two channels of a band, (P, 1), in [-1, 1]; 0 where one of them is flat."""
    first, second = band[..., a], band[..., b]
    norm = np.sqrt((first**2).mean((1, 2)) * (second**2).mean((1, 2))) + FAINT**2
    return np.asarray((first * second).mean((1, 2)) / norm)[:, None]


def _blur(image: Array, sigma: float) -> Array:
    from scipy import ndimage

    spread = (0, sigma, sigma, 0)
    return np.asarray(ndimage.gaussian_filter(image, spread, mode="mirror", truncate=3.0)) if sigma else image
