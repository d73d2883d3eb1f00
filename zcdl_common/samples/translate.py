"""Simulated bright-field images and the fluorescence of the same cells, for translation."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

from zcdl_common.samples.optics import blur, scmos
from zcdl_common.samples.shapes import cells, texture
from zcdl_common.task import Array

WAVELENGTH = 0.55
"""Of the lamp, in micrometres."""

CROWD = {2: 0.45, 3: 0.2}
"""Nuclei a square or cube of 2.2 radii; in 3D fewer, because light crosses all of them."""


def brightfield(phase: Array, defocus: Array, pixel_size: tuple[float, float], cutoff: float = 0.8) -> Array:
    r"""Intensity of thin phase layers in a slightly defocused bright-field microscope.

    A weak phase object in focus is invisible; at defocus z each spatial frequency q appears with the contrast

    .. math:: \hat I(q) = \delta(q) + 2\,\hat\varphi(q)\,\sin(\pi\lambda z q^2)\,e^{-(q/q_c)^2}

    where the last factor stands for the partial coherence of the lamp. Layers add up, which neglects
    multiple scattering. For small z this is the transport-of-intensity equation.

    Parameters
    ----------
    phase : ndarray
        Phase delay of each layer in radians, (L, Y, X), much below 1.
    defocus : ndarray
        Distance of the focal plane beyond each layer in micrometres, (P, L), a row an image.
    pixel_size : tuple of float
        YX in micrometres.
    cutoff : float
        :math:`q_c` in cycles a micrometre.

    Returns
    -------
    ndarray of float64
        Intensity (P, Y, X) relative to the empty field, which is 1.

    References
    ----------
    Teague 1983, J Opt Soc Am 73:1434; Streibl 1985, J Opt Soc Am A 2:121.
    """
    margin = min(32, *phase.shape[-2:])
    field = np.pad(phase, ((0, 0), (margin, margin), (margin, margin)), mode="symmetric")  # no wrapping round
    along_y, along_x = (np.fft.fftfreq(n, s) for n, s in zip(field.shape[-2:], pixel_size, strict=True))
    squared = along_y[:, None] ** 2 + along_x**2
    spectrum = 2 * np.fft.fft2(field) * np.exp(-squared / cutoff**2)
    images = [
        np.fft.ifft2((spectrum * np.sin(np.pi * WAVELENGTH * squared * row[:, None, None])).sum(axis=0)).real
        for row in defocus
    ]
    return 1.0 + np.stack(images)[:, margin:-margin, margin:-margin]


def brightfield_to_nuclei(
    rng: np.random.Generator, shape: tuple[int, ...], pixel_size: tuple[float, ...]
) -> tuple[Array, Array]:
    """Transmitted light and DNA fluorescence of the same cells.

    Every cell delays the light by its thickness times the excess index of its parts (cytoplasm 0.005
    with grains, nucleus 0.010: low, so that the phase stays weak), and carries a fluorescent nucleus.
    Transmitted light follows `brightfield`, 1.5 µm out of focus in 2D and at every plane of the stack in
    3D; fluorescence follows `optics`. Where a nucleus is can be seen in transmitted light, how brightly
    it is stained cannot: no network can predict that part.

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
        Transmitted light (Z)YX, about 20,000 counts where there is no cell.
    target : ndarray of uint16
        Fluorescence (Z)YX.
    """
    flat = len(shape) == 2
    volume = np.prod(np.multiply(shape, pixel_size))
    radius = 3.0
    nucleus = cells(
        rng, shape, pixel_size, max(2, int(CROWD[len(shape)] * volume / (2.2 * radius) ** len(shape))), radius
    )
    height = 5.0 if flat else pixel_size[0]
    body = ndimage.gaussian_filter((nucleus > 0).astype(float), np.divide(1.8, pixel_size)) > 0.08
    grains = np.clip(1.0 + 0.15 * texture(rng, shape, pixel_size, 0.8), 0, None)
    excess = 0.005 * body * grains + 0.005 * (nucleus > 0)
    phase = 2 * np.pi / WAVELENGTH * excess * height
    layers = phase[None] if flat else phase
    plane = np.arange(len(layers)) * height
    defocus = np.array([[1.5]]) if flat else plane[:, None] - plane
    stack = brightfield(layers, defocus, (pixel_size[-2], pixel_size[-1]))
    light = scmos(10_000.0 * stack.clip(0, 3).reshape(shape), rng)

    level = np.concatenate([[0.0], rng.lognormal(0.0, 0.15, int(nucleus.max()))])[nucleus]
    chromatin = np.clip(1.0 + 0.15 * texture(rng, shape, pixel_size, 1.5), 0.2, None)
    return light, scmos(4.0 + blur(120.0 * level * chromatin, pixel_size), rng)
