r"""Cameras: from the light that reaches a pixel to the number in the file.

Photons become electrons with the quantum efficiency, and clock-induced charge joins them: a Poisson number
:math:`n` of mean :math:`\lambda = QE \cdot light + c`. An EMCCD multiplies them in its register: what leaves
is gamma distributed with shape :math:`n` and scale :math:`G`, of mean :math:`G\lambda` and variance
:math:`2G^2\lambda`, twice that of the light (the excess noise). Readout adds Gaussian noise :math:`r`, the
converter divides by the gain :math:`g` (electrons a count) and adds the offset:

.. math:: E = o + \frac{G\lambda}{g}, \qquad
          V = \frac{F^2 G^2\lambda + r^2}{g^2} + \frac1{12}, \qquad F^2 = 2 \text{ (EMCCD)}, 1 \text{ (sCMOS)}

where 1/12 is the rounding. Saturation is simulated, but not in these formulas.

References
----------
Hirsch, Wareham, Martin-Fernandez, Hobson, Rolfe 2013, PLoS ONE 8:e53671 (EMCCD); Huang et al. 2013, Nat
Methods 10:653 (sCMOS, noise of each pixel); Mortensen, Churchman, Spudich, Flyvbjerg 2010, Nat Methods
7:377 (excess noise and what it costs a localisation).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from zcdl_common.errors import ConfigError
from zcdl_common.task import Array


@dataclass(frozen=True)
class Camera:
    """What turns light into counts."""

    gain: float
    """Electrons a count, after multiplication; above 0."""
    read_noise: float | Array
    """Standard deviation in electrons, after multiplication: a number, or YX, one of each pixel."""
    offset: float = 100.0
    """Counts without any light."""
    quantum_efficiency: float = 1.0
    """Electrons a photon, above 0, at most 1. With 1, light is given in photoelectrons."""
    em_gain: float = 1.0
    """Electrons that leave the multiplication register for each that enters; 1: there is none."""
    induced_charge: float = 0.0
    """Clock-induced charge in electrons a pixel and frame, before multiplication."""
    bits: int = 16
    """Counts end at 2 ** bits - 1; at most 16."""

    def __post_init__(self) -> None:
        limits = {
            "gain": (self.gain > 0, "above 0 electrons a count"),
            "read_noise": (bool(np.all(np.asarray(self.read_noise) >= 0)), "0 electrons or more"),
            "quantum_efficiency": (
                0 < self.quantum_efficiency <= 1,
                "a share above 0, at most 1 (0.9, not 90)",
            ),
            "em_gain": (self.em_gain >= 1, "1 (no multiplication) or more"),
            "induced_charge": (self.induced_charge >= 0, "0 electrons or more"),
            "bits": (1 <= self.bits <= 16, "from 1 to 16"),
        }
        for name, (right, allowed) in limits.items():
            if not right:
                raise ConfigError(f"The camera's {name} is {getattr(self, name)}; set {name} to {allowed}.")

    @property
    def counts_per_photon(self) -> float:
        """Counts that a photon adds on average."""
        return self.quantum_efficiency * self.em_gain / self.gain


SCMOS = Camera(gain=0.5, read_noise=1.6)
"""A plain sCMOS camera for samples, whose light is given in photoelectrons."""
EMCCD = Camera(gain=10.0, read_noise=50.0, em_gain=100.0)
"""A plain EMCCD camera for samples, whose light is given in photoelectrons."""

PRESETS = {
    "scmos": SCMOS,
    "emccd": EMCCD,
    "iXon Ultra 897": Camera(
        gain=5.0, read_noise=89.0, quantum_efficiency=0.9, em_gain=300.0, induced_charge=0.002
    ),
    "ORCA-Flash4.0 V3": Camera(gain=0.46, read_noise=1.6, quantum_efficiency=0.8),
    "Prime 95B": Camera(gain=1.2, read_noise=1.8, quantum_efficiency=0.95),
}
"""Cameras by name: typical values, orange to red light, standard (EMCCD: fastest) readout.

From the data sheets of Andor (iXon Ultra 897), Hamamatsu (ORCA-Flash4.0 V3) and Teledyne Photometrics (Prime
95B, 16 bit); `gain` and `offset` differ from one camera to the next, and its own test sheet is right.
"""


def expose(light: Array, rng: np.random.Generator, camera: Camera) -> Array:
    """Counts of one exposure.

    Parameters
    ----------
    light : ndarray
        Expected photons a pixel, 0 or more, any shape (...YX where the read noise is a map).
    rng : numpy.random.Generator
        Source of the noise.
    camera : Camera
        What noise.

    Returns
    -------
    ndarray of uint16
        Rounded, cut off at 0 and at what `bits` can hold.
    """
    arrived = rng.poisson(camera.quantum_efficiency * light + camera.induced_charge)
    electrons: Array = arrived
    if camera.em_gain > 1:
        electrons = rng.gamma(np.maximum(arrived, 1e-9), camera.em_gain) * (arrived > 0)
    read = rng.normal(0.0, camera.read_noise, np.shape(light))
    counts = camera.offset + (electrons + read) / camera.gain
    return np.clip(np.rint(counts), 0, 2**camera.bits - 1).astype(np.uint16)


def mean(light: Array, camera: Camera) -> Array:
    """Expected counts (float64) under expected photons `light`, any shape."""
    electrons = camera.quantum_efficiency * np.asarray(light, float) + camera.induced_charge
    return np.asarray(camera.offset + camera.em_gain * electrons / camera.gain)


def variance(light: Array, camera: Camera) -> Array:
    """Variance of the counts (float64, counts squared) under expected photons `light`, any shape."""
    electrons = camera.quantum_efficiency * np.asarray(light, float) + camera.induced_charge
    excess = 2.0 if camera.em_gain > 1 else 1.0
    signal = excess * camera.em_gain**2 * electrons
    return np.asarray((signal + np.square(camera.read_noise)) / camera.gain**2 + 1 / 12)


def photons(counts: Array, camera: Camera) -> Array:
    """Photons (float32) that counts stand for on average: the inverse of `mean`."""
    dark = float(mean(np.zeros(()), camera))
    return np.asarray((np.asarray(counts, np.float32) - dark) / camera.counts_per_photon, np.float32)


def noise_map(rng: np.random.Generator, shape: tuple[int, int], median: float, rms: float) -> Array:
    """Read noise YX of an sCMOS sensor in electrons, with the median and root mean square of its data sheet.

    Log-normal: most pixels are alike and a few are much noisier.

    References
    ----------
    Huang et al. 2013, Nat Methods 10:653.
    """
    if not rms >= median > 0:
        raise ConfigError(
            f"Read noise with median {median} and root mean square {rms} cannot be: the latter is the larger "
            "one on every data sheet. Exchange them."
        )
    return np.asarray(median * np.exp(rng.normal(0.0, np.sqrt(np.log(rms / median)), shape)))
