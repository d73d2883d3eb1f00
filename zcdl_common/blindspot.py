"""Blind spots: pixels that a network must guess from their surroundings, and what stands in their place.

A network that is shown a pixel learns to repeat it, noise and all. Where the pixel is hidden, it can only
predict what the surroundings tell of it: the signal, for noise that is independent from pixel to pixel
cannot be told. That is how Noise2Void learns without clean images.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from zcdl_common.task import Array

Spots = tuple[Array, ...]
"""Index arrays (N,) each: patch, (Z)YX and channel of every blind spot."""


class Line(NamedTuple):
    """Pixels beside a blind spot that are hidden with it, where noise comes in lines (structN2V)."""

    axis: int
    """Spatial axis, 0 for Z or, in 2D, for Y."""
    length: int
    """Pixels hidden in all, the spot in the middle; odd."""

    def offsets(self, ndim: int) -> Array:
        """Places relative to the spot, without the spot itself, int (K, ndim)."""
        steps = np.arange(-(self.length // 2), self.length // 2 + 1)
        steps = steps[steps != 0]
        found = np.zeros((len(steps), ndim), int)
        found[:, self.axis] = steps
        return found


def blind(
    patches: Array,
    share: float,
    rng: np.random.Generator,
    *,
    radius: int = 5,
    median: bool = False,
    line: Line | None = None,
) -> tuple[Array, Array]:
    """Hide pixels of training patches, those of each channel at places of their own.

    Parameters
    ----------
    patches : float32 (B, (Z)YXC)
        Scaled to mean 0 and standard deviation 1.
    share : float
        Share of the pixels of each channel that is hidden, on average; in (0, 1).
    rng : numpy.random.Generator
        Its state alone decides the result.
    radius : int
        What stands in for a pixel comes from a window of ``2 * radius + 1`` pixels a side around it.
    median : bool
        Take the median of the window without its centre, as N2V2 does, instead of one of its pixels at
        random, the centre included (``uniform_withCP`` of the package n2v).
    line : Line, optional
        Hides neighbours along an axis too, under random values between -2 and 2.

    Returns
    -------
    masked : float32, shape of `patches`
    target : float32 (B, (Z)YX2C)
        The values at the blind spots, 0 elsewhere; then 1 at the blind spots, 0 elsewhere. The losses of
        the package n2v take it so.

    References
    ----------
    Krull, Buchholz, Jug 2019, doi:10.1109/CVPR.2019.00223 (Noise2Void); Höck et al. 2022,
    doi:10.1007/978-3-031-25069-9_33 (N2V2); Broaddus et al. 2020,
    doi:10.1109/ISBI45749.2020.9098336 (structN2V).
    """
    spots = stratified(patches.shape, share, rng)
    masked = patches.copy()
    if median:
        masked[spots] = medians(patches, spots, radius, line)
    else:
        masked[spots] = patches[neighbours(patches.shape, spots, radius, rng)]
    if line is not None:
        beside = along(patches.shape, spots, line)
        masked[beside] = rng.uniform(-2, 2, len(beside[0]))
    channels = patches.shape[-1]
    target = np.zeros((*patches.shape[:-1], 2 * channels), np.float32)
    target[spots] = patches[spots]
    target[(*spots[:-1], spots[-1] + channels)] = 1
    return masked, target


def stratified(shape: tuple[int, ...], share: float, rng: np.random.Generator) -> Spots:
    """One pixel at random in each box of a grid, so that blind spots spread evenly.

    Boxes hold ``1 / share`` pixels and need not be whole pixels wide: the stated share is hidden, in any
    number of dimensions. A spot that falls beyond the far end of its patch is dropped.

    The package n2v differs in 3D: it takes a square root for the cube root and hides 1.6 voxels of
    4 x 64 x 64 where 32 are meant. The same network, trained for 160 steps on either, reached 25.1 and
    25.7 dB from its spots and 29.2 and 30.3 dB from these (``benchmarks/blind_spots.py``, two seeds; noisy
    volume: 25.1 dB).

    Parameters
    ----------
    shape : tuple of int
        Of the patches, (B, (Z)YXC).
    """
    patches, *size, channels = shape
    sides = box(tuple(size), share)
    counts = [math.ceil(n / side) for n, side in zip(size, sides, strict=True)]
    corners = np.indices(counts).reshape(len(size), -1)
    drawn = corners + rng.random((patches * channels, *corners.shape))
    drawn *= np.array(sides)[:, None]
    at = drawn.astype(np.intp)
    image, one = np.nonzero((at < np.array(size)[:, None]).all(axis=1))
    patch, channel = np.divmod(image, channels)
    return (patch, *at[image, :, one].T, channel)


def box(size: tuple[int, ...], share: float) -> tuple[float, ...]:
    """Sides of a box that holds one blind spot: a cube, flatter where the patch itself is flat."""
    sides, volume = [0.0] * len(size), 1 / share
    for rank, axis in enumerate(sorted(range(len(size)), key=lambda a: size[a])):
        sides[axis] = min(volume ** (1 / (len(size) - rank)), float(size[axis]))
        volume /= sides[axis]
    return tuple(sides)


def neighbours(shape: tuple[int, ...], spots: Spots, radius: int, rng: np.random.Generator) -> Spots:
    """A pixel at random in the window around each spot, as far as it lies inside the patch."""
    patch, *at, channel = spots
    found = []
    for place, n in zip(at, shape[1:-1], strict=True):
        low, high = np.maximum(place - radius, 0), np.minimum(place + radius + 1, n)
        found.append(low + (rng.random(len(place)) * (high - low)).astype(np.intp))
    return (patch, *found, channel)


def medians(patches: Array, spots: Spots, radius: int, line: Line | None = None) -> Array:
    """Median of the window around each spot, float32 (N,), as far as it lies inside the patch.

    Neither the spot nor the `line` that is hidden with it has a say.
    """
    ndim = patches.ndim - 2
    window = np.stack(np.meshgrid(*[np.arange(-radius, radius + 1)] * ndim, indexing="ij"), -1)
    window = window.reshape(-1, ndim)
    hidden = np.zeros((1, ndim), int)
    if line is not None:
        hidden = np.concatenate([hidden, line.offsets(ndim)])
    window = window[~(window[:, None] == hidden).all(-1).any(1)]
    places, inside = _around(patches.shape, spots, window)
    values = np.where(inside, patches[places], np.inf)
    values.sort(axis=1)  # what lies outside comes last
    count = inside.sum(axis=1)
    middle = np.stack([(count - 1) // 2, count // 2], axis=1)
    return np.asarray(np.take_along_axis(values, middle, axis=1).mean(axis=1), np.float32)


def along(shape: tuple[int, ...], spots: Spots, line: Line) -> Spots:
    """The pixels that a `line` hides beside each spot, as far as they lie inside the patch."""
    places, inside = _around(shape, spots, line.offsets(len(shape) - 2))
    return tuple(np.broadcast_to(index, inside.shape)[inside] for index in places)


def _around(shape: tuple[int, ...], spots: Spots, offsets: Array) -> tuple[Spots, Array]:
    """Index arrays (N, K) of places around each spot, pulled inside the patch, and which lay inside."""
    patch, *at, channel = (index[:, None] for index in spots)
    moved = [place + offset for place, offset in zip(at, offsets.T, strict=True)]
    pairs = list(zip(moved, shape[1:-1], strict=True))
    inside = np.logical_and.reduce([(place >= 0) & (place < n) for place, n in pairs])
    return (patch, *(place.clip(0, n - 1) for place, n in pairs), channel), inside
