"""Where a network contradicts itself: the same image, turned and mirrored, should give the same answer."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from zcdl_common.task import Array

WAYS = 8
"""Quarter turns and mirror images in the image plane."""


def disagreement(predict: Callable[[Array], Array], image: Array) -> Array:
    """How much the answers to the turned and mirrored image differ, pixel by pixel.

    Nature does not know which way a slide was put under the microscope, so an answer that the image
    supports does not depend on it. Agreement proves nothing: a network can be wrong in the same way
    eight times.

    Parameters
    ----------
    predict
        Image (Z)YXC -> image (Z)YXK of the same size.
    image
        (Z)YXC.

    Returns
    -------
    float32 (Z)YXK
        Standard deviation over the 8 orientations in the image plane, in the units of the answer.

    References
    ----------
    Wang et al. 2019, Neurocomputing 338:34, doi:10.1016/j.neucom.2019.01.103 (test-time augmentation as a
    measure of uncertainty).
    """
    mean: Array | float = 0.0
    squares: Array | float = 0.0
    for way in range(WAYS):
        found = _back(predict(_turned(image, way)), way).astype(np.float64)
        change = found - mean
        mean = mean + change / (way + 1)  # Welford's sums: no image is kept
        squares = squares + change * (found - mean)
    return np.sqrt(squares / WAYS).astype(np.float32)


def _turned(image: Array, way: int) -> Array:
    mirrored = np.flip(image, axis=-2) if way >= WAYS // 2 else image
    return np.ascontiguousarray(np.rot90(mirrored, way % 4, axes=(-3, -2)))


def _back(image: Array, way: int) -> Array:
    turned = np.rot90(image, -(way % 4), axes=(-3, -2))
    return np.flip(turned, axis=-2) if way >= WAYS // 2 else turned
