"""What StarDist learns from labels: distances along rays, and how deep inside its object a pixel lies.

The numbers are those of the stardist package, in a fraction of its time: rays jump over pixels that are known
to belong to the same object, all objects share one distance transform, and other threads go on meanwhile.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numba import njit

from zcdl_common.task import Array

PAD = 2
"""Background around the labels: no ray, in steps of one pixel, leaves an image without being seen there."""
UNSURE = np.iinfo(np.int32).min


class Rays(NamedTuple):
    """Where rays are after so many steps of length 1, in label images of one shape."""

    shape: tuple[int, ...]
    """Of the labels, (Z)YX."""
    offsets: Array
    """float32 (rays, steps, ZYX): sums of the steps, rounded as they add up."""
    lengths: Array
    """float32 (rays, steps): the distance that is learned where a ray first leaves its object."""
    hops: Array
    """int32 (rays, steps): the nearest pixel, counted from the first one in the memory of the padded labels;
    `UNSURE` halfway between two pixels, where the digits of the sum decide."""
    sure: Array
    """bool (rays / 4,): whether four rays in a row are sure of all their pixels."""


@lru_cache(maxsize=16)
def rays_2d(n: int, shape: tuple[int, int]) -> Rays:
    """Rays in the YX plane, the first one along X, then towards growing Y."""
    phi = (np.arange(n, dtype=np.float32) * np.float32(2 * np.pi / n)).astype(np.float64)
    unit = np.stack([np.zeros(n), np.sin(phi), np.cos(phi)], axis=-1).astype(np.float32)
    offsets = _walk(unit, max(shape))
    # the last step went past the border: half a pixel along the steeper axis is the border itself
    back = np.float32(0.5) / np.abs(unit).max(axis=1, keepdims=True) - np.float32(1)
    ends = offsets + (back * unit)[:, None]
    return _rays(shape, offsets, np.sqrt((ends**2).sum(axis=-1)))


def rays_3d(directions: Array, shape: tuple[int, int, int]) -> Rays:
    """Rays along unit vectors (rays, ZYX), as a ``Rays`` object of stardist holds them in ``vertices``."""
    return _rays_3d(np.ascontiguousarray(directions, np.float32).tobytes(), shape)


@lru_cache(maxsize=16)
def _rays_3d(directions: bytes, shape: tuple[int, int, int]) -> Rays:
    offsets = _walk(np.frombuffer(directions, np.float32).reshape(-1, 3), max(shape))
    lengths = np.sqrt((np.rint(offsets) ** 2).sum(axis=-1))  # to the middle of a voxel
    return _rays(shape, offsets, lengths)


def _walk(unit: Array, longest: int) -> Array:
    """Sums of 0, 1, 2, ... steps; added one by one, since float32 rounds each sum."""
    steps = 2 * longest + 4  # the diagonal of a cube is shorter than twice its side
    walked = np.zeros((len(unit), steps, 3), np.float32)
    walked[:, 1:] = np.cumsum(np.broadcast_to(unit[:, None], (len(unit), steps - 1, 3)), 1, np.float32)
    return walked


def _rays(shape: tuple[int, ...], offsets: Array, lengths: Array) -> Rays:
    _, height, width = _padded_shape(shape)
    pixels = np.rint(offsets).astype(np.int64)
    hops = (pixels[..., 0] * height + pixels[..., 1]) * width + pixels[..., 2]
    # float32 keeps 24 bits of a coordinate
    halfway = np.abs(np.abs(offsets - pixels) - 0.5) < 2.0**-22 * max(shape)
    unsure = halfway.any(axis=-1) | (np.abs(hops) > 2**30)
    fours = len(hops) // 4
    sure = ~unsure[: 4 * fours].reshape(fours, -1).any(axis=1)
    return Rays(shape, offsets, lengths, np.where(unsure, UNSURE, hops).astype(np.int32), sure)


def star_distances(labels: Array, rays: Rays, grid: tuple[int, ...]) -> Array:
    """Distance from every grid point to the border of its object, along every ray.

    Parameters
    ----------
    labels : int32 (Z)YX
        0 is background, 65,535 the largest number. What lies beyond the image is no part of an object.
    rays : Rays
        From `rays_2d` or `rays_3d`, made for the shape of `labels`.
    grid : tuple of int
        Every so many pixels, (Z)YX.

    Returns
    -------
    float32 ((Z)YX / grid, rays)
        In pixels; 0 in the background.

    References
    ----------
    Schmidt et al. 2018, doi:10.1007/978-3-030-00934-2_30; Weigert et al. 2020,
    doi:10.1109/WACV45572.2020.9093435. Jumps over free space: Hart 1996, doi:10.1007/s003710050084.
    """
    if rays.shape != labels.shape:
        raise ValueError(f"rays for labels of shape {rays.shape} met labels of shape {labels.shape}")
    flat = labels.ndim == 2
    padded = np.zeros(_padded_shape(labels.shape), np.int32)
    first = (PAD * (not flat), PAD, PAD)
    inner = padded[tuple(slice(p, n - p) for p, n in zip(first, padded.shape, strict=True))]
    inner[...] = labels
    steps = (1,) * flat + tuple(grid)
    shape = tuple(-(-n // g) for n, g in zip(inner.shape, steps, strict=True))
    out = np.empty((*shape, len(rays.lengths)), np.float32)
    _march(_with_room(padded, flat), rays.offsets, rays.lengths, rays.hops, rays.sure, first, steps, out)
    return out[0] if flat else out


def _padded_shape(shape: tuple[int, ...]) -> tuple[int, int, int]:
    depth, height, width = (1 - 2 * PAD,) * (3 - len(shape)) + tuple(shape)  # a plane has nothing above it
    return depth + 2 * PAD, height + 2 * PAD, width + 2 * PAD


def object_probability(labels: Array, spacing: tuple[float, ...] | None = None) -> Array:
    """Distance to the nearest pixel of something else, divided by the largest one of the object.

    Parameters
    ----------
    labels : int32 (Z)YX
        0 is background. Objects go on beyond the image, unless one object is all that there is.
    spacing : tuple of float, optional
        Relative size (Z)YX of a pixel; None: equal.

    Returns
    -------
    float32 (Z)YX
        0 in the background, 1 in the middle of an object.
    """
    alone = labels.flat[0] > 0 and bool((labels == labels.flat[0]).all())
    sizes = (1.0,) * (3 - labels.ndim) + tuple(map(float, spacing or (1.0,) * labels.ndim))
    found = _relative_depth(_volume(np.pad(labels, 1) if alone else labels), np.asarray(sizes))
    depth: Array = found[0] if labels.ndim == 2 else found
    return depth[(slice(1, -1),) * labels.ndim] if alone else depth


def _volume(labels: Array) -> Array:
    volume = np.ascontiguousarray(labels, np.int32)
    return volume[None] if volume.ndim == 2 else volume


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _march(labels, offsets, lengths, hops, sure, first, grid, out):  # type: ignore[no-untyped-def]
    """Walk every ray until it leaves its object, in strides that `_with_room` found to be safe."""
    _, height, width = labels.shape
    pixels = labels.ravel()
    for i in range(out.shape[0]):
        for j in range(out.shape[1]):
            for k in range(out.shape[2]):
                z, y, x = i * grid[0], j * grid[1], k * grid[2]
                start = ((first[0] + z) * height + first[1] + y) * width + first[2] + x
                if pixels[start] >> 8 == 0:
                    out[i, j, k] = 0
                    continue
                for ray in range(0, 4 * len(sure), 4):
                    if sure[ray // 4]:
                        a, b, c, d = _walk_four(pixels, start, hops, ray)
                        out[i, j, k, ray], out[i, j, k, ray + 1] = lengths[ray, a], lengths[ray + 1, b]
                        out[i, j, k, ray + 2], out[i, j, k, ray + 3] = (
                            lengths[ray + 2, c],
                            lengths[ray + 3, d],
                        )
                for ray in range(len(hops)):
                    if ray // 4 >= len(sure) or not sure[ray // 4]:
                        step = _walk_one(
                            pixels, start, hops[ray], offsets[ray], (z, y, x), first, height, width
                        )
                        out[i, j, k, ray] = lengths[ray, step]


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _walk_four(pixels, start, hops, ray):  # type: ignore[no-untyped-def]
    """Steps of four rays in a row: the processor looks up one pixel while it waits for another."""
    value, stride = pixels[start] >> 8, pixels[start] & 255
    a = b = c = d = stride
    while True:
        at_a, at_b = pixels[start + hops[ray, a]], pixels[start + hops[ray + 1, b]]
        at_c, at_d = pixels[start + hops[ray + 2, c]], pixels[start + hops[ray + 3, d]]
        in_a, in_b, in_c, in_d = (
            at_a >> 8 == value,
            at_b >> 8 == value,
            at_c >> 8 == value,
            at_d >> 8 == value,
        )
        if not (in_a | in_b | in_c | in_d):
            return a, b, c, d
        a, b = a + (at_a & 255) * in_a, b + (at_b & 255) * in_b
        c, d = c + (at_c & 255) * in_c, d + (at_d & 255) * in_d


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _walk_one(pixels, start, hops, offsets, corner, first, height, width):  # type: ignore[no-untyped-def]
    """Steps of a ray that comes to lie halfway between pixels: there the sum decides, as stardist has it."""
    value, step = pixels[start] >> 8, pixels[start] & 255
    while True:
        place = start + hops[step]
        if hops[step] == UNSURE:  # counted from the first pixel of the image
            z = first[0] + int(np.rint(np.float32(corner[0]) + offsets[step, 0]))
            y = first[1] + int(np.rint(np.float32(corner[1]) + offsets[step, 1]))
            x = first[2] + int(np.rint(np.float32(corner[2]) + offsets[step, 2]))
            place = (z * height + y) * width + x
        if pixels[place] >> 8 != value:
            return step
        step += pixels[place] & 255


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _with_room(labels, flat):  # type: ignore[no-untyped-def]
    """256 times the label, plus the steps in any direction that surely lead to the same object, at least 1.

    One less than the chessboard distance to the nearest other pixel: in so many steps, start and end rounded
    to whole pixels, no coordinate can change by more. Two sweeps over all neighbours are exact for it.
    """
    depth, height, width = labels.shape
    edge = 0 if flat else PAD
    room = np.zeros(labels.shape, np.int32)
    for sweep in (1, -1):
        for a in range(edge, depth - edge):
            i = a if sweep > 0 else depth - 1 - a
            for b in range(PAD, height - PAD):
                j = b if sweep > 0 else height - 1 - b
                for c in range(PAD, width - PAD):
                    k = c if sweep > 0 else width - 1 - c
                    value = labels[i, j, k]
                    if value == 0:
                        continue
                    least = room[i, j, k - sweep] if labels[i, j, k - sweep] == value else 0
                    for dx in range(-1, 2):
                        y, x = j - sweep, k + dx
                        least = min(least, room[i, y, x] if labels[i, y, x] == value else 0)
                    if not flat:
                        for dy in range(-1, 2):
                            for dx in range(-1, 2):
                                z, y, x = i - sweep, j + dy, k + dx
                                least = min(least, room[z, y, x] if labels[z, y, x] == value else 0)
                    room[i, j, k] = least + 1 if sweep > 0 else min(room[i, j, k], least + 1)
    return labels * 256 + np.minimum(np.maximum(room - 1, 1), 255)


@njit(nogil=True, cache=True)  # type: ignore[untyped-decorator]
def _relative_depth(labels, spacing):  # type: ignore[no-untyped-def]
    """Exact Euclidean distance to the nearest other pixel, over its maximum in the object.

    One axis after the other: the squared distance is the least of that of a pixel on the same line, and the
    squared way to it; a line ends where another object begins.
    """
    pixels = labels.ravel()
    squared = np.full(pixels.size, np.inf)
    stride = pixels.size
    for axis in range(3):
        before, side, step = squared.copy(), labels.shape[axis], spacing[axis]
        stride //= side
        for outer in range(0, pixels.size, side * stride):
            for place in range(side):
                for here in range(outer + place * stride, outer + (place + 1) * stride):
                    value = pixels[here]
                    if value == 0:
                        continue
                    best = before[here]
                    for sign in (-1, 1):
                        for away in range(1, (place if sign < 0 else side - 1 - place) + 1):
                            way = (away * step) ** 2
                            if way >= best:
                                break
                            there = here + sign * away * stride
                            if pixels[there] != value:
                                best = way
                                break
                            best = min(best, before[there] + way)
                    squared[here] = best
    largest = np.zeros(pixels.max() + 1, np.float64)
    for here in range(pixels.size):
        if pixels[here] > 0:
            largest[pixels[here]] = max(largest[pixels[here]], squared[here])
    out = np.zeros(pixels.size, np.float32)
    for here in range(pixels.size):
        if pixels[here] > 0:
            out[here] = np.sqrt(squared[here]) / (np.sqrt(largest[pixels[here]]) + 1e-10)
    return out.reshape(labels.shape)
