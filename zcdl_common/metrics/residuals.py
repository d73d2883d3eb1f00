"""What a denoiser removed: is it noise, or was there structure in it? No truth is needed.

Noise that is independent from pixel to pixel leaves a residual (noisy minus denoised image) of mean zero,
whose pixels know nothing of their neighbours nor of the image. Structure in the residual was taken from
the image. The reverse does not hold: a denoiser that removes too little leaves a clean residual too, and
noise that neighbours share is correlated, whoever removes it. Every denoiser takes some of its answer from
the noise of the neighbours, with its sign, and so leaves slightly negative correlations between them.
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
        ``residual_structure``: absolute Pearson correlation of residual and denoised image, 0 to 1.
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
    signal = denoised - denoised.mean()
    norm = spread * float(signal.std())
    alike = abs(float((residual * signal).mean())) / norm if norm > 0 else 0.0
    return {
        "residual_mean": abs(float(residual.mean())) / spread,
        "residual_correlation": max(0.0, float(correlation.max())),
        "residual_white": float(np.mean(np.abs(correlation) <= BOUND * error)),
        "residual_structure": alike,
    }


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
        columns = [f"{prefix}residual_structure", f"{prefix}residual_correlation"]
        if not set(columns) <= set(table.columns):
            continue
        structure, neighbours = (float(table[column].mean()) for column in columns)
        clean = max(structure, neighbours) < CLEAN
        looks = "looks like noise" if clean else "holds structure, or noise that neighbouring pixels share"
        numbers = (
            f"correlation with the image {structure:.2f}, with neighbouring pixels up to {neighbours:.2f}"
        )
        parts.append(f"what {who} removed {looks} ({numbers})")
    text = "; ".join(parts)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


CLEAN = 0.1
"""Correlations below which a residual is called noise: they explain less than 1 % of its variance."""
