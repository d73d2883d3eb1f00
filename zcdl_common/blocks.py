"""Walk through arrays that are larger than memory (memory maps, Zarr) piece by piece."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np

from zcdl_common.task import Array

PIECE = 2**15
"""Pixels copied from or to a memory map at once. The system maps whole rows of pages around each touched
one, so a tile of a wide image would otherwise hold many times its own size."""


def blocks(image: Any, budget: int = 2**20) -> Iterator[tuple[slice, ...]]:
    """Cut an image into blocks of about `budget` pixels that cover it once.

    Parameters
    ----------
    image : array-like (Z)YXC
        Anything with ``shape``; ``chunks`` or ``shards`` are respected, so that no chunk is decoded twice
        (a block is never smaller than one).
    budget : int
        Pixels in a block.

    Yields
    ------
    tuple of slice
        One slice for every spatial axis; channels stay together.
    """
    shape = image.shape[:-1]
    unit = [min(u, n) for u, n in zip(_chunks(image), shape, strict=False)]
    size = list(unit)
    for axis in reversed(range(len(size))):
        room = max(1, budget // max(1, int(np.prod(size))))
        size[axis] = min(shape[axis], unit[axis] * room)
    starts = [range(0, n, max(1, s)) for n, s in zip(shape, size, strict=True)]
    for corner in product(*starts):
        yield tuple(slice(a, min(a + s, n)) for a, s, n in zip(corner, size, shape, strict=True))


def fetch(image: Any, where: tuple[slice, ...]) -> Array:
    """Read a region into memory, with no more of a memory map resident than a piece of it."""
    if _pages(image) is None:
        return np.asarray(image[where])
    region = np.empty(image[where].shape, image.dtype)
    _copy(image[where], region, image)
    return region


def store(image: Any, where: tuple[slice, ...], values: Array) -> None:
    """Write a region, with no more of a memory map resident than a piece of it."""
    if _pages(image) is None:
        image[where] = values
    else:
        _copy(values, image[where], image)


def release(image: Any) -> None:
    """Let go of the pages of a memory map that were touched so far; other arrays are left alone.

    Such pages count as memory of this process until the system needs the room. Changes have already
    reached the file's cache and stay.
    """
    pages = _pages(image)
    if pages is not None:
        pages.madvise(mmap.MADV_DONTNEED)


def _copy(source: Array, target: Array, mapped: Any) -> None:
    for piece in blocks(source, PIECE):
        target[piece] = source[piece]
        release(mapped)


def _pages(image: Any) -> mmap.mmap | None:
    # pages of a copy-on-write map ("c") hold changes that are nowhere else
    pages = getattr(image, "_mmap", None)
    able = isinstance(pages, mmap.mmap) and hasattr(pages, "madvise") and getattr(image, "mode", "c") != "c"
    return pages if able else None


def _chunks(image: Any) -> tuple[int, ...]:
    for name in ("shards", "chunks"):
        found = getattr(image, name, None)
        if isinstance(found, tuple) and all(isinstance(size, int) and size > 0 for size in found):
            return found
    return (1,) * len(image.shape)
