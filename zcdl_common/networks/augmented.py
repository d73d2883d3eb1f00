"""Parameters of the networks that learn from patches which may be mirrored, turned and bent."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from zcdl_common.augment import OFF, Augmentation
from zcdl_common.config import Config
from zcdl_common.parameter import setting


class RigidConfig(Config):
    """What may happen to a patch and its target alike, and leaves right angles as they are."""

    flips: bool = setting(True, section="augmentation", label="flips")
    """Mirror the patches."""
    rotations: Literal["none", "quarter turns", "any angle"] = setting(
        "quarter turns", section="augmentation", label="rotations"
    )
    """Turn the patches in the image plane."""
    scale: float = setting(0.1, section="augmentation", label="size change", ge=0.0, le=0.5)
    """Enlarge or shrink by up to this share."""

    def augmentation(self) -> Augmentation:
        """The changes as `zcdl_common.augment` takes them."""
        return replace(OFF, flips=self.flips, rotations=self.rotations, scale=self.scale)


class GeometryConfig(RigidConfig):
    """What may also bend a patch and its target."""

    shear: float = setting(0.0, section="augmentation", label="shear (degrees)", ge=0.0, le=45.0)
    """Slant the patches by up to so many degrees."""
    elastic: float = setting(
        0.0, section="augmentation", label="elastic deformation (pixels)", ge=0.0, le=50.0
    )
    """Bend the patches by about so many pixels."""

    def augmentation(self) -> Augmentation:
        """The changes as `zcdl_common.augment` takes them."""
        return replace(super().augmentation(), shear=self.shear, elastic=self.elastic)


class BrightnessConfig(RigidConfig):
    """What may also happen to the patch alone, where its brightness and noise say nothing of the target."""

    intensity: float = setting(0.2, section="augmentation", label="brightness and contrast", ge=0.0, le=1.0)
    """Change brightness and contrast by up to this share."""
    noise: float = setting(0.05, section="augmentation", label="noise", ge=0.0, le=1.0)
    """Add noise with a standard deviation of up to this share of the contrast."""
    blur: float = setting(0.0, section="augmentation", label="blur (pixels)", ge=0.0, le=10.0)
    """Blur with a standard deviation of up to so many pixels."""

    def augmentation(self) -> Augmentation:
        """The changes as `zcdl_common.augment` takes them."""
        return replace(super().augmentation(), intensity=self.intensity, noise=self.noise, blur=self.blur)


class AugmentedConfig(BrightnessConfig, GeometryConfig):
    """All of it."""
