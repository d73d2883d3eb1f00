"""What a microscope does to an object: blur, photons, camera counts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from scipy import ndimage

from zcdl_common.smlm.camera import SCMOS, expose
from zcdl_common.task import Array

OFFSET = SCMOS.offset
"""Camera counts without any light."""


def psf_sigma(wavelength: float = 0.52, aperture: float = 1.2, index: float = 1.33) -> tuple[float, float]:
    r"""Standard deviations (axial, lateral) of a Gaussian wide-field point spread function.

    .. math:: \sigma_{xy} = \sqrt 2 / (k\,NA), \quad \sigma_z = 2\sqrt 6\, n / (k\,NA^2),
              \quad k = 2\pi/\lambda

    Parameters
    ----------
    wavelength : float
        Emission wavelength in micrometres.
    aperture : float
        Numerical aperture.
    index : float
        Refractive index of the immersion.

    Returns
    -------
    tuple of float
        Micrometres.

    References
    ----------
    Zhang, Zerubia, Olivo-Marin 2007, Applied Optics 46:1819 (paraxial wide field).
    """
    wavenumber = 2 * np.pi / wavelength
    return 2 * np.sqrt(6) * index / (wavenumber * aperture**2), np.sqrt(2) / (wavenumber * aperture)


def blur(image: Array, pixel_size: tuple[float, ...]) -> Array:
    """Convolve (Z)YX with the point spread function of `psf_sigma`; `pixel_size` in micrometres.

    In 2D the object is a thin layer in focus.
    """
    axial, lateral = psf_sigma()
    sigma = (axial, lateral, lateral)[-image.ndim :]
    return np.asarray(ndimage.gaussian_filter(image, np.divide(sigma, pixel_size), mode="reflect"))


def scmos(photons: Array, rng: np.random.Generator, read_noise: float = 1.6, gain: float = 2.0) -> Array:
    """Counts of an sCMOS camera: Poisson photons, Gaussian read noise, gain and offset (`smlm.camera`).

    Parameters
    ----------
    photons : ndarray
        Expected photoelectrons a pixel, any shape, 0 or more.
    rng : numpy.random.Generator
        Source of the noise.
    read_noise : float
        Standard deviation in electrons, the same for all pixels.
    gain : float
        Counts an electron.

    Returns
    -------
    ndarray of uint16
        ``OFFSET`` plus ``gain`` times the electrons, rounded.

    References
    ----------
    Foi et al. 2008, IEEE Trans Image Process 17:1737 (Poissonian-Gaussian noise).
    """
    return expose(photons, rng, replace(SCMOS, read_noise=read_noise, gain=1 / gain))
