"""CycleGAN: one kind of image turned into another and back, learned without pairs."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import ClassVar, Literal

from zcdl_common.network import DIRECTIONS, Best, Network, Plan
from zcdl_common.networks.adversarial import AdversarialConfig, check_judged
from zcdl_common.networks.plans import (
    check_patch,
    fill,
    flat,
    patch_reason,
    patches_an_image,
    plan_patch,
    size_text,
    smallest,
)
from zcdl_common.networks.tasks import UNPAIRED
from zcdl_common.parameter import Names, setting
from zcdl_common.scales import Fixed
from zcdl_common.task import Domain, Facts
from zcdl_common.unpaired import OF_DOMAIN

STEP = 4
"""Sides of images are multiples of this: the generators halve them twice."""


class CycleGanConfig(AdversarialConfig):
    """Parameters of the CycleGAN notebook."""

    network: ClassVar[str] = "cyclegan"

    target_channels: Names | None = setting(
        None, section="images", label="channels of the other kind", more=True, after="channels"
    )
    """Numbers (from 0) or names of the channels to use of the images of the other kind (target); empty: those
    under channels."""

    intensity: float = setting(0.0, section="augmentation", label="brightness and contrast", ge=0.0, le=1.0)
    """Change brightness and contrast by up to this share; such images then pass for real ones."""
    noise: float = setting(0.0, section="augmentation", label="noise", ge=0.0, le=1.0)
    """Add noise to images of both kinds with a standard deviation of up to this share of the contrast; such
    images then pass for real ones."""

    blocks: int | None = setting(None, section="settings", label="residual blocks", more=True, ge=1, le=18)
    """Of each generator; more sees further and learns slower."""
    filters: int | None = setting(None, section="settings", label="filters", more=True, ge=4, le=128)
    """Features of the first level of generators and judges."""
    cycle_weight: float = setting(10.0, section="settings", label="weight of the way back", more=True, ge=0.0)
    """How much an image translated there and back must be the image that it was."""
    identity_weight: float = setting(
        0.5, section="settings", label="weight of leaving alone", more=True, ge=0.0
    )
    """How much an image that is already of the other kind must stay as it is, in parts of the weight of the
    way back; only where both kinds have as many channels."""
    pool_size: int = setting(50, section="settings", label="image pool", more=True, ge=0, le=1000)
    """The judges also see so many images that were made earlier, so that nobody runs in circles."""

    direction: Literal["source to target", "target to source"] = setting(
        "source to target", section="use", label="direction", use=True
    )
    """Both are learned; this one is used in sections 6 to 8."""

    def channels_of(self, domain: Domain) -> tuple[Names | None, str]:
        if domain == "source":
            return super().channels_of(domain)
        if self.target_channels:
            return self.target_channels, "target_channels"
        return self.channels, "target_channels is empty and channels"


def plan(config: CycleGanConfig, facts: Facts) -> Plan:
    """Fill what is automatic from the images.

    Raises
    ------
    ConfigError
        The images are stacks, or the patch does not fit the network or the images.
    """
    flat(facts)
    gpu = facts.device == "gpu"
    both = replace(facts, shapes=facts.shapes + tuple(facts.extra["target_shapes"]))
    sides = smallest(both)
    device = "a GPU" if gpu else "a CPU"
    patch = plan_patch(config, both, (256, 256) if gpu else (96, 96), (STEP,) * 2)
    size = math.prod(patch)
    batch = config.batch_size or max(1, min(4, (2**17 if gpu else 2**14) // size))
    planned = fill(
        config,
        {
            "blocks": (
                9 if patch[-1] >= 256 else 6,
                f"as in the publication for patches of {patch[-1]} pixels",
            ),
            "filters": (64 if gpu else 24, f"what {device} trains in reasonable time; 64 in the publication"),
            "patch_size": (
                patch,
                patch_reason(facts, "structures and their surroundings, in images of " + size_text(sides)),
            ),
            "batch_size": (batch, "small batches, as in the publication"),
            "patches_per_image": patches_an_image(both, patch, batch, steps=100 if gpu else 16),
            "epochs": (200, "as in the publication; a time limit may end sooner"),
            "learning_rate": (2e-4, "as in the publication; falls to 0 in the second half"),
        },
    )
    check_patch(planned.config, both, (STEP,) * 2)
    check_judged(planned.config, STEP)
    return planned


def source_scale(facts: Facts) -> Fixed:
    """Scale of the images that are translated."""
    return Fixed(tuple(facts.extra["source_offset"]), tuple(facts.extra["source_span"]))


def target_scale(facts: Facts) -> Fixed:
    """Scale of the domain that they are translated into."""
    return Fixed(tuple(facts.extra["target_offset"]), tuple(facts.extra["target_span"]))


def facing(config: CycleGanConfig, facts: Facts) -> Facts:
    """Facts as they are in the direction of the config: backwards, source and target change places."""
    if DIRECTIONS[facts.domain] == config.direction:
        return facts
    domain: Domain = "target" if facts.domain == "source" else "source"
    swapped = {
        f"{mine}_{key}": facts.extra[f"{other}_{key}"]
        for mine, other in (("source", "target"), ("target", "source"))
        for key in OF_DOMAIN
    }
    return replace(
        facts,
        channels=tuple(facts.extra["target_channels"]),
        pixel_size=facts.extra["target_pixel_size"],
        shapes=tuple(facts.extra["target_shapes"]),
        dtype=facts.extra["target_dtype"],
        counts={**facts.counts, "train": len(facts.extra["target_shapes"])},
        domain=domain,
        extra={**facts.extra, **swapped},
    )


CYCLEGAN = Network(
    name="cyclegan",
    title="CycleGAN: unpaired image translation",
    task=UNPAIRED,
    backend="torch",
    Config=CycleGanConfig,
    model="zcdl_common.models.cyclegan:CycleGanModel",
    cite=("10.1109/ICCV.2017.244",),
    plan=plan,
    primary="feature_distance",
    goal="the least-squares loss of two judges of patches of 70 pixels, which learned in turn, plus "
    "{cycle_weight:g} times the mean absolute error of images translated there and back (and, where both "
    "kinds have as many channels, {identity_weight:g} times that for images that are to be left alone)",
    higher_is_better=False,
    margin=0.1,
    scale=source_scale,
    target_scale=target_scale,
    output_scale=target_scale,
    best=Best(""),
    progress=Best("val_loss"),
    curves="The training loss is that of two generators against their judges, the validation loss what is "
    "lost on the way there and back: neither can be held against the other, and neither says how real images "
    "look. Look at the images, and at the scores of the weights that were kept along the training.",
    facing=facing,
    whole="Instance normalisation takes brightness and contrast from all that the network is given at once: "
    "tiles of an image come out unlike each other, with seams between them. Give it whole images. (Where "
    "they do not fit memory, zcdl predict normalises all tiles alike: no seams, and up to about 15 % of the "
    "contrast off the whole image.)",
    summary="turns one kind of image into another, and back, after learning from sets without pairs, in 2D",
    limits="It learns what the other kind looks like, not what is in your sample: it may add, remove or move "
    "structures, and a translation that looks good proves nothing.",
)
