"""Turn a simulator into folders of files."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field
from pydantic.dataclasses import dataclass

from zcdl_common.samples.layout import STRICT
from zcdl_common.samples.store import write_image, write_target
from zcdl_common.task import resolve


@dataclass(frozen=True, config=STRICT)
class Simulation:
    """How to make a simulated data set."""

    make: str
    """Import path of the simulator."""
    shape: tuple[int, ...]
    """(Z)YX of an image, or TYX of a movie, in pixels."""
    seed: int
    """The same seed gives the same files."""
    images: int
    test_images: int
    pairs: Literal["both", "test", "unpaired"] = "both"
    """test: training images have no targets; unpaired: training targets show other objects."""
    arguments: dict[str, Any] = Field(default_factory=dict)
    """Further arguments of the simulator."""
    test_arguments: dict[str, Any] = Field(default_factory=dict)
    """The same for the test images, where they differ."""


def simulate(plan: Simulation, folder: Path, axes: str, pixel_size: tuple[float, ...]) -> None:
    """Write source, target, test_source and test_target into `folder`.

    Every image has a random generator of its own, seeded by the seed, the role and the number of the
    image, so that adding images leaves the others as they are.

    Parameters
    ----------
    plan : Simulation
        What to make.
    folder : Path
        Where; the four folders are made as needed.
    axes : str
        Axes of an image.
    pixel_size : tuple of float
        (Z)YX in micrometres.
    """
    make = resolve(plan.make)
    for role, prefix, count in ((0, "", plan.images), (1, "test_", plan.test_images)):
        arguments = plan.arguments | (plan.test_arguments if role else {})
        for index in range(count):
            name = f"{prefix}{index:02d}"
            source, target = make(_generator(plan, role, index), plan.shape, pixel_size, **arguments)
            partner = name
            if plan.pairs == "unpaired" and not role:
                _, target = make(_generator(plan, 2, index), plan.shape, pixel_size, **arguments)
                partner = f"other_{name}"
            if plan.pairs == "test" and not role:
                target = None
            sources, targets = folder / f"{prefix}source", folder / f"{prefix}target"
            sources.mkdir(parents=True, exist_ok=True)
            write_image(sources / f"{name}.tif", source, axes, pixel_size)
            if target is not None:
                targets.mkdir(parents=True, exist_ok=True)
                write_target(targets, partner, target, axes, pixel_size)


def _generator(plan: Simulation, role: int, index: int) -> np.random.Generator:
    return np.random.default_rng([plan.seed, role, index])
