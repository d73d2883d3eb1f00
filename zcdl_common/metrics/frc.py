"""Resolution of a super-resolved image without truth: how far two halves of the frames agree.

What both halves show is signal, what one shows alone is chance. A fault that both share, as a wrong pixel
size or structures that a network invents from every frame alike, is signal to this measure; and molecules
that stay on, or come back, in both halves make it too good.

Positions that are read from a map of fine pixels favour their centres, and the grid of these is in both
halves: they then agree again at its frequency, and at lower ones under which it appears in an image of other
pixels. Such positions are moved at random within a fine pixel first. That takes the grid away, exactly where
all of them lie in the centres, and makes the resolution a little worse than it is, never better.

References
----------
Nieuwenhuizen, R. P. J. et al. (2013). Measuring image resolution in optical nanoscopy. Nature Methods 10,
557-562. doi:10.1038/nmeth.2448
Schuchman, L. (1964). Dither signals and their effect on quantization noise. IEEE Transactions on
Communication Technology 12, 162-165. doi:10.1109/TCOM.1964.1088973
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.metrics.rings import rings
from zcdl_common.metrics.shapes import same_shape
from zcdl_common.smlm.localisations import Localisations, nanometres
from zcdl_common.smlm.render import histogram
from zcdl_common.task import Array

THRESHOLD = 1 / 7
BLOCKS = 20
"""Blocks of frames that go to the halves in turn; long ones keep a blink in one half."""
FINE = 10.0
"""Nanometres a fine pixel measures at most; twice as much can be resolved at best."""
GRIDS = range(4, 17)
"""Fine pixels a side of a camera pixel that a map may have."""
FAVOURED = 0.1
"""Length of the mean phase of positions, over such pixels, from which they favour a part of them; 0 where
they are anywhere alike, 1 where all lie at the same place."""
FADED = 0.25
"""Share of the image that is faded out at its borders, half at each: they would correlate."""


class Curve(NamedTuple):
    """Correlation of two halves by frequency."""

    frequency: Array
    """Cycles a nanometre, float64 (R,)."""
    correlation: Array
    """In [-1, 1], (R,)."""
    smooth: Array
    """Its running mean, of which the threshold is asked, (R,)."""
    resolution: float
    """Nanometres; NaN where the curve never crosses the threshold."""
    grid: float = 0.0
    """Side in nanometres of the fine pixels whose centres positions favoured, and within which they were
    moved at random; 0: they were not."""


def resolution(
    found: Localisations,
    frames: int,
    shape: tuple[int, int],
    pixel_size: Sequence[float],
    *,
    blocks: int = BLOCKS,
) -> Curve:
    """Fourier ring correlation resolution of localisations.

    Parameters
    ----------
    found
        Localisations, corrected for drift. Where they favour the centres of fine pixels they are moved at
        random within these, each time in the same way.
    frames, shape
        Number of frames, and their size YX in pixels.
    pixel_size
        YX of a camera pixel in micrometres; the sides must be equal.
    blocks
        Blocks of consecutive frames; the even ones are one half, the odd ones the other.

    Raises
    ------
    DataError
        A half holds nothing, or pixels are not square.
    """
    side = nanometres(pixel_size)
    if not np.isclose(side[0], side[1], rtol=1e-3):
        raise DataError(
            f"Rings need square pixels; these measure {side[0]:g} x {side[1]:g} nm. Check pixel_size."
        )
    half = (found.frame * blocks // frames) % 2
    if len(np.unique(half)) < 2:
        raise DataError(
            f"{len(found)} localisations in {frames} frames cannot be divided into two halves of {blocks} "
            "blocks that both hold some. Lower the threshold of detection, or take more frames."
        )
    fine = favoured(found)
    if fine:
        moved = np.random.default_rng(0).uniform(-0.5, 0.5, found.yx.shape) / fine
        found = replace(found, yx=found.yx + moved)
    magnification = int(np.ceil(side[0] / FINE))
    even, odd = (histogram(found.select(half == number), shape, magnification) for number in (0, 1))
    found_curve = curve(even, odd, float(side[0] / magnification))
    return found_curve._replace(grid=float(side[0] / fine)) if fine else found_curve


def favoured(found: Localisations) -> int:
    """Fine pixels a side of a camera pixel, of which positions favour a part; 0 where they favour none.

    Of several numbers the least: pixels half as large have the same centres, and further ones.
    """
    if not len(found):
        return 0
    chance = 4 / np.sqrt(len(found))
    for fine in GRIDS:
        if np.abs(np.exp(2j * np.pi * fine * found.yx).mean(axis=0)).max() > max(FAVOURED, chance):
            return fine
    return 0


def curve(one: Array, other: Array, pixel: float) -> Curve:
    r"""Fourier ring correlation of two images.

    .. math:: \mathrm{FRC}(q) = \frac{\sum_{|k| \in q} F_1(k) F_2(k)^*}
              {\sqrt{\sum_{|k| \in q} |F_1(k)|^2 \sum_{|k| \in q} |F_2(k)|^2}}

    Parameters
    ----------
    one, other
        (Y, X), of independent noise.
    pixel
        Side of a pixel in nanometres.

    Returns
    -------
    Curve
        The resolution is one over the first frequency where the smooth curve falls to 1/7.
    """
    same_shape(one, other)
    first, second = map(_transform, (one, other))
    each = rings(one.shape)
    shared = each.sums((first * second.conj()).real)
    power = each.sums(np.abs(first) ** 2) * each.sums(np.abs(second) ** 2)
    correlation = shared / np.sqrt(np.where(power > 0, power, np.inf))
    frequency = each.radius / (2 * pixel)
    smooth = _running_mean(correlation)
    return Curve(frequency, correlation, smooth, 1 / _crossing(frequency, smooth))


def _transform(image: Array) -> Array:
    from scipy import fft
    from scipy.signal.windows import tukey

    faded = image * np.outer(*(tukey(side, FADED) for side in image.shape))
    return np.asarray(fft.rfft2(faded))


def _running_mean(values: Array) -> Array:
    """Mean over about a twentieth of the rings, fewer towards the ends."""
    half = max(1, len(values) // 40)
    window = np.ones(2 * half + 1)
    sums, counts = (np.convolve(v, window, "same") for v in (values, np.ones_like(values)))
    return np.asarray(sums / counts)


def _crossing(frequency: Array, smooth: Array) -> float:
    """Frequency at which the curve first falls to the threshold, between two rings."""
    below = np.flatnonzero(smooth < THRESHOLD)
    if not below.size or below[0] == 0:
        return float("nan")
    after = int(below[0])
    falling = [smooth[after], smooth[after - 1]]
    return float(np.interp(THRESHOLD, falling, [frequency[after], frequency[after - 1]]))
