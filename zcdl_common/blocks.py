"""Walk through arrays that are larger than memory (memory maps, Zarr) piece by piece."""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np


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


def release(image: Any) -> None:
    """Let go of the pages of a memory map that were touched so far.

    They count as memory of this process until the system needs the room; changes already reached the
    file's cache and stay. Does nothing for other arrays, and where the system has no such call.
    """
    pages = getattr(image, "_mmap", None)
    if isinstance(pages, mmap.mmap) and hasattr(pages, "madvise") and getattr(image, "mode", "c") != "c":
        pages.madvise(mmap.MADV_DONTNEED)


def _chunks(image: Any) -> tuple[int, ...]:
    for name in ("shards", "chunks"):
        found = getattr(image, name, None)
        if isinstance(found, tuple) and all(isinstance(size, int) and size > 0 for size in found):
            return found
    return (1,) * len(image.shape)
