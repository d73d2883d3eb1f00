"""How near a predicted image comes to the true one.

All arrays are (Z)YXC with equal shapes. PSNR and NRMSE compare values, so they punish a brightness
that is off by a constant; Pearson's r does not see it; SSIM compares local structure. None of them
knows whether an invented detail matters: look at the error maps.
"""

from __future__ import annotations

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.metrics.shapes import same_shape
from zcdl_common.task import Array

SSIM_WINDOW = 11
"""Pixels a side of the Gaussian window (sigma 1.5) of Wang et al. 2004."""


def scores(truth: Array, prediction: Array) -> dict[str, float]:
    """``psnr`` (dB), ``ssim``, ``nrmse`` and ``pearson_r`` after `normalise` and `fit_to`.

    Networks may return another brightness scale than the truth has. Truth is scaled by its
    percentiles, the prediction by the least-squares line onto it; the data range is then 1. All are NaN
    where that leaves nothing of the truth: onto an empty image any other is fitted without error.
    """
    true = normalise(truth)
    fitted = fit_to(true, prediction)
    if not true.any():
        return dict.fromkeys(("psnr", "ssim", "nrmse", "pearson_r"), float("nan"))
    return {
        "psnr": psnr(true, fitted, data_range=1.0),
        "ssim": ssim(true, fitted, data_range=1.0),
        "nrmse": nrmse(true, fitted),
        "pearson_r": pearson_r(true, fitted),
    }


def psnr(truth: Array, prediction: Array, *, data_range: float | None = None) -> float:
    """Peak signal-to-noise ratio in dB: 10 log10(data_range² / mean squared error).

    `data_range` defaults to the range of `truth`. Infinite for equal images, NaN for a constant truth.
    """
    top = _range(truth) if data_range is None else data_range
    error = _mean_square(truth, prediction)
    if not top > 0:
        return float("nan")
    return float("inf") if error == 0 else float(10 * np.log10(top**2 / error))


def nrmse(truth: Array, prediction: Array) -> float:
    """Root of the mean of squared errors, divided by the range (max - min) of `truth`.

    0 is perfect. Other definitions divide by the mean, the standard deviation or the norm: compare
    numbers of equal definition only. NaN for a constant truth.
    """
    top = _range(truth)
    return float(np.sqrt(_mean_square(truth, prediction)) / top) if top > 0 else float("nan")


def pearson_r(truth: Array, prediction: Array) -> float:
    """Pearson's correlation over all pixels and channels, in [-1, 1]; NaN for a constant image."""
    same_shape(truth, prediction)
    a = truth.astype(float).ravel()
    b = prediction.astype(float).ravel()
    a, b = a - a.mean(), b - b.mean()
    norm = np.sqrt((a @ a) * (b @ b))
    return float(np.clip(a @ b / norm, -1, 1)) if norm > 0 else float("nan")


def mean_pearson_r(truth: Array, prediction: Array) -> float:
    """Mean over channels of Pearson's correlation of each.

    Taken together, channels of unequal brightness would correlate by their differences alone. Channels in
    which the truth is constant are left out, NaN if all are; a constant prediction counts as 0.
    """
    known = [c for c in range(truth.shape[-1]) if np.ptp(truth[..., c]) > 0]
    each = [pearson_r(truth[..., c], prediction[..., c]) for c in known]
    return float(np.mean(np.nan_to_num(each))) if known else float("nan")


def ssim(truth: Array, prediction: Array, *, data_range: float | None = None) -> float:
    """Structural similarity, at most 1: the mean of `ssim_map` without a border of half a window.

    Volumes are compared slice by slice in YX; `ssim_3d` is the true 3D form, and another number.
    """
    border = SSIM_WINDOW // 2
    inner = (..., slice(border, -border), slice(border, -border), slice(None))
    return float(ssim_map(truth, prediction, data_range=data_range)[inner].mean(dtype=float))


def ssim_map(truth: Array, prediction: Array, *, data_range: float | None = None) -> Array:
    """Structural similarity around every pixel, slice by slice and channel by channel, (Z)YXC.

    Gaussian window of 11 pixels with sigma 1.5, K1 = 0.01, K2 = 0.03, variances of the population.

    Raises
    ------
    DataError
        The images differ in shape or are smaller than the window.

    References
    ----------
    Wang, Z. et al. (2004). Image quality assessment: from error visibility to structural similarity.
    IEEE Transactions on Image Processing 13, 600-612. doi:10.1109/TIP.2003.819861
    """
    _check_window(truth, prediction, axes=2)
    top = _range(truth) if data_range is None else data_range
    result = np.empty(truth.shape, np.float64)
    for place in np.ndindex(*truth.shape[:-3], truth.shape[-1]):
        plane = (*place[:-1], slice(None), slice(None), place[-1])
        result[plane] = _ssim(truth[plane], prediction[plane], top)
    return result


def ssim_3d(truth: Array, prediction: Array, *, data_range: float | None = None) -> float:
    """Structural similarity with a cubic window of 11 voxels, ZYXC; mean without half a window.

    The window takes no heed of the voxel size. Volumes need at least 11 planes.
    """
    _check_window(truth, prediction, axes=3)
    top = _range(truth) if data_range is None else data_range
    inner = (slice(SSIM_WINDOW // 2, -(SSIM_WINDOW // 2)),) * 3
    channels = range(truth.shape[-1])
    return float(np.mean([_ssim(truth[..., c], prediction[..., c], top)[inner].mean() for c in channels]))


def normalise(image: Array, low: float = 0.1, high: float = 99.9) -> Array:
    """Scale each channel so that its percentiles `low` and `high` become 0 and 1; float64 (Z)YXC.

    Nothing is clipped. A channel whose percentiles coincide becomes 0.
    """
    axes = tuple(range(image.ndim - 1))
    bottom, top = np.percentile(image.astype(float), [low, high], axis=axes)
    span = np.where(top > bottom, top - bottom, np.inf)
    return np.asarray((image - bottom) / span)


def fit_to(truth: Array, prediction: Array) -> Array:
    """`prediction` times a factor plus an offset, per channel, nearest to `truth` in squared error.

    The factor is never negative: an inverted image is no prediction, and becomes the mean of the truth as a
    constant one does.
    """
    axes = tuple(range(truth.ndim - 1))
    x = prediction.astype(float) - prediction.mean(axes, dtype=float)
    return np.asarray(x * gains(truth, prediction) + truth.mean(axes, dtype=float))


def gain(truth: Array, prediction: Array) -> float:
    """Mean over channels of the factor of `fit_to`, where both are in the same units; 1 is right.

    Above 1, the prediction has too little contrast. Below 1 it has too much, or much that is not in the
    truth; 0 is an inverted or constant one. Channels in which the truth is constant are left out, NaN if all
    are.
    """
    known = np.ptp(truth, axis=tuple(range(truth.ndim - 1))) > 0
    return float(gains(truth, prediction)[known].mean()) if known.any() else float("nan")


def gains(truth: Array, prediction: Array) -> Array:
    """Factor of `fit_to` of each channel, float64 (C,), at least 0."""
    same_shape(truth, prediction)
    axes = tuple(range(truth.ndim - 1))
    x = prediction.astype(float) - prediction.mean(axes, dtype=float)
    variance = (x**2).mean(axes)
    slope = (x * (truth - truth.mean(axes, dtype=float))).mean(axes)
    return np.asarray(np.maximum(slope / np.where(variance > 0, variance, np.inf), 0))


def _ssim(truth: Array, prediction: Array, data_range: float) -> Array:
    from skimage.metrics import structural_similarity

    if not data_range > 0:
        return np.full(truth.shape, np.nan)
    _, full = structural_similarity(  # type: ignore[no-untyped-call]
        truth.astype(float),
        prediction.astype(float),
        data_range=data_range,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
        full=True,
    )
    return np.asarray(full)


def _mean_square(truth: Array, prediction: Array) -> float:
    same_shape(truth, prediction)
    return float(np.mean((truth.astype(float) - prediction.astype(float)) ** 2))


def _range(image: Array) -> float:
    return float(image.max()) - float(image.min())


def _check_window(truth: Array, prediction: Array, *, axes: int) -> None:
    same_shape(truth, prediction)
    sides = truth.shape[:-1][-axes:]
    if len(sides) < axes or min(sides) < SSIM_WINDOW:
        raise DataError(
            f"SSIM needs at least {SSIM_WINDOW} pixels along {axes} axes; the image has {truth.shape[:-1]}. "
            "Test on larger images, or read the other scores."
        )
