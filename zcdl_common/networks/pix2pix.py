"""pix2pix: one kind of image turned into another, learned from pairs, with a judge of what looks real."""

from __future__ import annotations

import math
from typing import ClassVar

from zcdl_common.errors import ConfigError
from zcdl_common.network import Best, Network, Plan
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
from zcdl_common.networks.tasks import TRANSLATE
from zcdl_common.parameter import setting
from zcdl_common.restoring import output_scale
from zcdl_common.scales import Percentile
from zcdl_common.task import Facts


class Pix2PixConfig(AdversarialConfig):
    """Parameters of the pix2pix notebook."""

    network: ClassVar[str] = "pix2pix"

    depth: int | None = setting(None, section="settings", label="depth", more=True, ge=2, le=8)
    """How often the image is halved inside the generator; more sees further and learns slower."""
    filters: int | None = setting(None, section="settings", label="filters", more=True, ge=4, le=128)
    """Features of the first level of the generator, and of the judge; they double at each further one."""
    l1_weight: float = setting(
        100.0, section="settings", label="weight of the difference", more=True, ge=0.0, le=10_000.0
    )
    """How much the difference to the true image counts beside looking real. Less invents more."""
    dropout: float = setting(0.5, section="settings", label="dropout", more=True, ge=0.0, lt=1.0)
    """Share of the deepest features that is left out at random in training."""


def plan(config: Pix2PixConfig, facts: Facts) -> Plan:
    """Fill what is automatic from the images.

    Raises
    ------
    ConfigError
        The images are stacks, or the patch does not fit the network or the images.
    """
    flat(facts)
    gpu, sides = facts.device == "gpu", smallest(facts)
    device = "a GPU" if gpu else "a CPU"
    wanted = 256 if gpu else 128
    largest = min(min(s, facts.extra.get("gap", s)) for s in sides)
    limit = min(wanted, largest, *(config.patch_size or ()))
    depth = config.depth or max(2, min(8, int(math.log2(max(limit, 16))) - 1))
    multiple = (2**depth,) * 2
    patch = plan_patch(config, facts, (max(wanted, 2 ** (depth + 1)),) * 2, multiple)
    size = math.prod(patch)
    batch = config.batch_size or max(2, min(16, (2**18 if gpu else 2**16) // size))
    planned = fill(
        config,
        {
            "depth": (
                depth,
                f"halves patches of {limit} pixels to 2, or a little more; 8 in the publication",
            ),
            "filters": (
                64 if gpu else 32,
                f"what {device} trains in reasonable time; 64 in the publication",
            ),
            "patch_size": (
                patch,
                patch_reason(facts, "structures and their surroundings, in images of " + size_text(sides)),
            ),
            "batch_size": (batch, f"about {size_text(patch)} x {batch} pixels a step suit {device}"),
            "patches_per_image": patches_an_image(facts, patch, batch, steps=100 if gpu else 16),
            "epochs": (200, "as in the publication; a time limit may end sooner"),
            "learning_rate": (2e-4, "as in the publication; falls to 0 in the second half"),
        },
    )
    check_patch(planned.config, facts, multiple)
    _check_depth(patch, depth, largest)
    check_judged(planned.config, 2**depth)
    return planned


def _check_depth(patch: tuple[int, ...], depth: int, largest: int) -> None:
    """Refuse a network whose deepest filters would be learned in their middle alone.

    Where a patch ends in a single pixel, most of each filter there lies beside it and stays as it was drawn
    at random; larger images would then be seen through it.
    """
    if min(patch) < 2 ** (depth + 1):
        least = 2 ** (depth + 1)
        larger = f", or patch_size = {least}, {least}" * (least <= largest)
        raise ConfigError(
            f"depth = {depth} halves a patch of {size_text(patch)} to a single pixel, of which the deepest "
            f"filters cannot be learned. Set depth = {int(math.log2(min(*patch, largest))) - 1}{larger}."
        )


PIX2PIX = Network(
    name="pix2pix",
    title="pix2pix: paired image translation",
    task=TRANSLATE,
    backend="torch",
    Config=Pix2PixConfig,
    model="zcdl_common.models.pix2pix:Pix2PixModel",
    cite=("10.1109/CVPR.2017.632",),
    plan=plan,
    primary="pearson_r",
    goal="the cross-entropy of a conditional judge of patches of 70 pixels, which learned in turn, plus "
    "{l1_weight:g} times the mean absolute error",
    scale=lambda facts: Percentile(0.1, 99.9),  # structures may cover a hundredth of an image
    target_scale=output_scale,
    output_scale=output_scale,
    best=Best("val_pearson_r", "max"),
    curves="The training loss is that of a generator against its judge, the validation loss the mean "
    "absolute error alone: neither can be held against the other, and the training loss may rise while "
    "images get better. Look at Pearson r of the validation images, which picks the epoch: train longer "
    "while it rises.",
    whole="An output pixel sees hundreds of pixels around it, so that tiles need a wide overlap. Give it "
    "whole images.",
    summary="turns one kind of image into another after learning from pairs of the same field, in 2D",
    limits="It paints what looks real. What the source does not show is invented from the training images, "
    "and looks as crisp as the rest.",
)
