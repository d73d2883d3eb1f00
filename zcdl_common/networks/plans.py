"""Choices that several networks make in the same way."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from zcdl_common.config import Config
from zcdl_common.errors import ConfigError
from zcdl_common.network import Plan
from zcdl_common.task import Facts

Choices = Mapping[str, tuple[Any, str]]


def fill(config: Config, choices: Choices) -> Plan:
    """Take each choice where the user left the parameter open."""
    open_ones = {k: v for k, v in choices.items() if getattr(config, k) is None}
    reasons = {k: reason for k, (_, reason) in open_ones.items()}
    return Plan(config.changed(**{k: value for k, (value, _) in open_ones.items()}), reasons)


def smallest(facts: Facts) -> tuple[int, ...]:
    """Smallest size (Z)YX among the training images."""
    return tuple(min(shape[a] for shape in facts.shapes) for a in range(facts.ndim))


def poolings(pixel_size: tuple[float, ...] | None, ndim: int, depth: int) -> tuple[tuple[int, ...], ...]:
    """Downsampling factor of each level that brings the axes to equal spacing and keeps them there.

    An axis is pooled unless its pixels are already more than 1.5 times as large as the finest
    ones of that level (the rule of nnU-Net, doi:10.1038/s41592-020-01008-z, with its factor of 2
    lowered, since one pooling doubles a spacing).
    """
    spacing = list(pixel_size or (1.0,) * ndim)
    levels = []
    for _ in range(depth):
        finest = min(spacing)
        factors = tuple(1 if s > 1.5 * finest else 2 for s in spacing)
        spacing = [s * f for s, f in zip(spacing, factors, strict=True)]
        levels.append(factors)
    return tuple(levels)


def multiples(pools: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    """What image sizes must be a multiple of, per axis."""
    return tuple(math.prod(level[a] for level in pools) for a in range(len(pools[0])))


def patch_within(
    wanted: tuple[int, ...], largest: tuple[int, ...], multiple: tuple[int, ...]
) -> tuple[int, ...]:
    """The patch nearest to `wanted` that fits `largest` and is a multiple of `multiple`."""
    return tuple(max(m, min(w, side) // m * m) for w, side, m in zip(wanted, largest, multiple, strict=True))


def size_text(size: tuple[int, ...]) -> str:
    """``(512, 512)`` as people write it."""
    return " x ".join(map(str, size))


def flat(facts: Facts) -> None:
    """Refuse stacks, for networks of planes.

    Raises
    ------
    ConfigError
        The images have three dimensions.
    """
    if facts.ndim == 3:
        raise ConfigError(
            "The images are stacks (ZYX), and this network knows single planes. Set axes = TYX to learn from "
            "each plane by itself, or axes = CYX to take the planes as channels."
        )


def plan_patch(
    config: Config, facts: Facts, wanted: tuple[int, ...], multiple: tuple[int, ...]
) -> tuple[int, ...]:
    """The patch of the config, or the one nearest to `wanted` that images and network allow.

    Raises
    ------
    ConfigError
        The patch of the config has another dimension than the images.
    """
    given = config.patch_size
    # one image is divided into strips, and a gap of one patch lies between them
    limit = tuple(min(s, facts.extra.get("gap", s)) for s in smallest(facts))
    if given is not None and len(given) != facts.ndim:
        # powers of two, which are multiples of whatever depth is chosen for them
        fitting = (2 ** int(math.log2(min(w, s))) for w, s in zip(wanted, limit, strict=True))
        example = ", ".join(str(max(m, n)) for m, n in zip(multiple, fitting, strict=True))
        raise ConfigError(
            f"patch_size = {size_text(given)}: the images have {facts.ndim} dimensions "
            f"({'ZYX' if facts.ndim == 3 else 'YX'}), so {facts.ndim} numbers are needed, for example "
            f"{example}."
        )
    return given or patch_within(wanted, limit, multiple)


def patches_an_image(
    facts: Facts, patch: tuple[int, ...], batch: int, *, steps: int = 16, most: int = 256
) -> tuple[int, str]:
    """How many patches are cut from an image in an epoch, and why.

    As many as cover the smallest image, and more, up to `most`, where an epoch would have fewer than `steps`
    steps: very small sets still need enough of them for validation to mean something.
    """
    images = max(1, facts.counts.get("train", 1))
    covering = max(1, round(math.prod(map(float, smallest(facts))) / math.prod(patch)))
    patches = min(most, max(covering, math.ceil(steps * batch / images)))
    if patches == covering:
        return patches, "covers an image about once an epoch"
    return patches, f"{math.ceil(patches * images / batch)} steps an epoch"


def patch_reason(facts: Facts, otherwise: str) -> str:
    """Why a patch is as large as it is: `otherwise`, unless one image is all that there is."""
    if "gap" in facts.extra:
        return "one image is divided into strips with a gap of one patch between them"
    return otherwise


def check_patch(config: Config, facts: Facts, multiple: tuple[int, ...]) -> None:
    """Refuse a patch that does not fit the network or the images.

    Raises
    ------
    ConfigError
        Its sides are no multiples of `multiple`, or larger than the smallest training image.
    """
    patch = config.patch_size
    assert patch is not None
    if any(p % m for p, m in zip(patch, multiple, strict=True)):
        fitting = tuple(max(m, p // m * m) for p, m in zip(patch, multiple, strict=True))
        raise ConfigError(
            f"patch_size = {size_text(patch)}: the network halves the image several times, so the sides must "
            f"be multiples of {size_text(multiple)}. Try {size_text(fitting)}."
        )
    sides = smallest(facts)
    if any(p > max(s, m) for p, s, m in zip(patch, sides, multiple, strict=True)):
        raise ConfigError(
            f"patch_size = {size_text(patch)} is larger than the smallest training image, "
            f"{size_text(sides)}. Try {size_text(patch_within(patch, sides, multiple))}."
        )


def check_batch(config: Config, multiple: tuple[int, ...]) -> None:
    """Refuse a batch in which batch normalisation finds a single number to take the variance of.

    Raises
    ------
    ConfigError
        The batch is one patch, of which one pixel is left at the bottom of the network.
    """
    if config.batch_size == 1 and config.patch_size == multiple:
        raise ConfigError(
            f"batch_size = 1: this network shrinks a patch of {size_text(multiple)} to a single pixel and "
            "needs two or more to compare. Set batch_size = 2, or take a larger patch_size."
        )
