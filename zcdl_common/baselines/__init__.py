"""Classical methods: what a network is compared with, tuned on the same training images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from zcdl_common.task import Array

MOST_IMAGES = 8
"""Training images that a method is tuned on."""


@dataclass(frozen=True)
class Classical:
    """A method without a network, ready to use."""

    name: str
    """As it stands in tables: "Otsu threshold"."""
    description: str
    """The settings found and the rivals beaten, in a sentence or two."""
    scores: Mapping[str, float]
    """Score of every method tried, on training images that it was not tuned on."""
    predict: Callable[[Array], Array]
    """Source image (Z)YXC -> prediction of the task."""
    seconds: Mapping[str, float]
    """Time that each method took to tune."""
