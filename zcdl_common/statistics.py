"""Percentiles, means and standard deviations of images of any size, exactly, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from zcdl_common.blocks import blocks, release
from zcdl_common.task import Array


def percentiles(images: Sequence[Any], q: Sequence[float]) -> Array:
    """Percentiles over all finite pixels of one or more images, channel by channel.

    Equal to `numpy.percentile` (linear interpolation), for images of any size: order statistics are
    found digit by digit in histograms of 65,536 bins, which takes one pass over 8- and 16-bit images, two
    over 32-bit ones and four over 64-bit ones.

    Parameters
    ----------
    images : sequence of array-like (Z)YXC
        Sliceable like arrays; shapes may differ, channels not. Iterated several times.
    q : sequence of float
        In [0, 100].

    Returns
    -------
    float64 (len(q), C)
        0 for a channel without finite pixels.
    """
    dtype = np.result_type(*(image.dtype for image in images)).newbyteorder("=")
    if dtype.kind not in "iuf" or dtype.itemsize > 8:
        dtype = np.dtype(np.uint8 if dtype.kind == "b" else np.float64)
    columns = [_percentiles(images, c, dtype, np.asarray(q) / 100) for c in range(images[0].shape[-1])]
    return np.stack(columns, axis=1)


def mean_std(images: Sequence[Any]) -> tuple[Array, Array]:
    """Mean and standard deviation over all finite pixels, each float64 (C,), for images of any size.

    Blocks are merged by the pairwise update, which does not lose digits to a large mean.

    References
    ----------
    Chan, Golub, LeVeque: Updating formulae and a pairwise algorithm for computing sample variances.
    COMPSTAT 1982, doi:10.1007/978-3-642-51461-6_3
    """
    channels = images[0].shape[-1]
    count, mean, square = np.zeros(channels), np.zeros(channels), np.zeros(channels)
    for image in images:
        for where in blocks(image):
            block = np.asarray(image[where], np.float64).reshape(-1, channels)
            finite = np.isfinite(block)
            n = finite.sum(0)
            centre = np.where(finite, block, 0).sum(0) / np.maximum(n, 1)
            shift = centre - mean
            total = np.maximum(count + n, 1)
            square += (np.where(finite, block - centre, 0) ** 2).sum(0) + shift**2 * count * n / total
            mean += shift * n / total
            count += n
            release(image)
    return mean, np.sqrt(square / np.maximum(count, 1))


def _pixels(images: Sequence[Any], channel: int, dtype: np.dtype[Any]) -> Iterator[Array]:
    for image in images:
        for where in blocks(image):
            values = np.asarray(image[(*where, channel)]).astype(dtype, copy=False).ravel()
            yield values[np.isfinite(values)] if dtype.kind == "f" else values
            release(image)


def _percentiles(images: Sequence[Any], channel: int, dtype: np.dtype[Any], q: Array) -> Array:
    bits = 8 * dtype.itemsize
    digit = min(bits, 16)
    ranks: Array | None = None
    prefix = np.zeros(1, np.uint64)  # leading digits of the key that holds each rank
    for shift in range(bits - digit, -1, -digit):
        above = shift + digit if ranks is not None else None
        counts = _histograms(_pixels(images, channel, dtype), prefix, shift, digit, above)
        if ranks is None:
            n = int(next(iter(counts.values())).sum())
            if n == 0:
                return np.zeros(len(q))
            place = q * (n - 1)
            ranks = np.concatenate([np.floor(place), np.ceil(place)]).astype(np.int64)
            prefix = np.zeros(len(ranks), np.uint64)
        for i, leading in enumerate(prefix):
            below = np.cumsum(counts[int(leading)])
            bin_ = int(np.searchsorted(below, ranks[i], side="right"))
            ranks[i] -= below[bin_ - 1] if bin_ else 0
            prefix[i] = (int(leading) << digit) | bin_
    low, high = _values(prefix, dtype).astype(np.float64).reshape(2, -1)
    return low + (high - low) * (place - np.floor(place))  # type: ignore[no-any-return]


def _histograms(
    pixels: Iterator[Array], prefixes: Array, shift: int, digit: int, above: int | None
) -> dict[int, Array]:
    """Histograms of one digit of the keys, each over the keys that start with one of `prefixes`."""
    counts = {int(p): np.zeros(2**digit, np.int64) for p in prefixes}
    for values in pixels:
        keys = _keys(values)
        for prefix, count in counts.items():
            part = keys if above is None else keys[keys >> above == prefix]
            count += np.bincount(((part >> shift) & (2**digit - 1)).astype(np.intp), minlength=2**digit)
    return counts


def _keys(values: Array) -> Array:
    """Unsigned integers that sort like the values."""
    dtype = values.dtype
    if dtype.kind == "u":
        return values
    sign = 1 << (8 * dtype.itemsize - 1)
    bits = values.view(f"u{dtype.itemsize}")
    if dtype.kind == "i":
        return bits ^ sign  # type: ignore[no-any-return]
    return np.where(bits & sign, ~bits, bits | sign)  # more negative: larger bits


def _values(keys: Array, dtype: np.dtype[Any]) -> Array:
    """Inverse of `_keys`."""
    bits = keys.astype(f"u{dtype.itemsize}")
    sign = 1 << (8 * dtype.itemsize - 1)
    if dtype.kind == "i":
        bits = bits ^ sign
    elif dtype.kind == "f":
        bits = np.where(bits & sign, bits ^ sign, ~bits)
    return bits.view(dtype)
