"""Objects to look at: cells that touch, filaments that bend."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from zcdl_common.task import Array


def texture(
    rng: np.random.Generator, shape: tuple[int, ...], pixel_size: tuple[float, ...], grain: float
) -> Array:
    """Smooth random field of mean 0 and standard deviation 1, with lumps of about `grain` micrometres."""
    field = ndimage.gaussian_filter(rng.normal(size=shape), np.divide(grain / 2, pixel_size), mode="wrap")
    return np.asarray((field - field.mean()) / field.std())


def centres(rng: np.random.Generator, extent: Array, spacing: float, count: int, tries: int = 2000) -> Array:
    """Up to `count` random points (N, D) in a box of `extent` that keep `spacing` from each other."""
    points: list[Array] = []
    for candidate in rng.uniform(0.0, extent, (tries, len(extent))):
        if len(points) == count:
            break
        if all(np.linalg.norm(candidate - point) >= spacing for point in points):
            points.append(candidate)
    return np.array(points).reshape(-1, len(extent))


def cells(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    pixel_size: tuple[float, ...],
    count: int,
    radius: float,
) -> Array:
    """Bumpy ellipsoids at random places that may touch but never overlap.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    shape : tuple of int
        (Z)YX in pixels.
    pixel_size : tuple of float
        (Z)YX in micrometres.
    count : int
        Wanted number; fewer where the image is full.
    radius : float
        Mean radius in micrometres.

    Returns
    -------
    ndarray of int32
        Labels (Z)YX, 1 to N without gaps, each one connected piece; 0 is background.
    """
    size = np.asarray(pixel_size)
    grid = np.stack(
        np.meshgrid(*[(np.arange(n) + 0.5) * s for n, s in zip(shape, size, strict=True)], indexing="ij")
    )
    bumps = 0.12 * texture(rng, shape, pixel_size, radius)
    nearest = np.full(shape, np.inf)
    labels = np.zeros(shape, np.int32)
    for index, centre in enumerate(centres(rng, np.multiply(shape, size), 1.7 * radius, count), start=1):
        axes = radius * rng.uniform(0.75, 1.25, len(shape))
        turn = np.linalg.qr(rng.normal(size=(len(shape), len(shape))))[0]
        box = tuple(
            slice(max(0, int((c - 2 * radius) / s)), int((c + 2 * radius) / s) + 2)
            for c, s in zip(centre, size, strict=True)
        )
        offset = grid[(slice(None), *box)] - centre.reshape(-1, *[1] * len(shape))
        distance = np.linalg.norm(np.tensordot(turn / axes[:, None], offset, 1), axis=0) + bumps[box]
        mine = (distance < 1) & (distance < nearest[box])
        nearest[box][mine] = distance[mine]
        labels[box][mine] = index
    return _whole(labels)


def _whole(labels: Array) -> Array:
    """Keep the largest piece of every label and number them without gaps."""
    result = np.zeros_like(labels)
    number = 0
    for index, box in enumerate(ndimage.find_objects(labels), start=1):
        if box is None:
            continue
        pieces, found = ndimage.label(labels[box] == index)
        if not found:
            continue
        sizes = np.bincount(pieces.ravel())[1:]
        if sizes.max() < 12:
            continue
        number += 1
        result[box][pieces == 1 + sizes.argmax()] = number
    return result


def filaments(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    pixel_size: tuple[float, ...],
    count: int,
    persistence: float = 15.0,
) -> Array:
    r"""Points along worm-like chains: directions forget themselves over the persistence length.

    Over a step :math:`s` the direction turns by Gaussian angles of variance :math:`s/P` about each
    of the transverse axes, so that
    :math:`\langle t(0)\cdot t(s)\rangle = e^{-(D-1)s/2P}` in D dimensions.

    Parameters
    ----------
    rng, shape, pixel_size
        As in `cells`.
    count : int
        Number of filaments.
    persistence : float
        Persistence length P in micrometres.

    Returns
    -------
    ndarray of float64
        Points (N, D) in micrometres, a fifth of a pixel apart, those inside the image.

    References
    ----------
    Kratky, Porod 1949, Recl Trav Chim Pays-Bas 68:1106.
    """
    dimensions = len(shape)
    extent = np.multiply(shape, pixel_size)
    step = min(pixel_size) / 5
    steps = int(1.5 * extent.max() / step)
    here = rng.uniform(0, extent, (count, dimensions))
    flat = np.where(np.arange(dimensions) < dimensions - 2, 0.25, 1.0)  # cells are flat: little Z
    heading = _unit(rng.normal(size=(count, dimensions)) * flat)
    track = np.empty((steps, count, dimensions))
    for index in range(steps):
        track[index] = here
        here = here + step * heading
        heading = _unit(heading + rng.normal(0, np.sqrt(step / persistence), heading.shape))
    points = track.reshape(-1, dimensions)
    return points[((points >= 0) & (points < extent)).all(axis=1)]


def _unit(vectors: Array) -> Array:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=-1, keepdims=True))


def density(points: Array, shape: tuple[int, ...], pixel_size: tuple[float, ...]) -> Array:
    """Count points (N, D) in micrometres into pixels; pixel i covers [i, i+1) times its size."""
    image = np.zeros(shape)
    np.add.at(image, tuple(np.floor(points / pixel_size).astype(int).T), 1.0)
    return image
