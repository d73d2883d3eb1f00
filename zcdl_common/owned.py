"""Objects of images of any size: found tile by tile, each by the tile whose core holds its point."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from zcdl_common.network import Geometry
from zcdl_common.task import Array, Prediction
from zcdl_common.tiles import Tile

FLOATS = 2**27
"""Most numbers that the maps of a tile may hold, were they as large as the tile: half a gigabyte."""


def with_objects(geometry: Geometry, extents: Sequence[float]) -> Geometry:
    """The geometry of tiles that see all that decides about the objects they own.

    Beyond the network's own halo that is two large objects in every direction: a surer one may take the place
    of an owned one, unless it has lost its own to another.

    Parameters
    ----------
    geometry : Geometry
        Of the network.
    extents : sequence of float
        Sides (Z)YX of a large object, in pixels.
    """
    halo = (h + 2 * math.ceil(e) for h, e in zip(geometry.halo, extents, strict=True))
    return replace(geometry, halo=tuple(halo))


def budget(channels: int) -> int:
    """Pixels of a tile with so many channels of maps."""
    return max(2**18, min(2**22, FLOATS // channels))


def gather(
    pieces: Iterable[tuple[Tile, tuple[Array, ...]]],
    decode: Callable[..., Prediction],
    settings: Mapping[str, Any],
    labels: Any,
) -> dict[str, Array]:
    """Draw the objects of all tiles into one label image.

    Every object gets a number of its own. Where two of different tiles overlap the surer one is seen, as in
    an image that is decoded as a whole.

    Parameters
    ----------
    pieces : iterable of (Tile, maps)
        From `tiles.predict_tiles`, with a geometry `with_objects`.
    decode : callable
        ``(maps, settings) -> Prediction`` with ``points`` float (N, (Z)YX), in pixels, and ``scores`` (N,) of
        the objects 1 to N in its extras.
    labels : array-like (Z)YX
        All 0; any integer array, or a file that is read and written in slices.

    Returns
    -------
    dict
        The extras of all objects: row ``n - 1`` belongs to object ``n``.
    """
    rows: list[Mapping[str, Array]] = []
    scores = [np.zeros(1, np.float32)]  # of the background, and of the objects so far
    total = 0
    for piece, maps in pieces:
        window, inside = _cut(piece, maps)
        sides = tuple(s.stop - s.start for s in window)
        found = decode(inside, {**settings, "shape": sides})
        points = found.extra["points"] + [s.start for s in window]
        own = piece.owns(points)
        count = int(own.sum())
        rows.append({**{k: v[own] for k, v in found.extra.items()}, "points": points[own]})
        if not count:
            continue
        number = np.zeros(len(own) + 1, np.int64)
        number[1:][own] = np.arange(total + 1, total + count + 1)
        scores.append(found.extra["scores"][own])
        surety = np.concatenate(scores)
        total += count
        mine, there = number[found.main], np.asarray(labels[window])
        labels[window] = np.where(surety[mine] > surety[there], mine, there)
    return {key: np.concatenate([row[key] for row in rows]) for key in rows[0]}


def gather_boxes(
    pieces: Iterable[tuple[Tile, tuple[Array, ...]]],
    decode: Callable[..., Prediction],
    settings: Mapping[str, Any],
) -> Prediction:
    """The boxes of all tiles, each from the tile whose core holds its centre.

    Parameters
    ----------
    pieces : iterable of (Tile, maps)
        From `tiles.predict_tiles`, with a geometry `with_objects`.
    decode : callable
        ``(maps, settings) -> Prediction`` as `detecting.decode` returns it.

    Returns
    -------
    Prediction
        As of an image that is decoded as a whole, the surest boxes first.
    """
    parts: dict[str, list[Array]] = {"main": [], "scores": [], "faint": [], "faint_scores": []}
    for piece, maps in pieces:
        window, inside = _cut(piece, maps)
        sides = tuple(s.stop - s.start for s in window)
        found = decode(inside, {**settings, "shape": sides})
        start = [s.start for s in window]
        for boxes, name in ((found.main, "main"), (found.extra["faint"], "faint")):
            moved = boxes + np.array([*start, *start, 0], np.float32)
            own = piece.owns((moved[:, :2] + moved[:, 2:4]) / 2)
            scores = "scores" if name == "main" else "faint_scores"
            parts[name].append(moved[own])
            parts[scores].append(found.extra[scores][own])
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    for name, scores in (("main", "scores"), ("faint", "faint_scores")):
        order = np.argsort(-joined[scores], kind="stable")
        joined[name], joined[scores] = joined[name][order], joined[scores][order]
    return Prediction(joined.pop("main"), joined)


def _cut(piece: Tile, maps: tuple[Array, ...]) -> tuple[tuple[slice, ...], tuple[Array, ...]]:
    """The window of a tile as far as it lies in the image, and that part of its maps."""
    window = tuple(slice(w.start, min(w.stop, n)) for w, n in zip(piece.window, piece.shape, strict=True))
    return window, tuple(_within(m, piece, [w.stop - w.start for w in window]) for m in maps)


def _within(values: Array, piece: Tile, sides: Sequence[int]) -> Array:
    """The part of a map of a window that lies inside the image."""
    kept = (
        math.ceil(s * n / (w.stop - w.start))
        for s, n, w in zip(sides, values.shape, piece.window, strict=False)
    )
    return values[tuple(slice(k) for k in kept)]
