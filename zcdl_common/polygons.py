"""Between outlines and pixels. Pixel i covers [i, i+1): it belongs to an outline that holds its centre."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zcdl_common.task import Array


def fill(outlines: Sequence[Array], shape: tuple[int, int]) -> tuple[tuple[slice, slice], Array]:
    """Pixels inside closed outlines by the even-odd rule: an outline within another is a hole.

    Parameters
    ----------
    outlines
        (N, 2) corners x, y in pixels each; the last joins the first.
    shape
        Size (Y, X) of the image; what lies outside is cut off.

    Returns
    -------
    window, inside
        The part of the image that can hold pixels, and a boolean mask of its size.
    """
    corners = np.concatenate([np.asarray(o, float) for o in outlines])
    # an edge on a centre belongs to the pixel on its right and below: neighbours share no pixel
    lowest = np.clip(np.ceil(corners.min(0) - 0.5).astype(int), 0, (shape[1], shape[0]))
    highest = np.clip(np.ceil(corners.max(0) - 0.5).astype(int), lowest, (shape[1], shape[0]))
    (left, top), (right, bottom) = lowest, highest
    window = (slice(int(top), int(bottom)), slice(int(left), int(right)))
    crossings = np.zeros((bottom - top, right - left + 1), np.int32)
    for outline in outlines:
        start = np.asarray(outline, float)
        end = np.roll(start, -1, axis=0)
        for (x0, y0), (x1, y1) in zip(start, end, strict=True):
            if y0 == y1:
                continue
            first, last = sorted((np.ceil(y0 - 0.5), np.ceil(y1 - 0.5)))
            rows = np.arange(max(first, top), min(last, bottom)).astype(int)
            x = x0 + (rows + 0.5 - y0) * (x1 - x0) / (y1 - y0)
            columns = np.clip(np.ceil(x - 0.5).astype(int) - left, 0, right - left)
            crossings[rows - top, columns] += 1
    return window, (np.cumsum(crossings, axis=1)[:, :-1] % 2).astype(bool)


def trace(mask: Array) -> list[Array]:
    """Outlines of a mask along the borders of its pixels, so that `fill` gives it back exactly.

    Parameters
    ----------
    mask
        Boolean (Y, X).

    Returns
    -------
    list of (N, 2) int
        Corners x, y: one outline for each part and each hole.
    """
    padded = np.pad(np.asarray(mask, np.int8), 1)
    horizontal = np.diff(padded, axis=0)[:, 1:-1]
    vertical = np.diff(padded, axis=1)[1:-1]
    steps: dict[tuple[int, int], list[tuple[int, int]]] = {}
    # clockwise: along tops to the right, down right sides, along bottoms to the left, up left sides
    for found, begin, finish in (
        (horizontal > 0, (0, 0), (1, 0)),
        (horizontal < 0, (1, 0), (0, 0)),
        (vertical < 0, (0, 0), (0, 1)),
        (vertical > 0, (0, 1), (0, 0)),
    ):
        for y, x in zip(*(i.tolist() for i in np.nonzero(found)), strict=True):
            steps.setdefault((x + begin[0], y + begin[1]), []).append((x + finish[0], y + finish[1]))
    outlines = []
    while steps:
        point = next(iter(steps))
        walk = []
        while point in steps:
            walk.append(point)
            ways = steps[point]
            following = ways.pop()
            if not ways:
                del steps[point]
            point = following
        outlines.append(_corners(np.array(walk)))
    return outlines


def _corners(walk: Array) -> Array:
    """Points of a closed walk at which it turns."""
    before, after = walk - np.roll(walk, 1, axis=0), np.roll(walk, -1, axis=0) - walk
    turns: Array = walk[(before != after).any(axis=1)]
    return turns


def ellipse(left: float, top: float, right: float, bottom: float, corners: int = 256) -> Array:
    """Outline (N, 2) x, y of the ellipse in a box."""
    angle = np.linspace(0, 2 * np.pi, corners, endpoint=False)
    x = (left + right) / 2 + (right - left) / 2 * np.cos(angle)
    y = (top + bottom) / 2 + (bottom - top) / 2 * np.sin(angle)
    return np.stack([x, y], axis=1)
