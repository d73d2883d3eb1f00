"""Where a network contradicts itself: the same image, turned and mirrored, should give the same answer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from zcdl_common.task import Array

WAYS = range(8)
"""Quarter turns of an image in its plane, then of its mirror image."""
MIRRORED = 4
"""The first way of the mirror image."""


def learned(config: Any) -> tuple[int, ...]:
    """The ways that a network has seen its images in, as the parameters of its training say.

    What was never shown turned may well be unlike itself when turned: in differential interference contrast,
    light comes from one side. Quarter turns of patches that are not square are half turns.
    """
    if not config.augment:
        return (0,)
    turns, patch = config.rotations != "none", config.patch_size or (1, 1)
    square = patch[-1] == patch[-2] or config.rotations == "any angle"
    quarters = range(4) if turns and square else (0, 2) if turns or config.flips else (0,)
    return tuple(first + quarter for first in (0, MIRRORED)[: 1 + config.flips] for quarter in quarters)


def disagreement(predict: Callable[[Array], Array], image: Array, ways: Sequence[int] = WAYS) -> Array:
    """How much the answers to the turned and mirrored image differ, pixel by pixel.

    Nature does not know which way a slide was put under the microscope, so an answer that the image
    supports does not depend on it. That holds of a network that learned from images in all these ways,
    see `learned`. Agreement proves nothing: a network can be wrong in the same way eight times.

    Parameters
    ----------
    predict
        Image (Z)YXC -> image (Z)YXK of the same size.
    image
        (Z)YXC.
    ways
        Orientations in the image plane to ask about.

    Returns
    -------
    float32 (Z)YXK
        Standard deviation over these orientations, in the units of the answer.

    References
    ----------
    Wang et al. 2019, Neurocomputing 338:34, doi:10.1016/j.neucom.2019.01.103 (test-time augmentation as a
    measure of uncertainty).
    """
    mean: Array | float = 0.0
    squares: Array | float = 0.0
    for n, way in enumerate(ways, 1):
        found = _back(predict(_turned(image, way)), way).astype(np.float64)
        change = found - mean
        mean = mean + change / n  # Welford's sums: no image is kept
        squares = squares + change * (found - mean)
    return np.sqrt(squares / len(ways)).astype(np.float32)


def _turned(image: Array, way: int) -> Array:
    mirrored = np.flip(image, axis=-2) if way >= MIRRORED else image
    return np.ascontiguousarray(np.rot90(mirrored, way % 4, axes=(-3, -2)))


def _back(image: Array, way: int) -> Array:
    turned = np.rot90(image, -(way % 4), axes=(-3, -2))
    return np.flip(turned, axis=-2) if way >= MIRRORED else turned
