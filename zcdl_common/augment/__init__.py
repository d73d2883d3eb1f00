"""Changed copies of training patches: geometry for source and target, light and noise for the source."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from zcdl_common.augment.geometry import flip_and_turn, warp
from zcdl_common.augment.intensity import add_blur, add_noise, change_intensity
from zcdl_common.task import Array

Rotations = Literal["none", "quarter turns", "any angle"]


@dataclass(frozen=True)
class Augmentation:
    """What may happen to a patch; 0, False and "none" switch a part off.

    Intensity, noise and blur assume scaled images, where the signal spans about 1.
    """

    flips: bool = True
    """Mirror each axis with probability 1/2."""
    rotations: Rotations = "quarter turns"
    """In the YX plane: by multiples of 90° (180° where sides differ), or by any angle."""
    scale: float = 0.0
    """Zoom by a factor between 1 / (1 + scale) and 1 + scale, in the YX plane."""
    shear: float = 0.0
    """Largest shear along either axis in degrees, in the YX plane."""
    elastic: float = 0.0
    """Root mean square of the elastic displacement in pixels, in the YX plane."""
    intensity: float = 0.2
    """Gain and gamma between exp(-intensity) and exp(intensity), offset up to half of it."""
    noise: float = 0.05
    """Largest standard deviation of the noise added, in units of the scaled image."""
    blur: float = 0.0
    """Largest standard deviation in pixels of a Gaussian blur in the YX plane."""

    def describe(self) -> str:
        """Return a sentence for the methods paragraph."""
        turned = {"quarter turns": "turned by multiples of 90°", "any angle": "rotated by any angle"}
        parts = [
            "mirrored along each axis" * self.flips,
            turned.get(self.rotations, ""),
            f"zoomed by a factor of {1 / (1 + self.scale):.2f} to {1 + self.scale:.2f}" * (self.scale > 0),
            f"sheared by up to {self.shear:g}°" * (self.shear > 0),
            f"deformed elastically (root mean square {self.elastic:g} pixels)" * (self.elastic > 0),
            f"changed in gain, offset and gamma (strength {self.intensity:g})" * (self.intensity > 0),
            f"overlaid with noise (standard deviation up to {self.noise:g} of the scaled range)"
            * (self.noise > 0),
            f"blurred (standard deviation up to {self.blur:g} pixels)" * (self.blur > 0),
        ]
        named = [part for part in parts if part]
        if not named:
            return "Training patches were not augmented."
        listed = " and ".join(filter(None, [", ".join(named[:-1]), named[-1]]))
        return f"Training patches were augmented at random: {listed}."


OFF = Augmentation(flips=False, rotations="none", intensity=0.0, noise=0.0)
"""Changes nothing."""


def augment(
    source: Array, target: Array | None, rng: np.random.Generator, settings: Augmentation
) -> tuple[Array, Array | None]:
    """Change a patch at random, its target along with it.

    Parameters
    ----------
    source : float32 (Z)YXC
        Scaled image; values may lie outside [0, 1] and are never clipped.
    target : int (Z)YX, float (Z)YXK or None
        Labels or classes keep their values (nearest neighbour), images are interpolated. Light, noise and
        blur leave the target alone.
    rng : numpy.random.Generator
        Its state alone decides the result.
    settings : Augmentation

    Returns
    -------
    source, target
        Same shapes and dtypes; flips and quarter turns may return views.
    """
    source, target = flip_and_turn(source, target, rng, settings.flips, settings.rotations != "none")
    any_angle = settings.rotations == "any angle"
    amounts = (settings.scale, settings.shear, settings.elastic)
    if any_angle or any(amounts):
        source, target = warp(source, target, rng, any_angle, *amounts)
    return change_light(source, rng, settings), target


def change_light(source: Array, rng: np.random.Generator, settings: Augmentation) -> Array:
    """Change the brightness, sharpness and noise of a scaled image float32 (Z)YXC at random."""
    if settings.intensity:
        source = change_intensity(source, rng, settings.intensity)
    if settings.blur:
        source = add_blur(source, rng, settings.blur)
    if settings.noise:
        source = add_noise(source, rng, settings.noise)
    return source
