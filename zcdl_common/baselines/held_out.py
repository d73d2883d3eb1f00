"""Training images that judge a method which was not tuned on them."""

from __future__ import annotations

import numpy as np

from zcdl_common.task import Array


def folds(count: int) -> list[tuple[Array, Array]]:
    """Images to tune on and to score, twice: every image is scored once. Two masks bool (count,) each."""
    even = np.arange(count) % 2 == 0
    return [(even, ~even), (~even, even)]


def halves(source: Array, target: Array) -> list[tuple[Array, Array]]:
    """A single pair cut in two along its longest axis, so that one half can judge the other."""
    axis = int(np.argmax(source.shape[:-1]))
    first, second = (np.array_split(image, 2, axis) for image in (source, target))
    return list(zip(first, second, strict=True))
