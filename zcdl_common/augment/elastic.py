"""Smooth random displacements, drawn several times as fast as albumentations draws its own."""

from __future__ import annotations

import numpy as np

from zcdl_common.task import Array

SMOOTHNESS = 10.0
"""Standard deviation in pixels of the Gaussian that smooths the displacements."""
STEP = 4
"""They are drawn at every so many pixels and interpolated, for they are far smoother than that."""


def displacements(shape: tuple[int, int], size: float, rng: np.random.Generator) -> tuple[Array, Array]:
    """Random displacements along Y and X.

    Parameters
    ----------
    shape : (Y, X)
    size : float
        Root mean square in pixels, at the border as in the middle.

    Returns
    -------
    y, x : float32 (Y, X)
        In pixels.

    References
    ----------
    Simard et al. 2003, doi:10.1109/ICDAR.2003.1227801.
    """
    import cv2

    sigma = SMOOTHNESS / STEP
    margin = round(3 * sigma)
    height, width = shape
    coarse = (-(-height // STEP) + 2 * margin, -(-width // STEP) + 2 * margin)

    def draw() -> Array:
        noise = rng.standard_normal(coarse, np.float32)
        # smoothing leaves white noise a standard deviation of 1 / (2 sqrt(pi) sigma)
        noise *= size * 2 * np.sqrt(np.pi) * sigma
        smooth = cv2.GaussianBlur(noise, (0, 0), sigma)[margin:-margin, margin:-margin]
        return cv2.resize(smooth, None, fx=STEP, fy=STEP)[:height, :width]

    return draw(), draw()
