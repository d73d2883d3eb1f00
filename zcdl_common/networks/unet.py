"""U-Net: semantic segmentation, every pixel gets a class."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from zcdl_common.errors import ConfigError
from zcdl_common.network import Best, Network, Plan
from zcdl_common.networks.augmented import AugmentedConfig
from zcdl_common.networks.mixed import MixedConfig
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
from zcdl_common.networks.tasks import SEGMENT
from zcdl_common.parameter import FloatTuple, setting
from zcdl_common.scales import Percentile
from zcdl_common.task import Facts


class UNetConfig(AugmentedConfig, MixedConfig):
    """Parameters of the U-Net notebook."""

    network: ClassVar[str] = "unet"

    masks_are: Literal["auto", "classes", "objects"] = setting(
        "auto", section="images", label="mask values mean", more=True
    )
    """classes: every value is a class; objects: every value is one object of one class; auto: found out."""
    depth: int | None = setting(None, section="settings", label="depth", more=True, ge=1, le=6)
    """How often the image is halved inside the network; more sees further and learns slower."""
    downscaling_in_xy: int = setting(1, section="settings", label="downscaling in XY", more=True, ge=1, le=8)
    """Images are averaged down by this inside the network: faster, for objects of hundreds of pixels."""
    filters: int | None = setting(None, section="settings", label="filters", more=True, ge=4, le=128)
    """Features of the first level; they double at each further one."""
    dropout: float = setting(0.0, section="settings", label="dropout", more=True, ge=0.0, lt=1.0)
    """Share of the deepest features that is left out at random in training, against overfitting."""
    loss: Literal["cross-entropy", "dice", "cross-entropy + dice", "focal"] = setting(
        "cross-entropy + dice", section="settings", label="loss"
    )
    """What training makes small. Dice and focal help where the structures cover few pixels."""
    class_weights: FloatTuple | None = setting(None, section="settings", label="class weights", more=True)
    """Weight of each class in the loss, background first; empty: equal, or by rarity in cross-entropy."""
    min_foreground: float = setting(
        0.02, section="settings", label="least foreground in a patch", more=True, ge=0.0, le=1.0
    )
    """Patches with a smaller share of foreground are passed over where better ones are found."""
    optimiser: Literal["adam", "adamw", "sgd", "rmsprop"] = setting(
        "adam", section="settings", label="optimiser", more=True
    )
    """How the weights are changed from the gradient."""
    weight_decay: float = setting(0.0, section="settings", label="weight decay", more=True, ge=0.0, le=1.0)
    """Pulls weights towards zero, against overfitting."""

    threshold: float | None = setting(None, section="use", label="threshold", use=True, gt=0.0, lt=1.0)
    """Probability above which a pixel is foreground; empty: chosen on the validation images."""
    output: Literal["mask", "labels", "probability", "all"] = setting(
        "mask", section="use", label="what to save", use=True
    )
    """mask; labels: connected foreground pixels become one numbered object; probability; or all three."""
    min_object_pixels: int = setting(
        0, section="use", label="smallest object (pixels)", use=True, more=True, ge=0
    )
    """Objects with fewer pixels are left out of labels."""


def downscaling(config: UNetConfig, ndim: int) -> tuple[int, ...]:
    """Factor (Z)YX by which images are averaged down before the first level."""
    return (1,) * (ndim - 2) + (config.downscaling_in_xy,) * 2


def levels(config: UNetConfig, facts: Facts, depth: int | None = None) -> tuple[tuple[int, ...], ...]:
    """Downsampling (Z)YX of each level of the network, `depth` of them or as many as the config says."""
    depth = config.depth or depth
    assert depth is not None
    factors, size = downscaling(config, facts.ndim), facts.pixel_size or (1.0,) * facts.ndim
    return poolings(tuple(s * f for s, f in zip(size, factors, strict=True)), facts.ndim, depth)


def plan(config: UNetConfig, facts: Facts) -> Plan:
    """Fill what is automatic from the images.

    Raises
    ------
    ConfigError
        The patch does not fit the network or the images.
    """
    _check_weights(config, facts)
    gpu = facts.device == "gpu"
    sides = smallest(facts)
    limit = tuple(min(s, facts.extra.get("gap", s)) for s in sides)
    wanted: tuple[int, ...] = (256, 256) if facts.ndim == 2 else (32, 128, 128) if gpu else (32, 64, 64)
    if not gpu and facts.ndim == 2:
        wanted = (128, 128)
    shrink = downscaling(config, facts.ndim)
    seen = min(limit[-2:]) / config.downscaling_in_xy
    depth = config.depth or max(1, min(4 if gpu else 3, int(math.log2(max(seen, 16) / 8))))
    pools = (*levels(config, facts, depth), shrink)
    wanted = tuple(w * f for w, f in zip(wanted, shrink, strict=True))
    patch = plan_patch(config, facts, wanted, multiples(pools))
    size = math.prod(patch)
    batch = config.batch_size or max(2, min(16, (2**18 if gpu else 2**16) * math.prod(shrink) // size))
    rare = min(facts.extra.get("class_shares", {}).values(), default=0.5)
    device = "a GPU" if gpu else "a CPU"
    planned = fill(
        config,
        {
            "depth": (depth, f"an image of {size_text(sides)} pixels and {device}"),
            "filters": (32 if gpu else 16, f"a size that {device} trains in reasonable time"),
            "patch_size": (patch, _patch_reason(patch, facts)),
            "batch_size": (batch, f"about {size_text(patch)} x {batch} pixels a step suit {device}"),
            "patches_per_image": patches_an_image(facts, patch, batch),
            "epochs": (100, "enough for most data; a time limit or early stopping may end sooner"),
            "learning_rate": (1e-3, "suits this network with batch normalisation"),
            "class_weights": (
                class_weights(facts, config.loss),
                f"the rarest class covers {100 * rare:.1f} % of the pixels, the loss is {config.loss}",
            ),
        },
    )
    check_patch(planned.config, facts, multiples(pools))
    check_batch(planned.config, multiples(pools))
    return planned


def class_weights(facts: Facts, loss: str) -> tuple[float, ...]:
    """Equal weights, unless the loss is plain cross-entropy and a class is rare.

    A class that covers less than 10 % of the pixels then gets 1 / sqrt(share), with a mean of 1. Dice and
    focal loss see to rare classes by themselves, and weights on top would distort the probabilities.
    """
    shares = [facts.extra.get("class_shares", {}).get(c, 1.0) for c in facts.classes]
    if loss != "cross-entropy" or not shares or min(shares) >= 0.1:
        return (1.0,) * len(facts.classes)
    raw = [1 / math.sqrt(max(s, 1e-4)) for s in shares]
    return tuple(round(w * len(raw) / sum(raw), 3) for w in raw)


def _patch_reason(patch: tuple[int, ...], facts: Facts) -> str:
    allowed = patch[-1] + 8 > smallest(facts)[-1]
    usual = "as large as the smallest image allows" if allowed else "several objects and their surroundings"
    return patch_reason(facts, usual)


def _check_weights(config: UNetConfig, facts: Facts) -> None:
    """Refuse class weights that do not fit the classes."""
    weights = config.class_weights
    if weights is None:
        return
    if len(weights) != len(facts.classes) or min(weights) < 0 or sum(weights) == 0:
        raise ConfigError(
            f"class_weights = {', '.join(f'{w:g}' for w in weights)}: the masks have {len(facts.classes)} "
            f"classes ({', '.join(map(str, facts.classes))}), and each needs a weight of 0 or more, "
            "background first. Leave it empty for weights from how rare the classes are."
        )


UNET = Network(
    name="unet",
    title="U-Net: segmentation",
    task=SEGMENT,
    backend="torch",
    Config=UNetConfig,
    model="zcdl_common.models.unet:UNetModel",
    cite=("10.1007/978-3-319-24574-4_28", "10.1007/978-3-319-46723-8_49"),
    plan=plan,
    primary="iou",
    scale=lambda facts: Percentile(),
    best=Best("val_loss", "min"),
    summary="marks every pixel as background or as one of the structures you outlined, in 2D and 3D",
    limits="Touching objects are not separated, and objects should appear as large, in pixels, as in the "
    "training images.",
)
