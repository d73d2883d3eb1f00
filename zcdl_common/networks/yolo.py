"""YOLO: objects as boxes with a class."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from zcdl_common.errors import ConfigError
from zcdl_common.network import Best, Network, Plan
from zcdl_common.networks.augmented import BrightnessConfig
from zcdl_common.networks.mixed import MixedConfig
from zcdl_common.networks.plans import check_batch, fill, flat, patches_an_image, size_text
from zcdl_common.networks.tasks import DETECT
from zcdl_common.parameter import setting
from zcdl_common.scales import Percentile
from zcdl_common.task import Facts

COARSEST = 32
"""Pixels of the shrunken image from one point of the coarsest grid to the next."""
SMALL_SIDE = {"cpu": 7, "gpu": 14}
"""Pixels that objects of the smallest kind keep across when the image is shrunken."""
FINEST_SIDE = 24
"""Pixels of the shrunken image below which a small object asks for a grid of 4 pixels."""
BASES = {"nano": 16, "small": 32, "medium": 48}
DEPTHS = {"nano": (1, 2, 2, 1), "small": (1, 2, 2, 1), "medium": (2, 4, 4, 2)}
"""Bottlenecks of the blocks at a 4th, 8th, 16th and 32nd of the size."""


class YoloConfig(BrightnessConfig, MixedConfig):
    """Parameters of the YOLO notebook."""

    network: ClassVar[str] = "yolo"

    size: Literal["nano", "small", "medium"] | None = setting(None, section="settings", label="network size")
    """nano learns fast and runs anywhere; small and medium see more, and need a GPU and more images."""
    downscaling_in_xy: int | None = setting(None, section="settings", label="downscaling in XY", ge=1, le=16)
    """Images are averaged down by this inside the network: faster, for objects of hundreds of pixels."""
    finest_grid: Literal[4, 8] | None = setting(None, section="settings", label="finest grid", more=True)
    """Smallest distance of the points that answer for objects, in pixels of the shrunken image: 4 finds
    smaller objects and takes longer."""
    optimiser: Literal["adam", "adamw", "sgd", "rmsprop"] = setting(
        "adamw", section="settings", label="optimiser", more=True
    )
    """How the weights are changed from the gradient."""
    weight_decay: float = setting(0.05, section="settings", label="weight decay", more=True, ge=0.0, le=1.0)
    """Pulls weights towards zero, against overfitting."""
    mosaic: float = setting(0.3, section="augmentation", label="share of mosaics", ge=0.0, le=1.0)
    """So many patches are put together from parts of four images: objects beside other neighbours."""
    scale: float = setting(0.2, section="augmentation", label="size change", ge=0.0, le=0.5)
    """Enlarge or shrink by up to this share."""
    rotations: Literal["none", "quarter turns"] = setting(  # a box that is turned by 30° fits no more
        "quarter turns", section="augmentation", label="rotations"
    )
    """Turn the patches in the image plane."""

    confidence: float | None = setting(
        None, section="use", label="confidence threshold", use=True, gt=0.0, lt=1.0
    )
    """How sure the network must be of an object; empty: chosen on the validation images."""
    nms_iou: float | None = setting(None, section="use", label="allowed overlap", use=True, gt=0.0, lt=1.0)
    """Overlap (IoU) of two boxes of one class above which the less sure one is dropped. Empty: chosen too."""


def multiple(config: YoloConfig) -> int:
    """What image sizes must be a multiple of."""
    assert config.downscaling_in_xy is not None
    return COARSEST * config.downscaling_in_xy


def plan_shrink(small: float, device: str = "cpu") -> int:
    """Factor, a power of 2, by which images are averaged down so that small objects keep enough pixels."""
    return int(2 ** max(0, min(4, int(math.log2(max(1.0, small / SMALL_SIDE[device]))))))


def plan(config: YoloConfig, facts: Facts) -> Plan:
    """Fill what is automatic from the boxes.

    Raises
    ------
    ConfigError
        The images are stacks, or patch or batch do not fit the network.
    """
    flat(facts)
    gpu = facts.device == "gpu"
    device = "a GPU" if gpu else "a CPU"
    small = float(facts.extra["small_side"])
    shrink = config.downscaling_in_xy or plan_shrink(small, facts.device)
    step = COARSEST * shrink
    spans = f"of the smallest kind one object in ten is less than {small:.0f} pixels across"
    finest = config.finest_grid or (4 if small / shrink < FINEST_SIDE else 8)
    sides = facts.extra["usual_size"]
    most = (1024 if gpu else 512) * shrink
    wanted = tuple(min(most, max(step, round(s / step) * step)) for s in sides)
    patch = config.patch_size or wanted
    if len(patch) != 2 or any(p % step for p in patch):
        raise ConfigError(
            f"patch_size = {size_text(patch)}: two numbers (YX) are needed, multiples of {step}, since the "
            f"network halves the image {int(math.log2(step))} times. Try {size_text(wanted)}."
        )
    pixels = math.prod(patch) // shrink**2
    batch = config.batch_size or max(2, min(16, (2**22 if gpu else 2**19) // pixels))
    made = fill(
        config,
        {
            "size": ("small" if gpu else "nano", f"a size that {device} trains in reasonable time"),
            "downscaling_in_xy": (shrink, f"{spans}: in the network {small / shrink:.0f}"),
            "finest_grid": (finest, f"{spans}, {small / shrink:.0f} in the network"),
            "patch_size": (patch, "about a whole image" if patch == wanted else "as given"),
            "batch_size": (batch, f"about {size_text(patch)} x {batch} pixels a step suit {device}"),
            "patches_per_image": patches_an_image(facts, patch, batch, steps=25),
            "epochs": (200 if gpu else 100, "a network that knows nothing yet needs long for boxes"),
            "learning_rate": (2e-3, "suits this network with batch normalisation"),
        },
    )
    check_batch(made.config, (step, step))
    return made


YOLO = Network(
    name="yolo",
    title="YOLO: detection",
    task=DETECT,
    backend="torch",
    Config=YoloConfig,
    model="zcdl_common.models.yolo:YoloModel",
    cite=("10.1109/CVPR.2016.91", "10.1109/ICCV48922.2021.00349"),
    plan=plan,
    primary="map50",
    scale=lambda facts: Percentile(),
    best=Best("val_map50", "max"),
    margin=0.02,
    goal="the error of class, box and expected overlap at the points that answer for an object",
    whole="Boxes are read from the maps of a whole image: a tile does not know of what its neighbours show.",
    summary="finds objects, puts a box around each and names its kind",
    limits="A box is no outline: areas and shapes cannot be measured. Objects should appear as large, in "
    "pixels, as in the training images.",
)
