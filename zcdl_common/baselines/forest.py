"""Pixel classification: a random forest on filters of several scales, as ilastik and Labkit use it."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from zcdl_common.statistics import percentiles
from zcdl_common.task import Array

SCALES = {2: (1.0, 2.0, 4.0, 8.0), 3: (1.0, 2.0, 4.0)}
"""Sigmas of the filters in YX pixels, by number of spatial axes."""
BLOCK = {2: (512, 512), 3: (32, 192, 192)}
"""Pixels classified at a time: memory does not grow with the image."""
BLOCK_VALUES = 1 << 21
"""Pixels times channels of a block, at most: nor with the channels."""
WORKERS = 4
"""Blocks in memory at a time, at most."""
TREES = 50
_TRUNCATE = 4.0


@dataclass(frozen=True)
class Forest:
    """A fitted forest: source (Z)YXC -> class indices int32 (Z)YX."""

    trees: Any
    aspect: float = 1.0

    def __call__(self, source: Array) -> Array:
        result = np.empty(source.shape[:-1], np.int32)
        return fill(result, source, self.aspect, intensity_bounds(source), self.classify)

    def classify(self, rows: Array) -> Array:
        """Class of each row of features: int32 (P,)."""
        return np.asarray(self.trees.predict(rows), np.int32)

    def __str__(self) -> str:
        return f"{TREES} trees on intensity, edges and curvature at several scales"


def fill(
    result: Array, source: Array, aspect: float, bounds: Array, judge: Callable[[Array], Array]
) -> Array:
    """Write what `judge` makes of the features (P, F) of each pixel into `result`, block by block.

    Parameters
    ----------
    result
        (Z)YX, or (Z)YXK for several numbers a pixel; returned.
    source, aspect, bounds
        As in `features`.
    judge
        Features (P, F) -> (P,) or (P, K); called by several threads.
    """
    numbers = int(np.prod(result.shape[source.ndim - 1 :]))
    size = block((*source.shape[:-1], max(source.shape[-1], numbers)))

    def write(core: tuple[slice, ...]) -> None:
        described = features(source, aspect, bounds, core)
        result[core] = judge(described.reshape(-1, described.shape[-1])).reshape(result[core].shape)

    with ThreadPoolExecutor(min(WORKERS, os.cpu_count() or 1)) as pool:
        deque(pool.map(write, cores(source.shape[:-1], size)), maxlen=0)
    return result


def fit(rows: Array, classes: Array, weights: Array, *, seed: int, aspect: float) -> Forest:
    """Fit a forest to features (P, F) of pixels of known class (P,).

    References
    ----------
    Breiman, L. (2001). Random forests. Machine Learning 45, 5-32.
    """
    from sklearn.ensemble import RandomForestClassifier

    trees = RandomForestClassifier(TREES, min_samples_leaf=3, random_state=seed, n_jobs=-1)
    trees.fit(rows, classes, sample_weight=weights)
    # Threads add up the votes in any order, which decides ties: one thread makes the result repeatable.
    trees.n_jobs = 1
    return Forest(trees, aspect)


def features(source: Array, aspect: float, bounds: Array, core: tuple[slice, ...] | None = None) -> Array:
    """Describe each pixel by filters: float32 (Z)YXF.

    For every channel the intensity, and for every scale the smoothed intensity, the gradient magnitude,
    the eigenvalues of the Hessian in the image plane and, in volumes, the curvature along Z.

    Parameters
    ----------
    source
        (Z)YXC.
    aspect
        Size of a voxel in Z divided by its size in YX.
    bounds
        From `intensity_bounds` of the whole image.
    core
        Region to describe; what lies around it is read as far as the filters see.
    """
    shape = source.shape[:-1]
    core = core or tuple(slice(0, n) for n in shape)
    spacing = (1.0 / aspect,) * (len(shape) - 2) + (1.0, 1.0)
    reach = [int(_TRUNCATE * SCALES[len(shape)][-1] * s + 0.5) + 2 for s in spacing]
    read = tuple(
        slice(max(0, c.start - r), min(n, c.stop + r)) for c, r, n in zip(core, reach, shape, strict=True)
    )
    inner = tuple(slice(c.start - r.start, c.stop - r.start) for c, r in zip(core, read, strict=True))
    low, span = bounds
    maps = []
    for channel in range(source.shape[-1]):
        plane = (np.asarray(source[..., channel][read], np.float32) - low[channel]) / span[channel]
        maps.append(plane[inner])
        for sigma in SCALES[len(shape)]:
            maps += [m[inner] for m in _filters(plane, [sigma * s for s in spacing])]
    return np.stack(maps, axis=-1)


def n_features(shape: Sequence[int]) -> int:
    """Numbers that describe a pixel of an image of this shape, (Z)YXC."""
    axes = len(shape) - 1
    return shape[-1] * (1 + len(SCALES[axes]) * (2 + axes))


def intensity_bounds(source: Array, low: float = 1.0, high: float = 99.8) -> Array:
    """Percentile `low` of each channel and its distance to percentile `high`, whole image: float32 (2, C)."""
    bottom, top = percentiles([source], [low, high])
    return np.stack([bottom, np.maximum(top - bottom, 1e-6)]).astype(np.float32)


def draw(truth: Array, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """Pick about `n` pixels, as many of each class as there are, and the weight each stands for.

    Rare classes are seen often, and the weights keep their true share.

    Returns
    -------
    tuple
        Flat indices, intp (P,), and weights, float (P,).
    """
    flat = truth.reshape(-1)
    found = np.unique(flat)
    picks, weights = [], []
    for value in found:
        where = np.flatnonzero(flat == value)
        size = min(len(where), max(1, n // len(found)))
        picks.append(rng.choice(where, size, replace=False))
        weights.append(np.full(size, len(where) / size / flat.size))
    return np.concatenate(picks), np.concatenate(weights)


def block(shape: Sequence[int]) -> tuple[int, ...]:
    """Sides of the blocks in which an image of this shape, (Z)YXC, is described."""
    *sides, channels = *BLOCK[len(shape) - 1], shape[-1]
    while np.prod(sides) * channels > BLOCK_VALUES and max(sides) > 1:
        longest = int(np.argmax(sides))
        sides[longest] = -(-sides[longest] // 2)
    return tuple(sides)


def cores(shape: Sequence[int], size: Sequence[int]) -> Iterator[tuple[slice, ...]]:
    """Compact regions of at most `size` that cover `shape` once; strips would read more around them."""
    starts = (range(0, n, s) for n, s in zip(shape, size, strict=True))
    for corner in product(*starts):
        yield tuple(slice(a, min(a + s, n)) for a, s, n in zip(corner, size, shape, strict=True))


def _filters(plane: Array, sigmas: Sequence[float]) -> list[Array]:
    from scipy import ndimage

    smoothed = ndimage.gaussian_filter(plane, sigmas, truncate=_TRUNCATE)
    slopes = [_slope(smoothed, axis) for axis in range(plane.ndim)]
    dy, dx = slopes[-2:]
    yy, xx, xy = _slope(dy, -2), _slope(dx, -1), _slope(dy, -1)
    middle, radius = (yy + xx) / 2, np.hypot((yy - xx) / 2, xy)
    edges = np.sqrt(sum(s**2 for s in slopes))
    along_z = [_slope(slopes[0], 0)] if plane.ndim == 3 else []
    return [smoothed, edges, middle + radius, middle - radius, *along_z]


def _slope(image: Array, axis: int) -> Array:
    """Central difference; 0 along an axis of one pixel."""
    return np.gradient(image, axis=axis) if image.shape[axis] > 1 else np.zeros_like(image)
