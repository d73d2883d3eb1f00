r"""Drift of the stage, told from the localisations alone, and its correction.

The frames are divided into blocks of time, an image is drawn of each, and the shift of every block against
every other one is where their cross-correlation peaks. With B blocks there are B (B - 1) / 2 shifts
:math:`r_{ij} = d_j - d_i` for B - 1 unknowns, so that errors of single shifts average out, and gross ones
are found by their residual and left out.

It takes structures that stay while molecules blink, and a drift that is slow against a block. It cannot tell
a moving cell from a moving stage.

References
----------
Wang, Y. et al. (2014). Localization events-based sample drift correction for localization microscopy with
redundant cross-correlation algorithm. Optics Express 22, 15982-15991. doi:10.1364/OE.22.015982
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import combinations

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.smlm.localisations import Localisations
from zcdl_common.task import Array

BLOCKS = 10
FEWEST = 50
"""Localisations a block below which its image correlates by chance."""
REACH = 5.0
"""Camera pixels that two blocks may be apart."""
TOLERANCE = 0.2
"""Residual in camera pixels above which a shift is left out, as published."""
AGREEING = 0.5
"""Share of the shifts that must agree; with few enough left, any do."""
FINEST = 10
"""Fine pixels a side of a camera pixel, fewer where the image would become larger than `LARGEST`."""
LARGEST = 2**22
BLUR = 2.0
"""Standard deviation in fine pixels under which blocks are drawn; the peak is then smooth enough to fit."""


def estimate(found: Localisations, frames: int, shape: tuple[int, int], *, blocks: int = BLOCKS) -> Array:
    """Where the sample is in each frame, against the first.

    Parameters
    ----------
    found
        Localisations of the stack.
    frames, shape
        Number of frames, and their size YX in pixels.
    blocks
        Blocks of time: more follow faster drift, fewer are surer.

    Returns
    -------
    Array
        float64 (frames, 2): drift YX in *camera pixels*, 0 in the first frame. A smoothing spline near the
        blocks, its weight by generalised cross-validation; through them where they are fewer than five.

    Raises
    ------
    DataError
        A block holds too few localisations, or the shifts contradict each other.
    """
    edges = np.linspace(0, frames, blocks + 1)
    member = np.digitize(found.frame, edges[1:-1])
    counts = np.bincount(member, minlength=blocks)
    if blocks < 2 or counts.min() < FEWEST:
        raise DataError(
            f"Drift cannot be told from {len(found)} localisations in {blocks} blocks of time: the emptiest "
            f"block holds {counts.min()}, and {FEWEST} are needed in each of at least 2. Take fewer blocks, "
            "or leave the drift as it is."
        )
    fine = int(np.clip(np.sqrt(LARGEST / np.prod(shape)), 1, FINEST))
    large = (shape[0] * fine, shape[1] * fine)
    spectra = [_spectrum(found.yx[member == b] * fine, large) for b in range(blocks)]
    shifts = _shifts(spectra, large, REACH * fine)
    pairs = np.array(list(combinations(range(blocks), 2)))
    places = _consistent(pairs, np.array(list(shifts)) / fine, blocks)
    middles = np.array([found.frame[member == b].mean() for b in range(blocks)])
    path = np.stack([_through(middles, along, frames) for along in places.T], axis=1)
    return np.asarray(path - path[0])


def correct(found: Localisations, drift: Array) -> Localisations:
    """Take off a drift (frames, 2) YX in camera pixels, as if every frame had been the first."""
    return replace(found, yx=found.yx - drift[found.frame])


def _spectrum(yx: Array, shape: tuple[int, int]) -> Array:
    """Fourier transform of positions (N, 2) in fine pixels, drawn as Gaussians, without its mean.

    A position is shared out between the four nearest pixels, and the rest of the Gaussian is a product here:
    millions of positions take seconds, and those that favour a grid of other pixels show no beat with these.
    """
    from scipy import fft

    first = np.floor(yx - 0.5).astype(np.int64)
    after = yx - 0.5 - first
    image = np.zeros(shape)
    for step in np.ndindex(2, 2):
        place, share = first + step, np.where(step, after, 1 - after).prod(axis=1)
        inside = ((place >= 0) & (place < shape)).all(axis=1)
        at = np.ravel_multi_index(tuple(place[inside].T), shape)
        image += np.bincount(at, share[inside], image.size).reshape(shape)
    down, across = fft.fftfreq(shape[0])[:, None], fft.rfftfreq(shape[1])
    left = BLUR**2 - 1 / 6  # what shares have spread
    spectrum = fft.rfft2(image) * np.exp(-2 * np.pi**2 * left * (down**2 + across**2))
    spectrum[0, 0] = 0.0
    return np.asarray(spectrum)


def _shifts(spectra: list[Array], shape: tuple[int, int], reach: float) -> Iterator[Array]:
    """Shift YX in fine pixels from the first to the second of every pair of blocks."""
    from scipy import fft

    r = int(np.ceil(reach))
    near = [np.arange(-min(r, n // 2 - 1), min(r, n // 2 - 1) + 1) for n in shape]
    for one, other in combinations(spectra, 2):
        correlation = fft.irfft2(np.conj(one) * other, shape)
        window = correlation[np.ix_(*near)]
        yield _peak(window) + [n[0] for n in near]


def _peak(window: Array) -> Array:
    """Place of the maximum YX between the pixels: a paraboloid through the logarithm of those around it."""
    half = int(np.ceil(BLUR))
    top = np.array(np.unravel_index(window.argmax(), window.shape))
    top = np.clip(top, half, np.array(window.shape) - 1 - half)
    part = window[top[0] - half : top[0] + half + 1, top[1] - half : top[1] + half + 1]
    y, x = (g.ravel() for g in np.mgrid[-half : half + 1, -half : half + 1].astype(float))
    height = np.log(np.maximum(part.ravel(), part.max() * 1e-3))
    terms = np.stack([np.ones_like(y), y, x, y * y, y * x, x * x], axis=1)
    _, by, bx, byy, byx, bxx = np.linalg.lstsq(terms, height, rcond=None)[0]
    curvature = np.array([[2 * byy, byx], [byx, 2 * bxx]])
    if np.linalg.eigvalsh(curvature).max() >= 0:  # no peak, a ridge or a saddle
        return top.astype(float)
    return np.asarray(top + np.clip(np.linalg.solve(curvature, [-by, -bx]), -half, half))


def _consistent(pairs: Array, shifts: Array, blocks: int) -> Array:
    """Place of each block (B, 2) that agrees best with all shifts but those that none agrees with."""
    design = np.zeros((len(pairs), blocks))
    rows = np.arange(len(pairs))
    design[rows, pairs[:, 0]], design[rows, pairs[:, 1]] = -1.0, 1.0
    kept = np.ones(len(pairs), bool)
    while True:
        places = np.linalg.lstsq(design[kept], shifts[kept], rcond=None)[0]
        residual = np.linalg.norm(design @ places - shifts, axis=1) * kept
        worst = int(residual.argmax())
        if residual[worst] <= TOLERANCE:
            return np.asarray(places)
        kept[worst] = False
        if kept.mean() < AGREEING or np.linalg.matrix_rank(design[kept]) < blocks - 1:
            raise DataError(
                "The shifts between blocks of time contradict each other, so that the drift cannot be told: "
                "too few localisations, or structures that move by themselves. Take fewer blocks, or leave "
                "the drift as it is."
            )


def _through(middles: Array, values: Array, frames: int) -> Array:
    """A smooth line through the blocks, at every frame."""
    from scipy.interpolate import make_interp_spline, make_smoothing_spline

    every = np.arange(frames)
    if len(middles) < 5:
        return np.asarray(make_interp_spline(middles, values, k=min(2, len(middles) - 1))(every))
    return np.asarray(make_smoothing_spline(middles, values)(every))
