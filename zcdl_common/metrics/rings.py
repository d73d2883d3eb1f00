"""Rings around zero frequency, over which Fourier transforms of real images are summed."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from zcdl_common.task import Array


class Rings(NamedTuple):
    """Rings of one width, up to the highest frequency that pixels can hold."""

    radius: Array
    """Middle of each ring (R,); 1 is the highest frequency, half a cycle a pixel."""
    ring: Array
    """Ring of each value of ``rfft2``, flat; R and above lie in the corners."""
    twice: Array
    """How often each value stands in the whole transform, of which ``rfft2`` gives half, flat."""

    def sums(self, values: Array) -> Array:
        """Sum over each ring (R,) of a real (Y, X // 2 + 1) or flat array, the half not computed included."""
        n = len(self.radius)
        return np.bincount(self.ring, self.twice * values.ravel(), minlength=n)[:n]


def rings(shape: tuple[int, ...]) -> Rings:
    """Rings of the Fourier transform of an image YX, each one frequency of its shorter side wide."""
    from scipy import fft

    n = min(shape) // 2
    y, x = 2 * fft.fftfreq(shape[0]), 2 * fft.rfftfreq(shape[1])
    ring = (np.hypot(y[:, None], x) * n).astype(np.intp)
    twice = np.broadcast_to(np.where(x == 0, 1.0, 2.0), ring.shape)
    return Rings((np.arange(n) + 0.5) / n, ring.ravel(), twice.ravel())
