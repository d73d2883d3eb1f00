"""Simulated single-molecule frames with known positions, for localisation."""

from __future__ import annotations

import numpy as np

from zcdl_common.samples.shapes import filaments
from zcdl_common.smlm.camera import PRESETS
from zcdl_common.smlm.emitters import Emitters
from zcdl_common.smlm.simulate import Simulation, frames
from zcdl_common.task import Array

WIDTH = 0.012
"""Standard deviation in micrometres of emitters about the line of their filament."""
AROUND = 20
"""Places about each point of a filament, which are a fifth of a pixel apart."""


def blinking(
    rng: np.random.Generator,
    shape: tuple[int, ...],
    pixel_size: tuple[float, ...],
    density: float = 0.8,
    structure: str = "random",
    camera: str = "scmos",
) -> tuple[Array, Emitters]:
    """Frames of blinking emitters (`smlm.simulate`).

    In each frame a Poisson number of emitters is on, each with an exponentially distributed number
    of photons (at least 200, mean 1500) in a Gaussian spot with a standard deviation of 130 nm, over 15
    background photons a pixel. Frames are independent.

    Parameters
    ----------
    rng : numpy.random.Generator
        Source of chance.
    shape : tuple of int
        TYX: frames, and pixels.
    pixel_size : tuple of float
        YX in micrometres; square pixels.
    density : float
        Emitters that are on, a square micrometre and frame.
    structure : {"random", "filaments"}
        Uniform over the field and beside it, or along worm-like chains that are the same in all frames.
    camera : str
        Name in `smlm.camera.PRESETS`.

    Returns
    -------
    source : ndarray of uint16
        Camera counts TYX.
    target : Emitters
        The truth.
    """
    count, height, width = shape
    simulation = Simulation(
        camera=PRESETS[camera],
        pixel_nm=1000 * pixel_size[-1],
        density=(density, density),
        photons=(200.0, 1500.0),
        brightness="exponential",
        background=(15.0, 15.0),
        sigma_nm=(130.0, 130.0),
    )
    places = None
    if structure == "filaments":
        along = filaments(rng, (height, width), pixel_size, 8).repeat(AROUND, axis=0)
        along = (along + rng.normal(0, WIDTH, along.shape)) / pixel_size
        places = along.clip(0, np.nextafter((height, width), 0))
    return frames(rng, simulation, count, (height, width), places)
