"""Noise2Void: denoising learned from the noisy images themselves."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from zcdl_common.config import Config
from zcdl_common.errors import ConfigError
from zcdl_common.network import Best, Network, Plan
from zcdl_common.networks.plans import (
    check_patch,
    fill,
    patch_reason,
    patches_an_image,
    plan_patch,
    size_text,
    smallest,
)
from zcdl_common.networks.tasks import DENOISE
from zcdl_common.parameter import FolderText, setting
from zcdl_common.restoring import output_scale
from zcdl_common.task import Facts


class Noise2VoidConfig(Config):
    """Parameters of the Noise2Void notebook."""

    network: ClassVar[str] = "noise2void"

    target: FolderText = setting("", section="images", label="clean images")
    """Clean images of some of the same fields, if there are any: they judge the result and train nothing."""
    test_fraction: float = setting(
        0.0, section="images", label="share held out for the test", more=True, ge=0.0, le=0.5
    )
    """Share of the images kept apart for quality control; 0: learn from all, which is usual here."""

    n2v2: bool = setting(False, section="settings", label="N2V2")
    """The improved variant, without the checkerboard patterns that Noise2Void can leave; 2D only."""
    structured_noise: Literal["none", "x", "y", "z"] = setting(
        "none", section="settings", label="noise in lines along"
    )
    """Hide whole lines in training, where noise is alike in neighbouring pixels (camera lines, scanning)."""
    structured_length: int = setting(
        11, section="settings", label="length of the lines (pixels)", more=True, ge=3, le=63
    )
    """Pixels hidden along the line, the middle one included; an odd number."""
    channels_apart: bool = setting(True, section="settings", label="each channel apart", more=True)
    """A network for each channel, so that nothing passes from one to another; off: one for all."""
    masked_share: float = setting(
        0.05, section="settings", label="share of hidden pixels", more=True, gt=0.0, le=0.2
    )
    """Share of the pixels that are hidden and predicted. Few: slow to learn; many: less to predict from."""
    radius: int = setting(5, section="settings", label="radius of the surroundings", more=True, ge=1, le=32)
    """What stands in for a hidden pixel is taken from so many pixels around it."""
    loss: Literal["mse", "mae"] = setting("mse", section="settings", label="loss", more=True)
    """Difference at the hidden pixels: squared, which leads to the mean, or absolute, to the median."""
    depth: int = setting(2, section="settings", label="depth", more=True, ge=1, le=5)
    """How often the image is halved inside the network; more sees further and learns slower."""
    kernel: Literal[3, 5, 7] = setting(3, section="settings", label="kernel (pixels)", more=True)
    """Side of the filters."""
    filters: int = setting(32, section="settings", label="filters", more=True, ge=4, le=128)
    """Features of the first level; they double at each further one."""
    batch_norm: bool | None = setting(None, section="settings", label="batch normalisation", more=True)
    """Scales features by the patches of a step, which steadies training where these are many."""

    flips: bool = setting(True, section="augmentation", label="flips")
    """Mirror the patches."""
    rotations: Literal["none", "quarter turns"] = setting(
        "quarter turns", section="augmentation", label="rotations"
    )
    """Turn the patches in the image plane; never done where noise comes in lines along X or Y."""


MANY_PATCHES = 64
"""Patches a step from which features are scaled by them. A few differ too much from all the others: with
three a step of embryos in 3D what was removed correlated with the image by 0.4, without the scaling by 0.04.
"""


def plan(config: Noise2VoidConfig, facts: Facts) -> Plan:
    """Fill what is automatic from the images.

    Raises
    ------
    ConfigError
        The patch does not fit the network or the images, too few pixels would be hidden, or N2V2 or a
        direction of noise is asked for that the images do not allow.
    """
    _check_variant(config, facts)
    gpu, sides = facts.device == "gpu", smallest(facts)
    multiple = (2**config.depth,) * facts.ndim
    wanted = (64, 64) if facts.ndim == 2 else (16, 64, 64) if gpu else (8, 48, 48)
    patch = plan_patch(config, facts, wanted, multiple)
    size = math.prod(patch)
    batch = config.batch_size or max(2, min(128, (2**19 if gpu else 2**16) // size))
    device = "a GPU" if gpu else "a CPU"
    many = batch >= MANY_PATCHES
    planned = fill(
        config,
        {
            "patch_size": (
                patch,
                patch_reason(facts, "enough surroundings, in images of " + size_text(sides)),
            ),
            "batch_size": (batch, f"about {size_text(patch)} x {batch} pixels a step suit {device}"),
            "patches_per_image": patches_an_image(facts, patch, batch, steps=25, most=1000),
            "epochs": (100, "enough for most data; a time limit or early stopping may end sooner"),
            "batch_norm": (
                many,
                f"{batch} patches a step are {'enough' if many else 'too few'} to stand for all images",
            ),
            "learning_rate": (1e-3, "got further in the same time than the publication's 0.0004, in trials"),
        },
    )
    check_patch(planned.config, facts, multiple)
    if config.masked_share * size < 1:
        raise ConfigError(
            f"masked_share = {config.masked_share:g}: of {size_text(patch)} pixels less than one would be "
            f"hidden, and there would be nothing to learn. Use {math.ceil(1e4 / size) / 1e4:g} or more, or a "
            "larger patch_size."
        )
    return planned


def _check_variant(config: Noise2VoidConfig, facts: Facts) -> None:
    if config.n2v2 and facts.ndim == 3:
        raise ConfigError(
            "n2v2 = true: N2V2 works on 2D images, and these are stacks. Set n2v2 = false; or, to denoise "
            "each plane by itself, axes = TYX."
        )
    if config.structured_noise == "z" and facts.ndim == 2:
        raise ConfigError(
            "structured_noise = z: the images are 2D and have no Z. Use x (lines from left to right) or y."
        )
    if config.structured_length % 2 == 0:
        raise ConfigError(
            f"structured_length = {config.structured_length}: an odd number is needed, with the hidden pixel "
            f"in the middle. Use {config.structured_length + 1}."
        )


NOISE2VOID = Network(
    name="noise2void",
    title="Noise2Void: denoising without clean images",
    task=DENOISE,
    backend="tensorflow",
    Config=Noise2VoidConfig,
    model="zcdl_common.models.noise2void:Noise2VoidModel",
    cite=("10.1109/CVPR.2019.00223",),
    plan=plan,
    primary="psnr",
    scale=output_scale,
    output_scale=output_scale,
    # The loss at hidden pixels is measured against noisy ones: it never falls below the noise, and epochs
    # differ by less than chance picks pixels. So no epoch is picked by it: the last one is kept, which the
    # falling learning rate has brought to rest. It serves to see when progress ends, and for that the model
    # hides the same pixels of the validation images every time: then chance is the same for all epochs.
    best=Best(""),
    progress=Best("val_loss"),
    margin=0.2,
    summary="removes noise after learning from the noisy images alone, in 2D and 3D",
    limits="It removes only noise that differs from pixel to pixel: noise that neighbours share is taken for "
    "structure, unless its direction is named.",
)
