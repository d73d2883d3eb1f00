"""Predict images of any size tile by tile, with the result of the whole image.

A network sees zeros beyond the border of its input. A tile is therefore read with a halo that is no
smaller than the network's receptive field and cut off where the image itself ends, and starts at a
multiple of the network's downsampling. What is kept of it, its core, then equals the same pixels of
a prediction of the whole image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from fractions import Fraction
from itertools import product
from typing import Any

import numpy as np

from zcdl_common.blocks import fetch, store
from zcdl_common.network import Geometry
from zcdl_common.task import Array, as_float

Forward = Callable[[Array], tuple[Array, ...]]
Allocate = Callable[[tuple[int, ...], np.dtype[Any]], Any]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Tile:
    """A part of an image: pixels read (``window``) and pixels kept (``core``), spatial slices (Z)YX.

    The window may reach beyond the end of the image, up to the network's multiple; cores cover the
    image once and do not overlap.
    """

    core: tuple[slice, ...]
    window: tuple[slice, ...]
    shape: Shape
    """Of the whole image, (Z)YX."""

    def owns(self, points: Array) -> Array:
        """Which points, float (N, (Z)YX) in pixels of the whole image, lie in the core: bool (N,).

        Every point belongs to exactly one tile, also one that lies outside the image.
        """
        low = [-np.inf if s.start == 0 else s.start for s in self.core]
        high = [np.inf if s.stop == n else s.stop for s, n in zip(self.core, self.shape, strict=True)]
        return np.all((points >= low) & (points < high), axis=1)  # type: ignore[no-any-return]

    def crop(self, output: Array) -> Array:
        """The part of a map of the window, ((Z)YX...) at any scale, that belongs to the core."""
        where = []
        for core, window, scale in zip(self.core, self.window, _scales(self, output), strict=True):
            kept = _scaled(core, scale)
            start = kept.start - _scaled(window, scale).start
            where.append(slice(start, start + kept.stop - kept.start))
        return output[tuple(where)]


def tiles(shape: Shape, geometry: Geometry, core: Shape | None = None) -> list[Tile]:
    """Cut an image into tiles whose windows all have one shape, so that they fit into batches.

    Parameters
    ----------
    shape : tuple of int
        Size of the image, (Z)YX.
    geometry : Geometry
        ``multiple`` and ``halo`` of the network. Objects that are cut out tile by tile need a halo that
        also holds their radius: ``dataclasses.replace(geometry, halo=...)``.
    core : tuple of int, optional
        Size of the cores, rounded up to the multiple; None: `default_tile`.
    """
    core = core or default_tile(geometry, shape)
    axes = [_axis(*of) for of in zip(shape, core, geometry.multiple, geometry.halo, strict=True)]
    return [Tile(tuple(c for c, _ in cut), tuple(w for _, w in cut), shape) for cut in product(*axes)]


def spread(
    image: Any, geometry: Geometry, *, scale: Callable[[Array], Array], most: int = 16, budget: int = 2**22
) -> Iterator[Array]:
    """Windows all over an image, read and scaled, (1, (Z)YXC) of one shape: they stand for the whole.

    Parameters
    ----------
    image, geometry, scale
        As for `predict_tiled`.
    most : int
        Windows, at most; each is the middle of an equal share of the image.
    budget : int
        Pixels of all windows together.
    """
    shape = [_up(n, m) for n, m in zip(image.shape, geometry.multiple, strict=False)]
    alone = Geometry(geometry.multiple, (0,) * len(shape))
    size = default_tile(alone, tuple(shape), budget // most)
    counts = [n // s for n, s in zip(shape, size, strict=True)]
    while math.prod(counts) > most:
        counts[counts.index(max(counts))] -= 1
    starts = [
        [(2 * i + 1) * n // (2 * count) - s // 2 for i in range(count)]
        for n, s, count in zip(shape, size, counts, strict=True)
    ]
    for corner in product(*starts):
        window = tuple(slice(a, a + s) for a, s in zip(corner, size, strict=True))
        yield scale(read(image, window))[np.newaxis]


def _axis(size: int, core: int, multiple: int, halo: int) -> list[tuple[slice, slice]]:
    domain, core, halo = (_up(n, multiple) for n in (size, max(core, 1), halo))
    window = min(core + 2 * halo, domain)
    if window == domain:  # every window would be the whole axis
        core = domain
    cut = []
    for start in range(0, size, core):
        # at the ends the window moves inwards: more halo than needed on one side, none beyond the border
        first = min(max(start - halo, 0), domain - window)
        cut.append((slice(start, min(start + core, size)), slice(first, first + window)))
    return cut


def default_tile(geometry: Geometry, shape: Shape | None = None, budget: int = 2**22) -> Shape:
    """Cores as large as the budget allows: most of a small tile is halo, computed and thrown away.

    Parameters
    ----------
    geometry : Geometry
    shape : tuple of int, optional
        Size of the image, (Z)YX; an axis that fits whole needs no halo.
    budget : int
        Pixels of a window, halo included. A core is never smaller than the multiple, so a small budget
        may be exceeded.
    """
    step, ndim = geometry.multiple, len(geometry.multiple)
    halo = [_up(h, m) for h, m in zip(geometry.halo, step, strict=True)]
    limit = [math.inf] * ndim if shape is None else [_up(n, m) for n, m in zip(shape, step, strict=True)]
    core: list[float] = list(step)
    growing = {axis for axis in range(ndim) if core[axis] < limit[axis]}

    def window(axis: int) -> float:
        return min(core[axis] + 2 * halo[axis], limit[axis])

    while growing:
        axis = max(growing, key=lambda a: (window(a) / core[a], -core[a]))  # the most wasteful
        before = core[axis]
        core[axis] = limit[axis] if window(axis) == limit[axis] else before + step[axis]
        if math.prod(window(a) for a in range(ndim)) > budget:
            core[axis] = before
            growing.discard(axis)
        elif core[axis] >= limit[axis]:
            growing.discard(axis)
    return tuple(int(n) for n in core)


def predict_whole(
    forward: Forward, image: Any, geometry: Geometry, *, scale: Callable[[Array], Array] = as_float
) -> tuple[Array, ...]:
    """Predict an image in one piece: what `predict_tiled` equals."""
    return predict_tiled(forward, image, geometry, tile=image.shape[:-1], scale=scale)


def predict_tiled(
    forward: Forward,
    image: Any,
    geometry: Geometry,
    *,
    tile: Shape | None = None,
    scale: Callable[[Array], Array] = as_float,
    out: Sequence[Any] | Allocate = np.empty,
    batch: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Any, ...]:
    """Dense maps of an image, in memory that does not grow with it.

    Equal to `predict_whole` (to rounding) for networks without normalisation over the image; others are
    given windows from `spread` first.

    Parameters
    ----------
    forward : callable
        Scaled float32 (B, (Z)YXC) -> maps (B, (Z)YXK), each at any scale.
    image : array-like (Z)YXC
        Array, memory map or Zarr array; read window by window, mirrored at the far ends up to the
        multiple, one batch ahead.
    geometry : Geometry
    tile : tuple of int, optional
        Size of the cores, (Z)YX; None: `default_tile`.
    scale : callable
        Applied to each window: block of `image` -> float32 of the same shape. Its parameters must come
        from the whole image (`zcdl_common.scales`).
    out : sequence of array-like, or callable
        One writable array ((Z)YXK) a map, or ``(shape, dtype) -> array``, called once a map.
    batch : int
        Windows a call of `forward`.
    progress : callable, optional
        ``(tiles done, tiles in all)``.

    Returns
    -------
    tuple of array
        The arrays written to; map size is image size times scale, rounded up.
    """
    maps: tuple[Any, ...] = ()
    for piece, outputs in predict_tiles(
        forward, image, geometry, tile=tile, scale=scale, batch=batch, progress=progress
    ):
        scales = [_scales(piece, output) for output in outputs]
        if not maps:
            shapes = [
                (*(math.ceil(n * f) for n, f in zip(piece.shape, by, strict=True)), output.shape[-1])
                for by, output in zip(scales, outputs, strict=True)
            ]
            maps = _allocate(out, shapes, [output.dtype for output in outputs])
        for written, output, by in zip(maps, outputs, scales, strict=True):
            where = tuple(_scaled(s, f) for s, f in zip(piece.core, by, strict=True))
            store(written, where, piece.crop(output))
    return maps


def predict_tiles(
    forward: Forward,
    image: Any,
    geometry: Geometry,
    *,
    tile: Shape | None = None,
    scale: Callable[[Array], Array] = as_float,
    batch: int = 1,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Tile, tuple[Array, ...]]]:
    """Tiles with the maps of their windows, for objects that are cut out before the maps are dropped.

    Parameters are those of `predict_tiled`; maps are ((Z)YXK) of one window, core not yet cut.
    """
    cut = tiles(image.shape[:-1], geometry, tile)
    groups = [cut[i : i + batch] for i in range(0, len(cut), batch)]
    blocks = (np.stack([scale(read(image, piece.window)) for piece in group]) for group in groups)
    done = 0
    for group, block in zip(groups, _ahead(blocks), strict=True):
        outputs = forward(block)
        for i, piece in enumerate(group):
            yield piece, tuple(output[i] for output in outputs)
        done += len(group)
        if progress is not None:
            progress(done, len(cut))


def read(image: Any, window: tuple[slice, ...]) -> Array:
    """Pixels of a window, ((Z)YXC), mirrored about the last pixel where it reaches beyond the image."""
    wanted = [_mirrored(w, n) for w, n in zip(window, image.shape, strict=False)]
    block = fetch(image, tuple(slice(int(i.min()), int(i.max()) + 1) for i in wanted))
    for axis, index in enumerate(wanted):
        if window[axis].stop > image.shape[axis]:
            block = np.take(block, index - index.min(), axis)
    return block


def _mirrored(window: slice, size: int) -> Array:
    index = np.arange(window.start, window.stop) % max(2 * (size - 1), 1)
    return np.minimum(index, 2 * (size - 1) - index) if size > 1 else index


def _ahead(items: Iterator[Array]) -> Iterator[Array]:
    """Prepare the next item while one is in use."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, items, None)
        while (item := coming.result()) is not None:
            coming = reader.submit(next, items, None)
            yield item


def _allocate(out: Sequence[Any] | Allocate, shapes: list[Shape], dtypes: list[Any]) -> tuple[Any, ...]:
    if callable(out):
        return tuple(out(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True))
    found = [tuple(array.shape) for array in out]
    if found != shapes:
        raise ValueError(f"the network writes maps of shape {shapes}, 'out' has {found}")
    return tuple(out)


def _scales(piece: Tile, output: Array) -> list[Fraction]:
    return [Fraction(n, w.stop - w.start) for n, w in zip(output.shape, piece.window, strict=False)]


def _scaled(span: slice, scale: Fraction) -> slice:
    start = span.start * scale
    if start.denominator != 1:
        raise ValueError(f"geometry.multiple does not hold the output scale {scale}")
    return slice(int(start), math.ceil(span.stop * scale))


def _up(size: int, multiple: int) -> int:
    return -(-size // multiple) * multiple
