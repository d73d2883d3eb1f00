"""Training patches with points: windows, flips and quarter turns."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from zcdl_common.task import Array

Placed = tuple[Array, Array]
"""Image float32 (Y, X, C) and points float32 (N, 2) y, x in pixels from the corner."""


def cut_points(image: Array, yx: Array, start: Sequence[int], size: Sequence[int]) -> Placed:
    """A part of an image, and the points in it, from its own corner.

    Parameters
    ----------
    image : (Y, X, C)
    yx : (N, 2)
        Pixel i covers [i, i + 1).
    start, size : (Y, X)
        Of the part, which lies within the image.
    """
    (top, left), (height, width) = start, size
    moved = np.asarray(yx, np.float32) - np.asarray(start, np.float32)
    inside = ((moved >= 0) & (moved < np.asarray(size))).all(axis=1)
    return image[top : top + height, left : left + width], moved[inside]


def flip_and_turn_points(patch: Array, yx: Array, rng: np.random.Generator) -> Placed:
    """Mirror and turn by multiples of 90° (180° where sides differ), without touching a value."""
    height, width = patch.shape[:2]
    for axis, side in enumerate((height, width)):
        if rng.random() < 0.5:
            patch = np.flip(patch, axis)
            yx = np.where(np.arange(2) == axis, side - yx, yx)
    quarters = int(rng.integers(4) if height == width else 2 * rng.integers(2))
    for _ in range(quarters):
        patch = np.rot90(patch)
        yx = np.stack([patch.shape[0] - yx[:, 1], yx[:, 0]], axis=1)
    return patch, yx.astype(np.float32)
