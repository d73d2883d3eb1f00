"""How well any prediction could do, given the noise of the truth itself."""

from __future__ import annotations

import numpy as np

from zcdl_common.task import Array

LEAST_SIDE = 16
"""Pixels along Y and X below which correlations of neighbours say too little."""


def highest_pearson_r(truth: Array) -> float:
    r"""Pearson's r that a perfect prediction of the signal would reach against its noisy image.

    An image is signal plus noise, and noise cannot be predicted. With the share of the variance that is
    signal, the best r is its square root:

    .. math:: r_{max} = \sqrt{\frac{\sigma_{signal}^2}{\sigma_{signal}^2 + \sigma_{noise}^2}}

    Noise of a camera differs from pixel to pixel, while the microscope blurs the signal over several: the
    autocovariance of the signal is what that of the image extrapolates to at a shift of 0 from shifts
    of 1 and 2 pixels, along a parabola, and the rest is noise. Structures sharper than a Gaussian blur of
    1.5 pixels partly pass for noise (at 1 pixel the result is 5 % too low), and noise that neighbours share,
    after resampling or compression, passes for signal: the result then is too high.

    Parameters
    ----------
    truth : ndarray
        One channel, (Z)YX, at least 16 pixels along Y and X; pixels no larger than the blur.

    Returns
    -------
    float
        In [0, 1]. NaN for a constant or small image, and where no noise is found at all.

    References
    ----------
    Ounkomol et al. 2018, Nat Methods 15:917, doi:10.1038/s41592-018-0111-2 (the limit); Thong, Sim & Phang
    2001, Scanning 23:328, doi:10.1002/sca.4950230506 (signal and noise from one image).
    """
    image = truth.astype(float)
    image = image - image.mean()
    variance = float((image**2).mean())
    if min(image.shape[-2:]) < LEAST_SIDE or not variance > 0:
        return float("nan")

    def shifted(pixels: int) -> float:
        along_x = (image[..., pixels:] * image[..., :-pixels]).mean()
        along_y = (image[..., pixels:, :] * image[..., :-pixels, :]).mean()
        return float(along_x + along_y) / 2

    signal = (4 * shifted(1) - shifted(2)) / 3  # a parabola through both shifts, with its top at 0
    if signal >= variance:
        return float("nan")
    return float(np.sqrt(max(signal, 0.0) / variance))
