"""Simulated filaments seen with little light, for restoration with and without clean targets."""

from __future__ import annotations

import numpy as np

from zcdl_common.samples.optics import OFFSET, blur, scmos
from zcdl_common.samples.shapes import density, filaments, texture
from zcdl_common.task import Array

GAIN = 2.0
"""Camera counts a photoelectron."""


def noisy_filaments(
    rng: np.random.Generator, shape: tuple[int, ...], pixel_size: tuple[float, ...]
) -> tuple[Array, Array]:
    """A labelled cytoskeleton in dim light, and the image that endless exposure would average to.

    Filaments are worm-like chains (`shapes.filaments`) over a diffuse background, blurred by the microscope
    (`optics.psf_sigma`). The noisy image is one exposure of some photons a
    pixel: Poisson noise of the light and Gaussian noise of the readout (`optics.scmos`), independent between
    pixels, as Noise2Void assumes. The clean image is its expectation in the same counts.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    shape : tuple of int
        (Z)YX in pixels.
    pixel_size : tuple of float
        (Z)YX in micrometres.

    Returns
    -------
    source : ndarray of uint16
        Noisy camera counts (Z)YX.
    target : ndarray of float32
        Noise-free expectation in the same counts.
    """
    area = np.prod(np.multiply(shape, pixel_size)[-2:])
    points = filaments(rng, shape, pixel_size, max(6, int(area / 18)))
    structure = blur(density(points, shape, pixel_size), pixel_size)
    cytosol = np.clip(1.0 + 0.5 * texture(rng, shape, pixel_size, 4.0), 0.1, None)
    photons = 1.5 * cytosol + 12.0 * structure / np.percentile(structure, 99)
    return scmos(photons, rng, gain=GAIN), (OFFSET + GAIN * photons).astype(np.float32)
