"""Gaussian spots fitted to many windows at once, and how uncertain their positions are."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import erf, xlogy

from zcdl_common.task import Array

MOST_STEPS = 30
PRECISION = 1e-3
"""A fit is done when a step moves the centre by less, in pixels."""
WIDTHS = (0.5, 2.0)
"""Least and greatest width that a fit may reach, in widths of the spot it looks for."""
LOWEST = 1e-2
"""Photons a pixel below which the likelihood takes no model."""


class Spots(NamedTuple):
    """Gaussian spots, a row each."""

    yx: Array
    """float64 (N, 2), pixels from the corner of the window."""
    total: Array
    """Sum of the spot over all pixels."""
    background: Array
    """Of each pixel."""
    sigma: Array
    """Standard deviations in pixels."""


def fit(
    values: Array,
    inside: Array,
    sigma: float,
    *,
    free: bool = False,
    likelihood: bool = False,
    start: Spots | None = None,
    steps: int = MOST_STEPS,
) -> Spots:
    """Fit one Gaussian, integrated over pixels, to each window by the method of Levenberg and Marquardt.

    All windows go through the steps together; those that are done leave.

    Parameters
    ----------
    values
        Windows (N, S, S) around the spots; photons for the likelihood, which knows their Poisson noise. (With
        read noise, its variance added to the values makes them nearly so.)
    inside
        Which pixels lie in the image, bool (N, S, S); others do not count.
    sigma
        Standard deviation of a spot in pixels.
    free
        Whether the width is fitted, too, within `WIDTHS`.
    likelihood
        Maximum likelihood instead of least squares.
    start
        Spots to begin with; without them, one in the middle of each window.
    steps
        At most so many.

    References
    ----------
    Smith et al. 2010, doi:10.1038/nmeth.1449 (model, likelihood); Laurence & Chromy 2010,
    doi:10.1038/nmeth0510-338 (Levenberg-Marquardt for it); Huang et al. 2013, doi:10.1038/nmeth.2488 (read
    noise).
    """
    start = _middle(values, inside, sigma) if start is None else start
    result = np.column_stack(start)
    used = slice(0, 5 if free else 4)
    values, weights = values.astype(float), inside.astype(float)
    theta, damping, where = result.copy(), np.full(len(values), 1e-2), np.arange(len(values))
    cost = _cost(_model(theta, values.shape[1]), values, weights, likelihood)
    for _ in range(steps):
        if not len(where):
            break
        model, slopes = _slopes(theta, values.shape[1])
        slopes = slopes[:, used].reshape(len(theta), -1, values[0].size)
        weight = weights / np.maximum(model, LOWEST) if likelihood else weights
        weighted = slopes * weight.reshape(len(theta), 1, -1)
        normal = weighted @ slopes.transpose(0, 2, 1)
        downhill = weighted @ (values - model).reshape(len(theta), -1, 1)
        diagonal = np.einsum("nii->ni", normal)
        diagonal += damping[:, None] * diagonal + 1e-9
        step = np.linalg.solve(normal, downhill)[..., 0]
        trial = theta.copy()
        trial[:, used] += step
        np.clip(trial[:, :2], -1, values.shape[1] + 1, out=trial[:, :2])
        np.clip(trial[:, 4], *(sigma * w for w in WIDTHS), out=trial[:, 4])
        new = _cost(_model(trial, values.shape[1]), values, weights, likelihood)
        better = new <= cost
        moved = np.abs(trial - theta)[:, [0, 1, 4]].max(1)
        theta[better], cost[better] = trial[better], new[better]
        damping = np.where(better, damping / 10, damping * 10)
        done = (better & (moved < PRECISION)) | (damping > 1e6)
        result[where] = theta
        if done.any():
            left = ~done
            values, weights, theta = values[left], weights[left], theta[left]
            cost, damping, where = cost[left], damping[left], where[left]
    return Spots(result[:, :2], result[:, 2], result[:, 3], result[:, 4])


def spots_at(yx: Array, values: Array, inside: Array, sigma: float) -> Spots:
    """Brightness and background of spots whose places are known, by linear least squares."""
    size = np.full(len(yx), sigma)
    shape = (
        _profile(yx[:, 0], size, values.shape[1])[:, :, None]
        * (_profile(yx[:, 1], size, values.shape[1])[:, None, :])
    )
    pixels = inside.sum((1, 2))
    mean_shape, mean_value = ((a * inside).sum((1, 2)) / pixels for a in (shape, values))
    about = (shape - mean_shape[:, None, None]) * inside
    total = (about * values).sum((1, 2)) / np.maximum((about * shape).sum((1, 2)), 1e-12)
    return Spots(yx, total, mean_value - total * mean_shape, size)


def shapes(yx: Array, sigma: float, side: int) -> Array:
    """Spots of a sum of 1, each in a window of its own: float64 (N, side, side)."""
    rows, columns = (_profile(centre, np.full(len(yx), sigma), side) for centre in yx.T)
    return np.asarray(rows[:, :, None] * columns[:, None, :])


def draw(yx: Array, sigma: float, shape: tuple[int, int], totals: Array | float = 1.0) -> Array:
    """Spots of one width together: float64 YX."""
    size = np.full(len(yx), sigma)
    rows = _profile(yx[:, 0], size, shape[0]) * np.reshape(totals, (-1, 1))
    return np.asarray(rows.T @ _profile(yx[:, 1], size, shape[1]))


def brightest_explained(spots: Spots, values: Array, inside: Array) -> Array:
    """Share of the brightest pixel near the middle, above background, that the spot explains: (N,).

    Of a hot pixel it is small: light spreads over neighbours.
    """
    side = values.shape[1]
    middle = slice(side // 2 - 1, side // 2 + 2)
    theta = np.column_stack([spots.yx, spots.total, spots.background, spots.sigma])
    model = _model(theta, side)[:, middle, middle].reshape(len(theta), -1)
    near = np.where(inside, values, -np.inf)[:, middle, middle].reshape(len(theta), -1)
    peak = near.argmax(1)[:, None]
    height, explained = (np.take_along_axis(a, peak, 1)[:, 0] - spots.background for a in (near, model))
    return np.asarray(explained / np.where(height > 0, height, np.inf))


def uncertainty(spots: Spots, likelihood: bool, read_noise: float = 0.0, excess: float = 1.0) -> Array:
    r"""Standard deviation expected of each position, along one axis, in pixels: (N,).

    .. math:: \sigma_x^2 = F \frac{\sigma_a^2}{N} \left(\frac{16}{9} + 4\tau\right), \quad
              \sigma_x^2 = F \frac{\sigma_a^2}{N} \left(1 + 4\tau + \sqrt{\frac{2\tau}{1+4\tau}}\right), \quad
              \tau = \frac{2\pi\sigma_a^2 b}{N}, \quad \sigma_a^2 = \sigma^2 + \tfrac{1}{12}

    for least squares and for maximum likelihood, with N photons and a background b a pixel.

    Parameters
    ----------
    spots
        In photons.
    likelihood
        Which of both.
    read_noise
        Standard deviation in photoelectrons; its square adds to the background.
    excess
        Factor F by which the camera multiplies the variance of photons: 1, and 2 of an EMCCD.

    References
    ----------
    Mortensen et al. 2010, doi:10.1038/nmeth.1447; Rieger & Stallinga 2014, doi:10.1002/cphc.201300711
    (closed form of the likelihood's).
    """
    photons = np.maximum(spots.total, 1e-9)
    area = spots.sigma**2 + 1 / 12
    tau = 2 * np.pi * area * (np.maximum(spots.background, 0) + read_noise**2 / excess) / photons
    factor = 1 + 4 * tau + np.sqrt(2 * tau / (1 + 4 * tau)) if likelihood else 16 / 9 + 4 * tau
    return np.asarray(np.sqrt(excess * area / photons * factor))


def _profile(centre: Array, sigma: Array, size: int) -> Array:
    """Share of a spot in each pixel of a line: (N, size)."""
    edges = (np.arange(size + 1) - centre[:, None]) / (np.sqrt(2) * sigma[:, None])
    return np.asarray(np.diff(erf(edges), axis=1) / 2)


def _model(theta: Array, side: int) -> Array:
    y, x, total, background, sigma = theta.T
    rows = total[:, None] * _profile(y, sigma, side)
    return np.asarray(rows[:, :, None] * _profile(x, sigma, side)[:, None, :] + background[:, None, None])


def _slopes(theta: Array, side: int) -> tuple[Array, Array]:
    """Model (N, S, S) and its derivatives (N, 5, S, S) by row, column, brightness, background and width."""
    y, x, total, background, sigma = theta.T
    edges = np.arange(side + 1)
    share, by_place, by_width = [], [], []
    for centre in (y, x):
        u = (edges - centre[:, None]) / sigma[:, None]
        density = np.exp(-(u**2) / 2) / (np.sqrt(2 * np.pi) * sigma[:, None])
        share.append(np.diff(erf(u / np.sqrt(2)), axis=1) / 2)
        by_place.append(-np.diff(density, axis=1))
        by_width.append(-np.diff(u * density, axis=1))
    rows, columns = ((s, p, w) for s, p, w in zip(share, by_place, by_width, strict=True))
    slopes = np.empty((len(theta), 5, side, side))
    n = total[:, None, None]
    shape = rows[0][:, :, None] * columns[0][:, None, :]
    slopes[:, 0] = n * rows[1][:, :, None] * columns[0][:, None, :]
    slopes[:, 1] = n * rows[0][:, :, None] * columns[1][:, None, :]
    slopes[:, 2] = shape
    slopes[:, 3] = 1.0
    slopes[:, 4] = n * (
        rows[2][:, :, None] * columns[0][:, None, :] + rows[0][:, :, None] * columns[2][:, None, :]
    )
    return n * shape + background[:, None, None], slopes


def _middle(values: Array, inside: Array, sigma: float) -> Spots:
    """A spot in the middle of each window."""
    return spots_at(np.full((len(values), 2), values.shape[1] / 2), values, inside, sigma)


def _cost(model: Array, values: Array, weights: Array, likelihood: bool) -> Array:
    if not likelihood:
        return np.asarray((weights * (values - model) ** 2).sum((1, 2)))
    model = np.maximum(model, LOWEST)
    return np.asarray((weights * (model - values + xlogy(values, values / model))).sum((1, 2)))
