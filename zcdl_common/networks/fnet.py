"""fnet: fluorescence predicted from transmitted light."""

from __future__ import annotations

import math
from typing import ClassVar

from zcdl_common.network import Network, Plan
from zcdl_common.networks.plans import (
    check_batch,
    check_patch,
    fill,
    multiples,
    patch_reason,
    patches_an_image,
    plan_patch,
    poolings,
    size_text,
    smallest,
)
from zcdl_common.networks.tasks import LABEL_FREE
from zcdl_common.networks.translation import TranslationConfig
from zcdl_common.parameter import setting
from zcdl_common.restoring import output_scale
from zcdl_common.scales import MeanStd
from zcdl_common.task import Facts


class FnetConfig(TranslationConfig):
    """Parameters of the fnet notebook."""

    network: ClassVar[str] = "fnet"

    depth: int | None = setting(None, section="settings", label="depth", more=True, ge=1, le=6)
    """How often the image is halved inside the network; more sees further and learns slower."""
    filters: int | None = setting(None, section="settings", label="filters", more=True, ge=4, le=128)
    """Features of the first level; they double at each further one."""


def levels(config: FnetConfig, facts: Facts, depth: int | None = None) -> tuple[tuple[int, ...], ...]:
    """Downsampling (Z)YX of each level of the network, `depth` of them or as many as the config says."""
    depth = config.depth or depth
    assert depth is not None
    return poolings(facts.pixel_size, facts.ndim, depth)


def plan(config: FnetConfig, facts: Facts) -> Plan:
    """Fill what is automatic from the images.

    Raises
    ------
    ConfigError
        The patch does not fit the network or the images.
    """
    gpu, sides = facts.device == "gpu", smallest(facts)
    device = "a GPU" if gpu else "a CPU"
    seen = min(min(s, facts.extra.get("gap", s)) for s in sides[-2:])
    depth = config.depth or max(1, min(4 if gpu else 3, int(math.log2(max(seen, 16) / 8))))
    multiple = multiples(levels(config, facts, depth))
    wanted = (256, 256) if facts.ndim == 2 else (32, 64, 64)
    if not gpu:
        wanted = (128, 128) if facts.ndim == 2 else (16, 64, 64)
    patch = plan_patch(config, facts, wanted, multiple)
    size = math.prod(patch)
    batch = config.batch_size or max(2, min(24, (2**20 if gpu else 2**17) // size))
    planned = fill(
        config,
        {
            "depth": (depth, f"an image of {size_text(sides)} pixels and {device}; 4 in the publication"),
            "filters": (
                32 if gpu else 16,
                f"what {device} trains in reasonable time; 32 in the publication",
            ),
            "patch_size": (
                patch,
                patch_reason(facts, "cells and their surroundings, in images of " + size_text(sides)),
            ),
            "batch_size": (batch, f"about {size_text(patch)} x {batch} pixels a step suit {device}"),
            "patches_per_image": patches_an_image(facts, patch, batch),
            "epochs": (300, "a tenth of the steps of the publication; a time limit may end sooner"),
            "learning_rate": (1e-3, "as in the publication; it falls as training goes on"),
        },
    )
    check_patch(planned.config, facts, multiple)
    check_batch(planned.config, multiple)
    return planned


FNET = Network(
    name="fnet",
    title="fnet: label-free prediction",
    task=LABEL_FREE,
    backend="torch",
    Config=FnetConfig,
    model="zcdl_common.models.fnet:FnetModel",
    cite=("10.1038/s41592-018-0111-2",),
    plan=plan,
    primary="pearson_r",
    goal="the mean squared error",
    scale=lambda facts: MeanStd(),
    target_scale=output_scale,  # image by image, a cell would be the dimmer the more of them there are
    output_scale=output_scale,
    summary="predicts fluorescence from transmitted light, in 2D and 3D, also from a stack to one plane",
    limits="It can only show what leaves a trace in transmitted light. How bright a stain is leaves none: "
    "its brightness is a guess from the training images.",
)
