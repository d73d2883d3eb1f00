"""Parameters of the networks that turn one kind of image into another."""

from __future__ import annotations

from zcdl_common.networks.augmented import AugmentedConfig
from zcdl_common.networks.mixed import MixedConfig
from zcdl_common.parameter import setting


class TranslationConfig(AugmentedConfig, MixedConfig):
    """What pix2pix, CycleGAN and fnet share."""

    busy_patches: float = setting(
        0.5, section="settings", label="share of busy patches", more=True, ge=0.0, le=1.0
    )
    """So many of the patches hold more than their image does on average (of pairs: in the target); the others
    lie anywhere. Helps where structures cover little of the images."""

    scale: float = setting(0.0, section="augmentation", label="size change", ge=0.0, le=0.5)
    """Enlarge or shrink by up to this share. Interpolation smooths fine texture: leave 0 where it matters."""

    intensity: float = setting(0.3, section="augmentation", label="brightness and contrast", ge=0.0, le=1.0)
    """Change brightness and contrast of the source by up to this share: how an image is scaled depends on how
    much it happens to show, and the prediction should not."""
    noise: float = setting(0.0, section="augmentation", label="noise", ge=0.0, le=1.0)
    """Add noise to the source with a standard deviation of up to this share of the contrast."""

    disagreement: bool = setting(False, section="use", label="also save where it is unsure", use=True)
    """Also writes how much the prediction changes as the image is turned; up to 8 times slower."""
