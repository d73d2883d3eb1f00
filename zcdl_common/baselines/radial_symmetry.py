"""Centres of single emitters from the directions of the gradient, without a fit."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from zcdl_common.task import Array


def centres(values: Array, inside: Array) -> Array:
    """The points that the gradients around each spot come closest to pointing at.

    Lines along the gradients at the corners between pixels are weighted with the squared gradient over the
    distance from the centroid of the gradients; the sum of weighted squared distances from them is least at
    the centre.

    Parameters
    ----------
    values
        Windows (N, S, S) around the spots.
    inside
        Which pixels lie in the image, bool (N, S, S).

    Returns
    -------
    ndarray of float64
        YX (N, 2) in pixels from the corner of the window; NaN where there is no gradient.

    References
    ----------
    Parthasarathy 2012, doi:10.1038/nmeth.2071.
    """
    falling = values[:, 1:, 1:] - values[:, :-1, :-1]
    rising = values[:, 1:, :-1] - values[:, :-1, 1:]
    known = inside[:, 1:, 1:] & inside[:, :-1, :-1] & inside[:, 1:, :-1] & inside[:, :-1, 1:]
    # The diagonals, smoothed over 3 x 3 corners as in the paper, turned onto the axes.
    gy, gx = (
        ndimage.uniform_filter(np.where(known, g, 0.0), (0, 3, 3), mode="constant")
        for g in (falling + rising, falling - rising)
    )
    square = np.where(known, gy**2 + gx**2, 0.0)
    corners = np.arange(1.0, values.shape[1])
    py, px = np.meshgrid(corners, corners, indexing="ij")
    with np.errstate(invalid="ignore", divide="ignore"):
        total = square.sum((1, 2))
        cy, cx = ((square * p).sum((1, 2)) / total for p in (py, px))
        away = np.hypot(py - cy[:, None, None], px - cx[:, None, None])
        weight = square / np.maximum(away, 1e-6)
        # With normals (-gx, gy) / |g| the distance from a line is -gx (y - py) + gy (x - px), over |g|.
        weight = np.where(square > 0, weight / square, 0.0)
        offset = -gx * py + gy * px
        yy, yx, xx, ry, rx = (
            (weight * term).sum((1, 2)) for term in (gx**2, -gx * gy, gy**2, -gx * offset, gy * offset)
        )
        determinant = yy * xx - yx**2
        return np.stack([(xx * ry - yx * rx) / determinant, (yy * rx - yx * ry) / determinant], axis=1)
