"""Images of points: Gaussian spots, integrated over the pixels of a camera."""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.special import erf

from zcdl_common.task import Array

REACH = 6.5
"""Standard deviations beyond which a spot is cut off: 8e-11 of its light lie outside."""


def spots(frame: Array, yx: Array, photons: Array, sigma: Array, shape: tuple[int, int, int]) -> Array:
    r"""Expected photons of Gaussian spots, each pixel the integral over its square.

    .. math:: E_i = \tfrac12\left[\operatorname{erf}\frac{i+1-x}{\sqrt2\sigma}
              - \operatorname{erf}\frac{i-x}{\sqrt2\sigma}\right]

    along each axis; a pixel holds the product of both times the photons.

    Parameters
    ----------
    frame : ndarray
        int (N,), from 0, in any order.
    yx : ndarray
        Positions (N, 2) in pixels from the corner. Those outside shine in as far as they reach.
    photons : ndarray
        Photons (N,) of each spot.
    sigma : ndarray
        Standard deviations (N,) in pixels, above 0.
    shape : tuple of int
        TYX.

    Returns
    -------
    ndarray of float64
        Photons TYX.

    Notes
    -----
    The integrals are taken in a window about each spot, and the shares of its rows and columns stand in two
    sparse matrices, spots x (frames and rows) and spots x columns: one product of them adds up all frames.
    Memory grows with the spots and the frames, not with their product.

    References
    ----------
    Smith, Joseph, Rieger, Lidke 2010, Nat Methods 7:373.
    """
    frames, height, width = shape
    size = np.array((height, width))
    reach = int(np.ceil(REACH * np.max(sigma, initial=0.1)))
    seen = ((yx > -reach) & (yx < size + reach)).all(axis=1)
    frame, yx, photons, sigma = frame[seen], yx[seen], photons[seen], sigma[seen]
    if not len(frame):
        return np.zeros(shape)
    window = 2 * reach + 1  # the frame is that much larger on all sides, so that every window fits in
    large = size + 2 * window
    first_row, rows = _shares(yx[:, 0], sigma, reach)
    first_column, columns = _shares(yx[:, 1], sigma, reach)
    first_row += frame * large[0] + window
    down = _placed(photons[:, None] * rows, first_row, frames * large[0])
    across = _placed(columns, first_column + window, large[1])
    light = (down.T @ across).toarray().reshape(frames, *large)
    return np.asarray(light[:, window:-window, window:-window])


def _shares(centre: Array, sigma: Array, reach: int) -> tuple[Array, Array]:
    """First pixel (N,) of each window, and the part of the light (N, W) in each of its pixels."""
    first = np.floor(centre).astype(np.int64) - reach
    edges = first[:, None] + np.arange(2 * reach + 2) - centre[:, None]
    return first, np.diff(erf(edges / (np.sqrt(2) * sigma[:, None])), axis=1) / 2


def _placed(values: Array, first: Array, length: int) -> sparse.csr_array:
    """Matrix (N, length) whose row n holds ``values[n]`` from ``first[n]`` on."""
    count, window = values.shape
    places = (first[:, None] + np.arange(window)).ravel()
    return sparse.csr_array((values.ravel(), places, np.arange(count + 1) * window), shape=(count, length))
