"""Pixels of training images, described by filters, for a regression to learn from and to be scored on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from zcdl_common.baselines import forest
from zcdl_common.statistics import percentiles
from zcdl_common.task import Array

MOST_VALUES = 1 << 21
"""Pixels times channels described of each training image: of larger ones some blocks."""
MOST_FEATURES = 1 << 23
"""Numbers that a method learns from; with many channels these are fewer pixels."""
PIXELS = 10_000
"""Of each image, that a method learns from, and as many that it is scored on, at most."""


class Described(NamedTuple):
    """Pixels of a training image: features (P, F), targets (P, K) and, to learn from, weights (P,)."""

    rows: Array
    goals: Array
    weights: Array
    test_rows: Array
    test_goals: Array


def describe(
    source: Array,
    target: Array,
    aspect: float,
    rng: np.random.Generator,
    count: int,
    percentiles: tuple[float, float] = (1.0, 99.8),
) -> Described:
    """Features and targets of pixels of one out of `count` images, drawn by their `chances`.

    Parameters
    ----------
    source, target
        (Z)YXC and (Z)YXK; pixels without a finite target are left out, but one has to be finite.
    aspect
        Distance of planes over distance of pixels.
    percentiles
        Of the image, between which its brightness is taken.
    """
    source = without_gaps(source)
    limits = forest.intensity_bounds(source, *percentiles)
    known = known_pixels(target)
    regions = _regions(source.shape, known, rng)
    share = sum(known[region].sum() for region in regions) / known.sum()
    pixels = min(PIXELS, MOST_FEATURES / forest.n_features(source.shape) / count) / share
    to_fit = chances(target, known, pixels)
    to_score = known * (pixels / known.sum())
    parts = []
    for region in regions:
        rows, goals = forest.features(source, aspect, limits, region), target[region]
        fit, test = (rng.random(chance[region].shape) < chance[region] for chance in (to_fit, to_score))
        parts.append(Described(rows[fit], goals[fit], 1 / to_fit[region][fit], rows[test], goals[test]))
    return Described(*map(np.concatenate, zip(*parts, strict=True)))


def chances(target: Array, known: Array, n: float) -> Array:
    """Probability to draw each pixel so that about `n` come: float64 (Z)YX.

    Half of it is the same for all; half grows with the distance from the mean of the target, so that a few
    bright pixels on a wide background are seen. Weights of one over the probability keep every mean over
    pixels without bias, and none is more than twice as large as in an even draw.

    Parameters
    ----------
    target
        (Z)YXK.
    known
        Pixels to draw from, bool (Z)YX, not all False.

    References
    ----------
    Horvitz & Thompson 1952, doi:10.1080/01621459.1952.10483446 (weights); Hesterberg 1995,
    doi:10.1080/00401706.1995.10484303 (the even half).
    """
    values = target[known].astype(float)
    unusual = np.abs(values - values.mean(0))
    typical = unusual.mean(0)
    shares = (unusual / np.where(typical > 0, typical, 1) + ~(typical > 0)).mean(-1)
    result = np.zeros(known.shape)
    result[known] = np.minimum(1.0, n / len(values) * (1 + shares) / 2)
    return result


def known_pixels(target: Array) -> Array:
    """Pixels of a target (Z)YXK that are finite in every channel: bool (Z)YX."""
    return np.asarray(np.isfinite(target).all(-1))


def without_gaps(source: Array) -> Array:
    """The source (Z)YXC itself, or with the median of the channel where it is not finite."""
    if source.dtype.kind != "f" or np.isfinite(source).all():
        return source
    median = percentiles([source], [50])[0]
    return np.where(np.isfinite(source), source, median.astype(source.dtype))


def _regions(shape: Sequence[int], known: Array, rng: np.random.Generator) -> list[tuple[slice, ...]]:
    """Blocks of an image (Z)YXC with known pixels, in random order, until `MOST_VALUES`; one at least."""
    every = [core for core in forest.cores(shape[:-1], forest.block(shape)) if known[core].any()]
    every = [every[i] for i in rng.permutation(len(every))]
    values = np.cumsum([np.prod([c.stop - c.start for c in core]) * shape[-1] for core in every])
    return every[: max(1, int((values <= MOST_VALUES).sum()))]
