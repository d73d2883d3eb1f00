"""Simulated cells of three shapes with boxes around them, for detection."""

from __future__ import annotations

import numpy as np

from zcdl_common.boxes import Boxes
from zcdl_common.samples.optics import blur, scmos
from zcdl_common.samples.shapes import centres, texture
from zcdl_common.task import Array

CLASSES = ("round", "rod", "dividing")


def mixed_cells(
    rng: np.random.Generator, shape: tuple[int, ...], pixel_size: tuple[float, ...]
) -> tuple[Array, Boxes]:
    """Round, rod-shaped and dividing bacteria-like cells, bright on a dim, uneven ground.

    Each cell is a capsule: all points within 0.9 µm of a segment (of no length for round cells), or for a
    dividing cell within 0.9 µm of two points 1.5 µm apart. Brightness differs between cells (log-normal).
    Blur and camera as in `optics`. A box encloses the pixels whose centre lies in the cell, before blur.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    shape : tuple of int
        YX in pixels.
    pixel_size : tuple of float
        YX in micrometres.

    Returns
    -------
    source : ndarray of uint16
        Camera counts YX.
    target : Boxes
        One box a cell, cut at the border of the image.
    """
    extent = np.multiply(shape, pixel_size)
    grid = np.stack(
        np.meshgrid(
            *[(np.arange(n) + 0.5) * s for n, s in zip(shape, pixel_size, strict=True)], indexing="ij"
        ),
        axis=-1,
    )
    photons = np.zeros(shape)
    names, boxes = [], []
    for centre in centres(rng, extent, 3.2, int(rng.integers(8, 20))):
        name = CLASSES[rng.integers(3)]
        angle = rng.uniform(0, np.pi)
        along = np.array([np.sin(angle), np.cos(angle)])
        offset = grid - centre
        position = offset @ along
        half = {"round": 0.0, "rod": 1.1, "dividing": 0.75}[name]
        nearest = (
            np.where(position < 0, -half, half) if name == "dividing" else np.clip(position, -half, half)
        )
        inside = np.linalg.norm(offset - nearest[..., None] * along, axis=-1) < 0.9
        rows, columns = np.nonzero(inside)
        if len(rows) < 20:  # hardly in the image
            continue
        photons[inside] = 40.0 * rng.lognormal(0.0, 0.3)
        names.append(name)
        boxes.append((rows.min(), columns.min(), rows.max() + 1, columns.max() + 1))
    ground = 8.0 * (1.0 + 0.3 * texture(rng, shape, pixel_size, 6.0).clip(-2, 2))
    return scmos(ground + blur(photons, pixel_size), rng), Boxes(
        tuple(names), np.array(boxes, float).reshape(-1, 4)
    )
