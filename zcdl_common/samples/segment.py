"""Simulated cells with three classes, for semantic segmentation."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from zcdl_common.samples.optics import blur, scmos
from zcdl_common.samples.shapes import cells, texture
from zcdl_common.task import Array

BACKGROUND, CYTOPLASM, NUCLEUS = 0, 1, 2


def cells_with_nuclei(
    rng: np.random.Generator, shape: tuple[int, ...], pixel_size: tuple[float, ...]
) -> tuple[Array, Array]:
    """Cells with a granular cytoplasm and a nucleus that differs in texture more than in brightness.

    A fluorescent protein that fills the cell: cytoplasm with vesicle-sized grains, smooth nucleus, a
    different expression level in every cell, uneven illumination and out-of-focus
    haze; then blur (`optics.psf_sigma`) and camera (`optics.scmos`). One threshold cannot tell the classes
    apart, because the levels of the cells overlap.

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
    target : ndarray of uint8
        0 background, 1 cytoplasm, 2 nucleus.
    """
    radius = 5.0
    volume = np.prod(np.multiply(shape, pixel_size))
    per_cell = (2.2 * radius) ** len(shape)
    body = cells(rng, shape, pixel_size, max(3, int(volume / per_cell)), radius)
    depth = np.zeros(shape)
    for index, box in enumerate(ndimage.find_objects(body), start=1):
        mine = np.pad(body[box] == index, 1)
        inner = ndimage.distance_transform_edt(mine, pixel_size)[(slice(1, -1),) * len(shape)]
        depth[box] = np.maximum(depth[box], inner / inner.max())
    nucleus = depth > 0.45
    target = np.where(nucleus, NUCLEUS, np.where(body > 0, CYTOPLASM, BACKGROUND)).astype(np.uint8)

    level = np.concatenate([[0.0], rng.lognormal(0.0, 0.35, int(body.max()))])[body]
    grains = np.clip(1.0 + 0.7 * texture(rng, shape, pixel_size, 0.8), 0, None)
    smooth = np.clip(1.3 + 0.1 * texture(rng, shape, pixel_size, 2.0), 0, None)
    light = 1.0 + 0.25 * texture(rng, shape, pixel_size, 40.0).clip(-2, 2)
    photons = 60.0 * level * np.where(nucleus, smooth, grains)
    haze = ndimage.gaussian_filter(photons, np.divide(4.0, pixel_size), mode="reflect")
    return scmos((8.0 + blur(photons, pixel_size) + 0.3 * haze) * light, rng), target
