"""Parameters of the networks that turn one kind of image into another."""

from __future__ import annotations

from zcdl_common.networks.augmented import GeometryConfig
from zcdl_common.networks.mixed import MixedConfig
from zcdl_common.parameter import setting


class TranslationConfig(GeometryConfig, MixedConfig):
    """What pix2pix, CycleGAN and fnet share."""

    scale: float = setting(0.0, section="augmentation", label="size change", ge=0.0, le=0.5)
    """Enlarge or shrink by up to this share. Interpolation smooths fine texture, so leave 0 where it matters."""

    disagreement: bool = setting(False, section="use", label="also save where it is unsure", use=True)
    """Also writes how much the prediction changes as the image is turned and mirrored; takes 8 times as long."""
