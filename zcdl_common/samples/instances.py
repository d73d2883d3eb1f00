"""Simulated nuclei that touch, for instance segmentation."""

from __future__ import annotations

import numpy as np

from zcdl_common.samples.optics import blur, scmos
from zcdl_common.samples.shapes import cells, texture
from zcdl_common.task import Array


def nuclei(
    rng: np.random.Generator, shape: tuple[int, ...], pixel_size: tuple[float, ...]
) -> tuple[Array, Array]:
    """Crowded nuclei with a DNA stain: different brightness, lumpy chromatin, touching neighbours.

    The photons of each nucleus follow a log-normal level (DNA content and staining), its chromatin a smooth
    random texture; then blur (`optics.psf_sigma`) and camera (`optics.scmos`).

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
        Camera counts (Z)YX.
    target : ndarray of uint16
        Labels (Z)YX, 1 to N; 0 is background.
    """
    radius = 4.5
    volume = np.prod(np.multiply(shape, pixel_size))
    crowd = rng.uniform(0.5, 1.1) * volume / (1.9 * radius) ** len(shape)
    labels = cells(rng, shape, pixel_size, max(2, int(crowd)), radius)
    level = np.concatenate([[0.0], rng.lognormal(0.0, 0.4, int(labels.max()))])[labels]
    chromatin = np.clip(1.0 + 0.25 * texture(rng, shape, pixel_size, 1.5), 0.2, None)
    photons = 6.0 + blur(50.0 * level * chromatin, pixel_size)
    return scmos(photons, rng), labels.astype(np.uint16)
