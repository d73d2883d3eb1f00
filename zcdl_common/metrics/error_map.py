"""Where a super-resolved image disagrees with the widefield image of the same field.

Blurred by the right point spread, a super-resolved image must look like the widefield one. This finds
structures that are missing, invented or much too bright, at the resolution of the widefield image; it says
nothing of finer detail. Background that is out of focus counts as an error too.

References
----------
Culley, S. et al. (2018). Quantitative mapping and minimization of super-resolution optical imaging
artifacts. Nature Methods 15, 263-266. doi:10.1038/nmeth.4605
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zcdl_common.errors import DataError
from zcdl_common.metrics.images import fit_to, pearson_r
from zcdl_common.task import Array

SPREADS = (0.3, 5.0)
"""Standard deviations in camera pixels among which the point spread is sought."""
ENOUGH = 4
"""Fine pixels a side of a camera pixel that the blur needs; a finer image is binned to at least so many."""


class ErrorMap(NamedTuple):
    """A super-resolved image as the microscope would have seen it, against what it did see."""

    error: Array
    """Absolute difference in the units of the widefield image, float32 (Y, X)."""
    seen: Array
    """The super-resolved image blurred and scaled, float32 (Y, X)."""
    sigma: float
    """Standard deviation of the fitted Gaussian point spread in camera pixels."""
    rsp: float
    """Pearson's correlation of both images, in [-1, 1]; 1 is perfect."""
    rse: float
    """Root of the mean squared difference, in the units of the widefield image."""


def error_map(widefield: Array, rendered: Array) -> ErrorMap:
    """Blur and scale a super-resolved image so that it comes nearest to the widefield image.

    Spread, factor and offset are fitted by least squares: the factor and the offset follow from each spread,
    and the spread of the highest correlation is sought.

    Parameters
    ----------
    widefield
        (Y, X).
    rendered
        (Y * m, X * m) of the same field, m a whole number.

    Raises
    ------
    DataError
        The sizes do not fit, or an image is constant.
    """
    from scipy.ndimage import gaussian_filter
    from scipy.optimize import minimize_scalar

    m = _magnification(widefield.shape, rendered.shape)
    step = max(k for k in range(1, m + 1) if m % k == 0 and (k == 1 or m // k >= ENOUGH))
    m, fine = m // step, binned(rendered.astype(np.float64), step)
    true = widefield.astype(np.float64)[..., None]

    def blurred(sigma: float) -> Array:
        return binned(gaussian_filter(fine, sigma * m, mode="constant"), m)[..., None]

    if not np.ptp(widefield) > 0 or not np.ptp(rendered) > 0:
        raise DataError(
            "The widefield or the super-resolved image is constant, so that they cannot be compared. Were "
            "any molecules found?"
        )
    best = minimize_scalar(lambda s: -pearson_r(true, blurred(s)), bounds=SPREADS, method="bounded")
    seen = blurred(float(best.x))
    scaled = fit_to(true, seen)
    gap = np.abs(scaled - true)[..., 0]
    return ErrorMap(
        gap.astype(np.float32),
        scaled[..., 0].astype(np.float32),
        float(best.x),
        pearson_r(true, seen),
        float(np.sqrt((gap**2).mean())),
    )


def binned(image: Array, factor: int) -> Array:
    """Sum over squares of `factor` pixels a side, (Y, X)."""
    height, width = (side // factor for side in image.shape)
    return np.asarray(image.reshape(height, factor, width, factor).sum(axis=(1, 3)))


def _magnification(coarse: tuple[int, ...], fine: tuple[int, ...]) -> int:
    m = fine[0] // coarse[0]
    if m < 1 or fine != tuple(side * m for side in coarse):
        raise DataError(
            f"The super-resolved image of {fine[0]} x {fine[1]} pixels is no whole multiple of the widefield "
            f"image of {coarse[0]} x {coarse[1]}. Render it anew, of the same field and with a whole "
            "magnification."
        )
    return m
