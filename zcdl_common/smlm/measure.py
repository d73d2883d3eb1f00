r"""What a stack of single-molecule frames holds: background, width of spots, photons, density.

Counting and fitting spots fails where they overlap: many pass for one that is brighter and wider. Their
blinking does not mislead. About its mean over time, a stack of independent spots fluctuates with the
autocovariance (Campbell's theorem, at a shift of :math:`d` pixels)

.. math:: C(d) = \rho\,\langle N^2\rangle \, \frac{e^{-d^2/4s^2}}{4\pi s^2},
          \quad s^2 = \sigma^2 + \tfrac1{12}

with :math:`\rho` emitters a pixel and frame of :math:`N` photons; the 1/12 is the pixel. Noise of the camera
differs from pixel to pixel and adds to :math:`d = 0` alone, which is left out. The width of C is that of the
spots. The third cumulant, of a pixel squared and its neighbour, is

.. math:: D(d) = \rho\,\langle N^3\rangle \, \frac{e^{-d^2/3s^2}}{12\pi^2 s^4} + F^2 C(d)

where the last term is the noise, which is stronger where there is light (F squared: `camera`, over the
quantum efficiency). With the mean light :math:`\rho\langle N\rangle` over the background these tell how much
photons vary between emitters, exactly where they are log-normal and nearly so where they vary little:

.. math:: 1 + c^2 = \frac{\langle N\rangle\langle N^3\rangle}{\langle N^2\rangle^2}, \qquad
          \langle N\rangle = \frac{\langle N^2\rangle}{\langle N\rangle (1 + c^2)}

References
----------
Rice 1944, Bell Syst Tech J 23:282 (Campbell's theorem); Petersen et al. 1993, Biophys J 65:1135 (image
correlation: density and size from fluctuations).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft, ndimage, optimize

from zcdl_common.errors import DataError
from zcdl_common.smlm.camera import Camera, photons, variance
from zcdl_common.task import Array

MOST = 400
"""Frames that are looked at, evenly spread over the stack."""
LAGS = 8
"""Pixels up to which fluctuations are correlated."""
LEAST_SIDE, LEAST_FRAMES = 24, 5
DARK = 2.0
"""Percentile of smoothed light that is taken for the background, after the part that is noise."""
TILE = 16
"""Pixels a side of the tiles in which the background is the same."""
RESAMPLED = 100
"""Bootstrap samples."""

_SHIFTS = np.arange(-LAGS, LAGS + 1)
_DISTANCE = np.add.outer(_SHIFTS**2, _SHIFTS**2)
NEAR = (_DISTANCE > 0) & (_DISTANCE <= LAGS**2)
"""Shifts that are used: no noise of single pixels, and few pixels more than spots are wide."""
R2 = _DISTANCE[NEAR].astype(float)
""":math:`d^2` at those shifts, pixels squared."""


@dataclass(frozen=True)
class Quantity:
    """A measured value with its 95 % interval (bootstrap over frames)."""

    value: float
    low: float
    high: float

    def times(self, factor: float) -> Quantity:
        return Quantity(self.value * factor, self.low * factor, self.high * factor)


@dataclass(frozen=True)
class Measured:
    """What was found in a stack; NaN where nothing blinks."""

    background: Quantity
    """Photons a pixel and frame. Below 0 where the offset of the camera is wrong. Too high where hardly a
    pixel stays dark: by 2 photons at 3, by 7 at 6 emitters of 2250 photons a square micrometre."""
    sigma_nm: Quantity
    """Standard deviation of the spot."""
    photons: Quantity
    """Mean photons of an emitter in a frame. Too high where the background is too high: by a tenth at 4
    emitters a square micrometre."""
    spread: Quantity
    """1 + c squared, where c is the standard deviation of the photons between emitters over their mean; 1
    where all are alike, 1.5 where they are exponentially distributed."""
    density: Quantity
    r"""Emitters a square micrometre and frame where the emitters are: :math:`\int\rho^2/\int\rho`, equal to
    the density of the field where they are everywhere. Too low where photons are too high."""
    field_density: Quantity
    """The same averaged over the whole field; smaller where emitters lie along structures."""

    @property
    def blinks(self) -> bool:
        """Whether spots that come and go were found at all."""
        return all(q.value > 0 for q in (self.sigma_nm, self.photons, self.density, self.field_density))

    @property
    def crowding(self) -> float:
        """Density where the emitters are over that of the field."""
        return self.density.value / self.field_density.value


def measure(frames: Array, camera: Camera, pixel_nm: float, resampled: int = RESAMPLED) -> Measured:
    """Measure a stack of blinking spots, sparse or crowded.

    Parameters
    ----------
    frames : ndarray
        Counts TYX; at least 5 frames of 24 x 24 pixels. Tens of frames give useful intervals.
    camera : Camera
        The camera that took them: offset and gain above all.
    pixel_nm : float
        Side of a pixel in nanometres.
    resampled : int
        Bootstrap samples for the intervals, 1 or more.

    Returns
    -------
    Measured
        Photons are those that reach the camera.

    Raises
    ------
    DataError
        For too few or too small frames.

    Notes
    -----
    Background that differs from tile to tile, or falls over time alike everywhere, is told from emitters.
    Those that stay on for much of the stack pass for structure (`density` is too high, less so the longer
    the stack), and where they stay on for several frames the intervals are too narrow. Blinking of
    out-of-focus light widens the spots.
    """
    if frames.ndim != 3 or len(frames) < LEAST_FRAMES or min(frames.shape[1:]) < LEAST_SIDE:
        raise DataError(
            f"Blinking cannot be measured in {' x '.join(map(str, frames.shape))} values: it needs at least "
            f"{LEAST_FRAMES} frames of {LEAST_SIDE} x {LEAST_SIDE} pixels. Give a longer or larger movie of "
            "raw frames; or set density, photons, background and sigma_nm to what you know of them."
        )
    light = photons(frames[:: -(-len(frames) // MOST)], camera)
    count, area = len(light), (pixel_nm / 1000) ** 2
    smooth = ndimage.gaussian_filter(light, (0.0, 1.0, 1.0))
    dark = np.array([_background(frame, camera) for frame in smooth])
    drift = (dark - np.median(dark)).astype(np.float32)[:, None, None]
    light, smooth = light - drift, smooth - drift
    level = _background_of_tiles(smooth, camera)
    dark += np.median(level) - np.median(dark)
    average = light.mean(axis=0)
    mean_light = light.mean(axis=(1, 2)) - level.mean()
    second, third = _cumulants(light - average)
    noise = (2.0 if camera.em_gain > 1 else 1.0) / camera.quantum_efficiency
    found = _found(second, third, mean_light, dark, noise)
    rng = np.random.default_rng(0)
    picks = rng.integers(count, size=(resampled, count))
    again = np.array(
        [_found(second[pick], third[pick], mean_light[pick], dark[pick], noise) for pick in picks]
    )
    background, sigma, number, spread, density = (
        Quantity(float(value), *map(float, np.percentile(values, (2.5, 97.5))))
        for value, values in zip(found, again.T, strict=True)
    )
    above = average - level
    crowding = (np.square(above).mean() - light.var(axis=0, ddof=1).mean() / count) / above.mean() ** 2
    field = density.times(1 / area)
    return Measured(background, sigma.times(pixel_nm), number, spread, field.times(float(crowding)), field)


def _background(smooth: Array, camera: Camera) -> float:
    """Photons where smoothed light is darkest, without the darkness that is chance."""
    darkest = float(np.percentile(smooth, DARK))
    noise = np.sqrt(np.mean(variance(np.array(max(darkest, 0.0)), camera))) / camera.counts_per_photon
    below_mean = 2.054 * noise / np.sqrt(4 * np.pi)  # the normal quantile of DARK, and what smoothing leaves
    return darkest + float(below_mean)


def _background_of_tiles(smooth: Array, camera: Camera) -> Array:
    """Photons YX, one number a tile, from all frames: what never blinks is no emitter's light."""
    _, height, width = smooth.shape
    level = np.empty((height, width))
    for top in range(0, height, TILE):
        for left in range(0, width, TILE):
            tile = (slice(top, top + TILE), slice(left, left + TILE))
            level[tile] = _background(smooth[:, *tile], camera)
    return level


def _cumulants(light: Array) -> tuple[Array, Array]:
    """Second and third cumulant at shifts of -LAGS to LAGS pixels, each (T, L, L), means over pairs.

    `light` TYX has mean 0 over time; that it was estimated from the frames is made up for.
    """
    count, height, width = light.shape
    padded = [fft.next_fast_len(size + LAGS, real=True) for size in (height, width)]
    pairs = np.outer(height - np.abs(_SHIFTS), width - np.abs(_SHIFTS))
    chosen = np.ix_(_SHIFTS, _SHIFTS)
    second, third = np.empty((2, count, *pairs.shape))
    for index, frame in enumerate(light):
        once, twice = fft.rfft2(frame, padded), fft.rfft2(frame**2, padded)
        for products, other in ((second, once), (third, twice)):
            products[index] = fft.irfft2(once * other.conj(), padded)[chosen] / pairs
    return second * count / (count - 1), third * count**2 / ((count - 1) * (count - 2))


def _found(
    second: Array, third: Array, mean_light: Array, dark: Array, noise: float
) -> tuple[float, float, float, float, float]:
    """Background, sigma in pixels, photons, their spread, and emitters a pixel.

    `mean_light` (T,) is over the background.
    """
    background = float(np.median(dark))
    covariance = second.mean(axis=0)
    squares, square = _fit(covariance)
    above = float(mean_light.mean())
    if not (above > 0 and squares > 0):
        return background, np.nan, np.nan, np.nan, np.nan
    model = np.exp(-R2 / (3 * square)) / (12 * np.pi**2 * square**2)
    skewed = third.mean(axis=0)[NEAR] - noise * covariance[NEAR]
    cubes = float(np.linalg.lstsq(np.stack([model, np.ones_like(R2)], axis=1), skewed)[0][0])
    spread = max(cubes * above / squares**2, 1.0)
    number = squares / above / spread
    return background, float(np.sqrt(max(square - 1 / 12, 0.0))), number, spread, above / number


def _fit(covariance: Array) -> tuple[float, float]:
    """Volume and half the variance (pixels squared) of the Gaussian in the covariance; NaN without one."""
    values = covariance[NEAR]
    top = float(values[R2 == 1].mean())
    if not top > 0:
        return np.nan, np.nan

    def residual(x: Array) -> Array:
        return np.asarray(x[0] * np.exp(-R2 / (4 * x[1] ** 2)) + x[2] - values / top)

    def slopes(x: Array) -> Array:
        bell = np.exp(-R2 / (4 * x[1] ** 2))
        return np.stack([bell, x[0] * bell * R2 / (2 * x[1] ** 3), np.ones_like(R2)], axis=1)

    height, wide, _ = optimize.least_squares(residual, (1.2, 1.3, 0.0), slopes, method="lm").x
    if not (height > 0 and abs(wide) < LAGS):
        return np.nan, np.nan
    return float(4 * np.pi * wide**2 * height * top), float(wide**2)
