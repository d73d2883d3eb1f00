"""CARE: image restoration learned from pairs of a poor and a good image."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from zcdl_common.errors import ConfigError
from zcdl_common.network import Network, Plan
from zcdl_common.networks.augmented import GeometryConfig
from zcdl_common.networks.plans import (
    check_patch,
    fill,
    patch_reason,
    patches_an_image,
    plan_patch,
    size_text,
    smallest,
)
from zcdl_common.networks.tasks import RESTORE
from zcdl_common.parameter import setting
from zcdl_common.restoring import output_scale
from zcdl_common.scales import Percentile
from zcdl_common.task import Facts


class CareConfig(GeometryConfig):
    """Parameters of the CARE notebook."""

    network: ClassVar[str] = "care"

    loss: Literal["mae", "mse", "laplace"] = setting("mae", section="settings", label="loss")
    """mae or mse: the difference to the clean image; laplace: learns how sure each pixel is as well."""
    min_signal: float = setting(
        0.4, section="settings", label="least signal in a patch", more=True, ge=0.0, le=1.0
    )
    """Patches whose brightest pixel is below this share of the clean images' range are passed over nine times
    in ten: the network must have seen an empty background, too."""
    depth: int | None = setting(None, section="settings", label="depth", more=True, ge=1, le=5)
    """How often the image is halved inside the network; more sees further and learns slower."""
    kernel: Literal[3, 5, 7] = setting(3, section="settings", label="kernel (pixels)", more=True)
    """Side of the filters."""
    filters: int | None = setting(None, section="settings", label="filters", more=True, ge=4, le=128)
    """Features of the first level; they double at each further one."""
    residual: bool | None = setting(None, section="settings", label="learn the difference", more=True)
    """The network learns what to add to its input; needs as many channels in as out."""

    scale: float = setting(0.0, section="augmentation", label="size change", ge=0.0, le=0.5)
    """Enlarge or shrink by up to this share. Interpolation smooths noise, so leave 0 where noise matters."""


def plan(config: CareConfig, facts: Facts) -> Plan:
    """Fill what is automatic from the images.

    Raises
    ------
    ConfigError
        The patch does not fit the network or the images, or a residual is asked for between images of
        different channels.
    """
    gpu, sides = facts.device == "gpu", smallest(facts)
    alike = len(facts.channels) == len(facts.extra["target_channels"])
    if config.residual and not alike:
        raise ConfigError(
            f"residual = true: the images have {len(facts.channels)} channels and the clean ones "
            f"{len(facts.extra['target_channels'])}, so there is no difference to learn. Leave it empty."
        )
    depth = config.depth or (2 if facts.ndim == 3 or not gpu else 3)
    multiple = (2**depth,) * facts.ndim
    wanted = (128, 128) if facts.ndim == 2 else (16, 64, 64)
    if not gpu:
        wanted = (64, 64) if facts.ndim == 2 else (8, 48, 48)
    patch = plan_patch(config, facts, wanted, multiple)
    size = math.prod(patch)
    batch = config.batch_size or max(2, min(16, (2**18 if gpu else 2**16) // size))
    device = "a GPU" if gpu else "a CPU"
    planned = fill(
        config,
        {
            "depth": (depth, f"{facts.ndim}D images and {device}"),
            "filters": (32 if gpu else 16, f"a size that {device} trains in reasonable time"),
            "residual": (
                alike,
                "images and clean images have the same channels"
                if alike
                else "images and clean images have different channels",
            ),
            "patch_size": (
                patch,
                patch_reason(facts, "structures and their surroundings, in images of " + size_text(sides)),
            ),
            "batch_size": (batch, f"about {size_text(patch)} x {batch} pixels a step suit {device}"),
            "patches_per_image": patches_an_image(facts, patch, batch),
            "epochs": (100, "enough for most data; a time limit or early stopping may end sooner"),
            "learning_rate": (1e-3, "falls as training goes on; the publication's software begins with 4e-4"),
        },
    )
    check_patch(planned.config, facts, multiple)
    return planned


CARE = Network(
    name="care",
    title="CARE: image restoration",
    task=RESTORE,
    backend="tensorflow",
    Config=CareConfig,
    model="zcdl_common.models.care:CareModel",
    cite=("10.1038/s41592-018-0216-7",),
    plan=plan,
    primary="psnr",
    scale=lambda facts: Percentile(),
    target_scale=lambda facts: Percentile(),
    output_scale=output_scale,
    margin=0.2,
    summary="removes noise or blur after learning from pairs of a poor and a good image, in 2D and 3D",
    limits="It can paint structure that is not there: where the poor image holds no trace of a detail, it "
    "guesses from the training images.",
)
