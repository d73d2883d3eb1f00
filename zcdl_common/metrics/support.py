"""Whether the poor image supports what a restored image shows, without any truth.

A restoration network answers with what is likely by its training. Where the poor image holds no trace of
a detail, it may paint one, and where noise hides a structure, it may wipe it away. Both leave a mark: the
poor image, minus what the restored one predicts for it, is then no longer noise alone. This sees
disagreement, not error: detail below the noise can be invented without a trace.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zcdl_common.task import Array

BLURS = (0.0, 0.7, 1.0, 1.5, 2.0, 3.0)
"""Standard deviations in pixels by which the poor image may be less sharp than the restored one."""
NEAR, FAR = 2.0, 16.0
"""Residuals are averaged over NEAR pixels (standard deviation) and compared with those over FAR pixels."""
BEYOND = 4.0
"""Standard errors beyond which a disagreement is flagged."""
TOLERANCE = 0.03
"""Share of its contrast by which a structure may be brighter in one of the images."""
MOST_CLIPPED = 0.1
"""Share of pixels above which the brightest value is a surface and not a detector at its limit."""
MARGIN = 1.2
"""The scatter of averages may exceed that of noise by so much, all over the image."""
BINS = 24
"""Groups of pixels of like brightness whose noise is measured."""
LEAST = 0.05
"""Share of the usual variance that no pixel is below: a background that was clipped to 0 has none."""
MOST_PLANES = 8
"""Blur and noise of a volume are measured on so many of its planes."""


class Support(NamedTuple):
    """Disagreement of a restored image with the image it was made from."""

    z: Array
    """float32 (Z)YXC of the poor image, in standard errors: positive where the restored image shows what
    the poor one does not hold, negative where it lacks what the poor one holds."""
    percent: float
    """Pixels beyond `BEYOND` in any channel, 0 to 100; NaN, as all others, for images that are constant or
    not finite."""
    blur: float
    """Standard deviation in pixels of the blur that brings the restored image nearest to the poor one."""


def support(source: Array, restored: Array) -> Support:
    """Compare a poor image (Z)YXC with the image (Z)YXK restored from it, plane by plane.

    The restored image is blurred and brought to the brightness of the poor one by the least-squares mix of
    its channels. Residuals are divided by the noise that the poor image has at that brightness, averaged
    over a neighbourhood, freed of slow drifts, and given in standard errors of such an average.

    Notes
    -----
    The noise is measured on the poor image by itself: a mask that cancels smooth structure (Immerkær)
    leaves noise, whose power at pixels of similar brightness gives the variance as a function of the
    signal, as for Poisson and Gaussian noise (Foi et al.). That restored images should explain the raw ones
    is the idea of resolution-scaled error maps (Culley et al.).

    Simulated and real true images are flagged in less than 0.1 % of their pixels.

    References
    ----------
    Culley, S. et al. (2018). Quantitative mapping and minimization of super-resolution optical imaging
    artifacts. Nature Methods 15, 263-266. doi:10.1038/nmeth.4605
    Foi, A. et al. (2008). Practical Poissonian-Gaussian noise modeling and fitting for single-image
    raw-data. IEEE Transactions on Image Processing 17, 1737-1754. doi:10.1109/TIP.2008.2001399
    Immerkær, J. (1996). Fast noise variance estimation. Computer Vision and Image Understanding 64,
    300-302. doi:10.1006/cviu.1996.0060
    """
    poor, good = source.astype(np.float32), restored.astype(np.float32)
    if not (np.isfinite(poor).all() and np.isfinite(good).all() and np.ptp(poor) > 0):
        return Support(np.full(poor.shape, np.nan, np.float32), float("nan"), float("nan"))
    sigma = best_blur(poor, good)
    expected = explained(poor, blurred(good, sigma))
    clipped = blurred(_clipped(good).astype(np.float32), sigma) > 0.05
    unknown = clipped.any(axis=-1, keepdims=True) | _clipped(poor)
    z = np.empty(poor.shape, np.float32)
    for channel in range(poor.shape[-1]):
        z[..., channel] = _disagreement(poor[..., channel], expected[..., channel], unknown[..., channel])
    flagged = (np.abs(z) > BEYOND).any(axis=-1)
    return Support(z, float(100 * flagged.mean()), sigma)


def _clipped(image: Array) -> Array:
    """The brightest pixels of each channel (Z)YXC, whose true brightness may be higher; no large plateaus."""
    axes = tuple(range(image.ndim - 1))
    top = image == image.max(axis=axes)
    return np.asarray(top & (top.mean(axis=axes) < MOST_CLIPPED))


def best_blur(poor: Array, good: Array) -> float:
    """The one of `BLURS` that lets the restored image explain the poor one best; few planes tell it."""
    poor, good = _few(poor, 3), _few(good, 3)
    errors = [np.mean((poor - explained(poor, blurred(good, sigma))) ** 2) for sigma in BLURS]
    return BLURS[int(np.argmin(errors))]


def explained(poor: Array, good: Array) -> Array:
    """Least-squares mix of the channels of `good`, and a constant, for each channel of `poor`."""
    x = good.reshape(-1, good.shape[-1]).astype(np.float64)
    y = poor.reshape(-1, poor.shape[-1]).astype(np.float64)
    x_mean, y_mean = x.mean(0), y.mean(0)
    x, y = x - x_mean, y - y_mean
    mix = np.linalg.lstsq(x.T @ x, x.T @ y, rcond=None)[0]
    return np.asarray((x @ mix + y_mean).reshape(poor.shape), np.float32)


def blurred(image: Array, sigma: float) -> Array:
    """Gaussian blur in Y and X of (Z)YXC; `sigma` in pixels."""
    return _smooth(image, (0.0,) * (image.ndim - 3) + (sigma, sigma, 0.0))


def noise_variance(image: Array, brightness: Array) -> Array:
    """Variance of the noise of one channel (Z)YX at the given brightness, (Z)YX.

    The power of the noise is averaged over neighbourhoods, for single pixels of a photon count say too
    little; its median over all that are equally bright passes over those with structure.
    """
    image = _few(image, 2)
    level = _smooth(image, _plane(image, NEAR)).ravel()
    power = _smooth(_noise(image) ** 2, _plane(image, 2 * NEAR)).ravel()
    groups = [g for g in np.array_split(np.argsort(level), BINS) if g.size]
    variance = np.array([np.median(power[g]) for g in groups])
    variance = np.maximum(variance, LEAST * np.median(variance))
    return np.asarray(np.interp(brightness, [level[g].mean() for g in groups], variance), np.float32)


def _noise(image: Array, apart: int = 1) -> Array:
    """White noise keeps its variance under this mask; planes and straight edges along an axis vanish."""
    from scipy import ndimage

    mask = np.zeros(2 * apart + 1)
    mask[::apart] = np.array([1.0, -2.0, 1.0]) / np.sqrt(6)
    for axis in (-2, -1):
        image = ndimage.correlate1d(image, mask, axis=axis, mode="mirror")
    return image


def _disagreement(poor: Array, expected: Array, unknown: Array) -> Array:
    """Standardised local averages of what the restored image shows too much, (Z)YX."""
    level = _smooth(poor, _plane(poor, NEAR))
    variance = noise_variance(poor, expected)
    span = float(np.ptp(np.percentile(level, [0.1, 99.9])))
    noise = np.sqrt(np.maximum(variance, (1e-3 * span) ** 2))
    if not noise.min() > 0:
        return np.zeros(poor.shape, np.float32)
    residual = np.where(unknown, 0, (expected - poor) / noise)
    average, found = _band(residual), _band(poor / noise)
    scatter = np.clip(_scatter(average), 1.0, MARGIN * _correlated(residual))
    # a structure that both show may be brighter in one of them
    tolerated = TOLERANCE * np.minimum(np.abs(found), np.abs(found + average))
    return np.asarray(average / np.hypot(scatter, tolerated), np.float32)


def _correlated(residual: Array) -> float:
    """How much more averages scatter than they would if noise of variance 1 were white; at least 1.

    Noise that is alike in neighbours (resampled or compressed images) is smaller under the mask than under
    one that compares pixels farther apart; with the correlation r of neighbours, the former leaves
    ``6 - 8 r`` sixths of the variance along each axis, and an average has ``1 + 2 r`` times that of white
    noise.
    """
    residual = _few(residual, 2)
    close = _scatter(_noise(residual))
    found = 1.0
    for apart in (2, 3):
        wide = _scatter(_noise(residual, apart))
        r = 0.75 * (1 - close / max(wide, close)) if wide > 0 else 0.0
        found = max(found, wide * (1 + 2 * r))
    return found


def _few(image: Array, plane: int) -> Array:
    """At most `MOST_PLANES` planes, evenly spread; `plane` is the number of axes of an image without Z."""
    return image if image.ndim == plane else image[:: -(-len(image) // MOST_PLANES)]


def _scatter(values: Array) -> float:
    """Robust standard deviation about 0."""
    return float(np.median(np.abs(values)) * 1.4826)


def _band(image: Array) -> Array:
    """Local averages less their surroundings; white noise of variance 1 keeps it."""
    near, far = NEAR**2, FAR**2
    left = np.sqrt((1 / near - 4 / (near + far) + 1 / far) / (4 * np.pi))
    return np.asarray((_smooth(image, _plane(image, NEAR)) - _smooth(image, _plane(image, FAR))) / left)


def _plane(image: Array, sigma: float) -> tuple[float, ...]:
    return (0.0,) * (image.ndim - 2) + (sigma, sigma)


def _smooth(image: Array, sigma: tuple[float, ...]) -> Array:
    from scipy import ndimage

    return np.asarray(ndimage.gaussian_filter(image, sigma)) if any(sigma) else image
