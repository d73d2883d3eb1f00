"""What a denoiser removed: is it noise, or was there structure in it? No truth is needed.

Noise that is independent from pixel to pixel leaves a residual (noisy minus denoised image) of mean zero,
whose pixels know nothing of their neighbours nor of the image. Structure in the residual was taken from
the image. The reverse does not hold: a denoiser that removes too little leaves a clean residual too, and
noise that neighbours share is correlated, whoever removes it. Every denoiser takes some of its answer from
the noise of the neighbours, with its sign, and so leaves slightly negative correlations between them.

What a single pixel hides an area shows: smoothing averages noise out and leaves structure. A residual whose
neighbours correlate by 0.02 may hold a whole cell. So it is looked at smoothed to several widths as well.
In an image of hardly anything but noise this says little: what was kept of it is noise itself.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from zcdl_common.metrics.shapes import same_shape
from zcdl_common.patches import centre
from zcdl_common.task import Array

REACH = {2: 5, 3: 2}
"""Lags of the autocorrelation, in pixels along each axis."""
LOOKED_AT = {2: (1024, 1024), 3: (32, 256, 256)}
"""Of larger images the middle is looked at: neighbours are everywhere."""
BOUND = 1.96
"""Standard errors within which 95 % of the autocorrelations of white noise lie."""
SURE = 3.0
"""Standard errors that are taken off a likeness: it is the largest of several, each with its own chance."""
WIDTHS = (1, 2, 4)
"""Standard deviations of the Gaussians by which the residual is smoothed, in pixels."""
ROOM = 32
"""Widths that a side must hold: with fewer, chance alone makes patches that look like structure."""


def scores(source: Array, denoised: Array) -> dict[str, float]:
    """What is known of a residual, each as a mean over channels; empty where nothing was removed.

    Parameters
    ----------
    source, denoised : (Z)YXC
        Before and after, in the same units.

    Returns
    -------
    dict
        ``residual_mean``: absolute mean of the residual, in parts of its standard deviation.
        ``residual_correlation``: largest positive autocorrelation at any lag, 0 to 1: neighbours alike.
        ``residual_white``: share of the lags at which the autocorrelation, of either sign, lies within the
        bounds of white noise, 0 to 1; about 0.95 where the residual is white.
        ``residual_structure``: likeness of residual and denoised image, see `likeness`.
        ``residual_coarse``: variance of the smoothed residual, in parts of that of smoothed white noise, at
        the width at which it is largest, see `coarse`; 1 for white noise, less after most denoisers.
    """
    same_shape(source, denoised)
    before, after = (centre(image, LOOKED_AT[image.ndim - 1]) for image in (source, denoised))
    found = []
    for channel in range(source.shape[-1]):
        kept = after[..., channel].astype(float)
        residual = before[..., channel].astype(float) - kept
        spread = float(residual.std())
        if spread > 0:
            found.append(_of_channel(residual, kept, spread))
    return {key: float(np.mean([row[key] for row in found])) for key in found[0]} if found else {}


def _of_channel(residual: Array, denoised: Array, spread: float) -> dict[str, float]:
    correlation, error = autocorrelation(residual)
    return {
        "residual_mean": abs(float(residual.mean())) / spread,
        "residual_correlation": max(0.0, float(correlation.max())),
        "residual_white": float(np.mean(np.abs(correlation) <= BOUND * error)),
        "residual_structure": likeness(residual, denoised),
        "residual_coarse": max(coarse(residual, width) for width in WIDTHS),
    }


def likeness(residual: Array, denoised: Array) -> float:
    """How much of the denoised image the residual holds, at the scale at which that is seen best.

    Both are smoothed alike to each of `WIDTHS`. Their covariance is divided by the standard deviations of the
    smoothed image and of smoothed white noise as strong as the residual: 1 is structure as strong as the
    noise of that scale. What noise alone would now and then reach (`SURE` standard errors, after White) is
    taken off, more of it where neighbours share their noise, which smoothing then averages less. Noise that
    grows with the light does not count, for its mean is zero everywhere. Single pixels are not compared:
    whatever noise a denoiser left in them is in both images.

    Parameters
    ----------
    residual, denoised : (Z)YX

    Returns
    -------
    float
        At least 0, whatever the sign; above 1 where structure is stronger than noise.
    """
    centred, signal = residual - residual.mean(), denoised - denoised.mean()
    # only where the image is flat: elsewhere lost structure would excuse itself
    shared = max(1.0, coarse(centred, WIDTHS[-1], _flat(denoised)))
    found = [0.0]
    for width in WIDTHS:
        kernels = gaussians(residual.shape, width)
        wide = smooth(signal, kernels)
        wide = wide - wide.mean()
        weights = smooth(wide, kernels)  # the same as smoothing the residual, for a Gaussian is symmetric
        gain = np.sqrt(np.prod([float((kernel**2).sum()) for kernel in kernels]))
        norm = residual.size * float(wide.std()) * float(centred.std()) * gain
        if norm > 0:
            products = centred * weights
            error = np.sqrt(float((products**2).sum()) * shared)
            found.append((abs(float(products.sum())) - SURE * error) / norm)
    return max(found)


def _flat(image: Array) -> Array:
    """Half of the pixels, around which an image (Z)YX changes less than around the others."""
    seen = smooth(image, gaussians(image.shape, 2))
    slopes = [np.gradient(seen, axis=axis) for axis, n in enumerate(image.shape) if n > 1]
    change = smooth(sum((slope**2 for slope in slopes), np.zeros(image.shape)), gaussians(image.shape, 4))
    return np.asarray(change <= np.median(change))


def coarse(residual: Array, width: float, where: Array | None = None) -> float:
    """Variance of the smoothed residual (Z)YX in parts of that of smoothed white noise of the same strength.

    The strength is that of each place, so noise that grows with the light gives 1. Neighbours that are alike
    give more, however little each pair of them is.

    Parameters
    ----------
    width
        Standard deviation of the Gaussian in pixels.
    where : bool (Z)YX, optional
        Pixels that count.
    """
    kernels, centred = gaussians(residual.shape, width), residual - residual.mean()
    got = smooth(centred, kernels) ** 2
    expected = smooth(centred**2, [kernel**2 for kernel in kernels])
    if where is not None:
        got, expected = got[where], expected[where]
    below = float(expected.sum())
    return float(got.sum()) / below if below > 0 else 1.0


def gaussians(shape: tuple[int, ...], width: float) -> list[Array]:
    """A Gaussian of sum 1 along each axis, no wider than a `ROOM`-th of the side."""
    made = []
    for n in shape:
        sigma = min(width, n / ROOM)
        reach = np.arange(-round(3 * sigma), round(3 * sigma) + 1)
        kernel = np.exp(-0.5 * (reach / sigma) ** 2)
        made.append(kernel / kernel.sum())
    return made


def smooth(image: Array, kernels: list[Array]) -> Array:
    """The image weighted by a kernel along each axis, with nothing beyond its borders."""
    from scipy import ndimage

    for axis, kernel in enumerate(kernels):
        image = ndimage.correlate1d(image, kernel, axis, mode="constant")
    return image


def lags(shape: tuple[int, ...]) -> Array:
    """Displacements up to `REACH` along each axis, one of each opposite pair, int (K, ndim)."""
    sides = [np.arange(-r, r + 1) for r in (min(REACH[len(shape)], n - 1) for n in shape)]
    grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1).reshape(-1, len(shape))
    return grid[len(grid) // 2 + 1 :]  # the middle is no displacement, and what comes before is mirrored


def autocorrelation(residual: Array) -> tuple[Array, Array]:
    """Autocorrelation of an image (Z)YX at each of `lags`, and its standard error for white noise.

    The noise of a camera grows with the light, and its product over two pixels spreads more where it is
    strong. The standard error therefore comes from the products themselves (White's, in econometrics), not
    from the number of pixels alone.

    Returns
    -------
    correlation, error : float64 (K,)

    References
    ----------
    White, H. (1980). A heteroskedasticity-consistent covariance matrix estimator. Econometrica 48, 817-838.
    """
    centred = residual - residual.mean()
    variance = float((centred**2).mean())
    correlation, error = [], []
    for lag in lags(residual.shape):
        here = tuple(slice(max(0, -d), n - max(0, d)) for d, n in zip(lag, residual.shape, strict=True))
        there = tuple(slice(max(0, d), n - max(0, -d)) for d, n in zip(lag, residual.shape, strict=True))
        products = centred[here] * centred[there]
        correlation.append(products.mean() / variance)
        error.append(np.sqrt((products**2).sum()) / products.size / variance)
    return np.array(correlation), np.array(error)


def sentence(table: Any, classical: str) -> str:
    """Say what the residuals of all images look like, for readers without a truth.

    Parameters
    ----------
    table
        DataFrame, a row an image, with the `scores` of the network and, with ``classical_`` in front, of the
        classical method; empty text where they are missing.
    classical
        Name of the classical method.
    """
    parts = []
    for who, prefix in (("the network", ""), (f"the classical method ({classical})", "classical_")):
        keys = ("mean", "structure", "correlation", "coarse")
        columns = [f"{prefix}residual_{key}" for key in keys]
        if set(columns) <= set(table.columns):
            found = {key: float(table[column].mean()) for key, column in zip(keys, columns, strict=True)}
            parts.append(f"what {who} removed {_looks(found)}")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _looks(found: dict[str, float]) -> str:
    """One of three: structure, noise that neighbours share, noise; each with the numbers that say so."""
    if found["structure"] >= CLEAN:
        looks = "holds structure of the image"
    elif found["correlation"] >= CLEAN or found["coarse"] >= SHARED:
        looks = "is alike in neighbouring pixels: noise that they share, or faint structure"
    else:
        looks = "looks like noise"
    shifted = found["mean"] >= CLEAN
    shift = f", and it changed the brightness (by {found['mean']:.2f} of the noise)" if shifted else ""
    return (
        f"{looks} (likeness to the image {found['structure']:.2f}, correlation of neighbouring pixels up to "
        f"{found['correlation']:.2f}, variance after smoothing {found['coarse']:.1f} times that of white "
        f"noise){shift}"
    )


CLEAN = 0.1
"""Likeness and correlations below which a residual is called noise: they explain 1 % of its variance."""
SHARED = 1.5
"""Variance after smoothing, in parts of that of white noise, from which neighbours are called alike."""
