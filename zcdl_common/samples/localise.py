"""Simulated single-molecule frames with known positions, for localisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import erf

from zcdl_common.samples.optics import emccd, scmos
from zcdl_common.samples.shapes import filaments
from zcdl_common.task import Array


@dataclass(frozen=True)
class Positions:
    """Emitters that are on, a row each."""

    frame: Array
    """int (N,), from 1."""
    yx: Array
    """float (N, 2) in nanometres from the corner of the image; pixel i covers [i, i+1)."""
    photons: Array
    """float (N,), expected photons in the frame."""
    sigma: float
    """Standard deviation of the spot in nanometres."""


def spots(yx: Array, photons: Array, sigma: float, shape: tuple[int, int]) -> Array:
    r"""Expected photons of Gaussian spots integrated over square pixels.

    .. math:: E_i = \tfrac12\left[\operatorname{erf}\frac{i+1-x}{\sqrt2\sigma}
              - \operatorname{erf}\frac{i-x}{\sqrt2\sigma}\right]

    along each axis; a pixel holds the product of both times the photons.

    Parameters
    ----------
    yx : ndarray
        Positions (N, 2) in pixels from the corner.
    photons : ndarray
        Photons (N,) of each spot.
    sigma : float
        Standard deviation in pixels.
    shape : tuple of int
        YX.

    Returns
    -------
    ndarray of float64
        Photons YX.

    References
    ----------
    Smith, Joseph, Rieger, Lidke 2010, Nat Methods 7:373.
    """

    def share(centre: Array, size: int) -> Array:
        edges = (np.arange(size + 1) - centre[:, None]) / (np.sqrt(2) * sigma)
        return np.asarray(np.diff(erf(edges), axis=1) / 2)

    rows, columns = share(yx[:, 0], shape[0]), share(yx[:, 1], shape[1])
    return np.asarray(np.einsum("n,ny,nx->yx", photons, rows, columns))


def blinking(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    pixel_size: tuple[float, ...],
    density: float = 0.8,
    structure: str = "random",
    camera: str = "scmos",
) -> tuple[Array, Positions]:
    """Frames of blinking emitters.

    In each frame a Poisson number of emitters is on, each with an exponentially distributed number
    of photons (mean 1500, at least 200) in a Gaussian spot (`spots`) with a standard
    deviation of 130 nm, over 15 background photons a pixel. Frames are independent: an emitter that stays on
    for several frames is not simulated, nor are drift, defocus or fixed dipoles.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    shape : tuple of int
        TYX: frames, and pixels.
    pixel_size : tuple of float
        YX in micrometres.
    density : float
        Emitters that are on, a square micrometre and frame.
    structure : {"random", "filaments"}
        Uniform over the field, or along worm-like chains that are the same in all frames.
    camera : {"scmos", "emccd"}
        Noise model, see `optics`.

    Returns
    -------
    source : ndarray of uint16
        Camera counts TYX.
    target : Positions
        The truth.
    """
    frames, *field = shape
    extent = np.multiply(field, pixel_size)
    per_frame = rng.poisson(density * extent.prod(), frames)
    total = int(per_frame.sum())
    if structure == "filaments":
        along = filaments(rng, tuple(field), pixel_size, 8)
        places = along[rng.integers(len(along), size=total)] + rng.normal(0, 0.012, (total, 2))
        places = np.clip(places, 0, np.nextafter(extent, 0))
    else:
        places = rng.uniform(0, extent, (total, 2))
    photons = np.maximum(rng.exponential(1500.0, total), 200.0)
    frame = np.repeat(np.arange(1, frames + 1), per_frame)
    sigma = 0.130
    detect = emccd if camera == "emccd" else scmos
    movie = np.empty(shape, np.uint16)
    for index in range(frames):
        on = frame == index + 1
        light = spots(places[on] / pixel_size, photons[on], sigma / pixel_size[-1], (field[0], field[1]))
        movie[index] = detect(15.0 + light, rng)
    return movie, Positions(frame, places * 1000.0, photons, sigma * 1000.0)
