"""Brightness and colours of one domain carried over to another: translation without any idea of shapes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from zcdl_common.baselines import MOST_IMAGES, Classical
from zcdl_common.errors import DataError
from zcdl_common.metrics.distributions import distance_to_set
from zcdl_common.metrics.domain import domain_of, pooled
from zcdl_common.task import Array

LEARNED_FROM = 24
"""Images of each domain that brightness is learned from."""
PIXELS = 10_000
"""Of each image, to find the direction in which colours differ most."""
SINGLE = 4
"""Channels up to which each is tried by itself."""
LUMINANCE = (0.2125, 0.7154, 0.0721)
"""Of red, green and blue (ITU-R BT.709), as scikit-image has it."""
CLEARLY = 0.1
"""Share of its distance by which matching image by image has to beat the fixed transfer."""
POINTS = np.linspace(0, 1, 1001)
NAME = "colour transfer"


@dataclass(frozen=True)
class Recolour:
    """A mix of the source's channels, brought to the distribution of brightness of the target's channels."""

    mix: Array
    """(C, K) share of each source channel in each target channel; negative shares invert."""
    levels: Array | None
    """(Q, K) quantiles of the mix over all source images; None: each image has its own."""
    goals: Array
    """(Q, K) the same quantiles of the target's images."""

    def __call__(self, image: Array) -> Array:
        """Source image (Z)YXC -> float32 (Z)YXK in the units of target images."""
        mixed = np.nan_to_num(image.astype(np.float64)) @ self.mix
        levels = np.quantile(pooled([mixed]), POINTS, axis=0) if self.levels is None else self.levels
        result = np.empty(mixed.shape, np.float32)
        for channel in range(mixed.shape[-1]):
            at, goal = _without_ties(levels[:, channel], self.goals[:, channel])
            result[..., channel] = np.interp(mixed[..., channel], at, goal)
        return result


def recolour(
    source_images: Sequence[Array],
    target_images: Sequence[Array],
    *,
    groups: Sequence[str] | None = None,
    seed: int = 0,
) -> Classical:
    """Carry the distribution of brightness of one set of images over to another set, without pairs.

    Equal numbers of channels: each channel by itself. Else every target channel is made from one mix of the
    source's channels: its luminance (of three), first principal component, or one of the channels. Each
    is tried as it is and inverted; what comes nearest to the target images by `distance_to_set` is kept.
    The transfer is fixed, learned from all images together: that an image is dim remains to be seen. Image
    by image is taken where that is nearer by a tenth.

    Parameters
    ----------
    source_images
        (Z)YXC of the training set, any dtype; 24 are learned from, 8 compared.
    target_images
        (Z)YXK, no partners of these; 24 are learned from.
    groups
        What each of the latter belongs to (movie, stack, well); see `domain_of`.
    seed
        Of the choice of images and pixels.

    Returns
    -------
    Classical
        `scores` are mean `distance_to_set` of training images, lower is better.

    Raises
    ------
    DataError
        A domain has no images, or the target too few to compare with, see `domain_of`.

    References
    ----------
    Reinhard, E. et al. (2001). Color transfer between images. IEEE Computer Graphics and Applications 21,
    34-41. doi:10.1109/38.946629 (means and standard deviations; here the whole distributions are matched)
    """
    if not source_images:
        raise DataError("There is no image to recolour. Name a folder that holds some as source.")
    rng = np.random.default_rng(seed)
    source = [source_images[i] for i in _some(source_images, rng)]
    chosen = _some(target_images, rng)
    target = [target_images[i] for i in chosen]
    domain = domain_of(target, groups=None if groups is None else [groups[i] for i in chosen])
    goals = np.quantile(pooled(target), POINTS, axis=0)
    made: dict[str, Recolour] = {}
    scores: dict[str, float] = {}
    took: dict[str, float] = {}

    def attempt(kind: str, method: Recolour) -> None:
        begun = time.monotonic()
        made[kind] = method
        scores[kind] = float(
            np.mean([distance_to_set(method(image), domain) for image in source[:MOST_IMAGES]])
        )
        took[kind] = time.monotonic() - begun

    for kind, mix in _mixes(source, target[0].shape[-1], rng).items():
        levels = np.quantile(pooled([image @ mix for image in source]), POINTS, axis=0)
        attempt(kind, Recolour(mix, levels, goals))
    fixed = min(scores, key=lambda kind: scores[kind])
    single = f"{fixed}, image by image"
    attempt(single, Recolour(made[fixed].mix, None, goals))
    best = single if scores[single] < (1 - CLEARLY) * scores[fixed] else fixed
    ranking = ", ".join(f"{kind} {scores[kind]:.2f}" for kind in sorted(scores, key=lambda k: scores[k]))
    description = (
        f"{best[0].upper()}{best[1:]}, with the histogram of the target images. Mean distance to them on "
        f"{len(source[:MOST_IMAGES])} training images, 1 being that of a real image: {ranking}."
    )
    return Classical(NAME, description, scores, made[best], took)


def _mixes(source: Sequence[Array], channels: int, rng: np.random.Generator) -> dict[str, Array]:
    """Shares (C, K) of the source's channels to try, by name, each also inverted."""
    own = source[0].shape[-1]
    if own == channels:
        plain = {"each channel": np.eye(own)}
    else:
        directions = (
            {"brightness": np.ones(1)} if own == 1 else {"first principal component": _principal(source, rng)}
        )
        if own == 3:
            directions["luminance"] = np.array(LUMINANCE)
        if 1 < own <= SINGLE:
            directions |= {f"channel {c + 1}": np.eye(own)[c] for c in range(own)}
        plain = {name: np.repeat(d[:, None], channels, axis=1) for name, d in directions.items()}
    return {
        f"{name}{how}": sign * mix
        for name, mix in plain.items()
        for how, sign in (("", 1), (", inverted", -1))
    }


def _principal(source: Sequence[Array], rng: np.random.Generator) -> Array:
    """Direction (C,) in which the colours of pixels differ most; brighter is more."""
    flat = [image.reshape(-1, image.shape[-1]) for image in source]
    drawn = np.concatenate([pixels[rng.integers(0, len(pixels), PIXELS)] for pixels in flat])
    known = drawn[np.isfinite(drawn).all(1)].astype(np.float64)
    _, directions = np.linalg.eigh(np.cov(known, rowvar=False))
    first = directions[:, -1]
    return np.asarray(first if first.sum() >= 0 else -first)


def _some(images: Sequence[Array], rng: np.random.Generator) -> list[int]:
    return [int(i) for i in rng.permutation(len(images))[:LEARNED_FROM]]


def _without_ties(levels: Array, goals: Array) -> tuple[Array, Array]:
    """A level that many pixels share becomes the mean of their goals."""
    at, place = np.unique(levels, return_inverse=True)
    return at, np.bincount(place, goals) / np.bincount(place)
