"""StarDist: objects as star-convex polygons or polyhedra, touching ones apart."""

from __future__ import annotations

import math
from typing import ClassVar, Literal

from zcdl_common import model_folders
from zcdl_common.errors import ConfigError
from zcdl_common.network import Network, Plan
from zcdl_common.networks.augmented import AugmentedConfig
from zcdl_common.networks.plans import (
    check_patch,
    fill,
    patch_reason,
    patches_an_image,
    plan_patch,
    size_text,
)
from zcdl_common.networks.tasks import INSTANCES
from zcdl_common.parameter import FloatTuple, IntTuple, setting
from zcdl_common.scales import Percentile
from zcdl_common.task import Facts

POINTS_ACROSS = 8
"""Grid points that a typical object keeps across at least: fewer, and neighbours are hard to tell apart."""
RESIDUAL_BLOCKS = 4
"""Of the residual network, as in stardist."""
SPIRAL = "Rays_GoldenSpiral"
"""The directions of rays in 3D, by the name that stardist has for them."""


class StarDistConfig(AugmentedConfig):
    """Parameters of the StarDist notebook."""

    network: ClassVar[str] = "stardist"

    n_rays: int | None = setting(None, section="settings", label="rays", ge=8, le=256)
    """Directions in which the border of an object is searched; more draws finer outlines."""
    grid: IntTuple | None = setting(None, section="settings", label="grid (pixels)")
    """The network answers for every so many pixels, (Z) Y, X: 1, 2, 4 or 8. Large for large objects."""
    anisotropy: FloatTuple | None = setting(None, section="settings", label="flatness (Z, Y, X)", more=True)
    """3D: how many times fewer pixels an object spans along each axis than along its longest."""
    depth: int | None = setting(None, section="settings", label="depth", more=True, ge=0, le=5)
    """How often the image is halved inside the network; more sees further and learns slower. 0, for stacks: a
    residual network, which halves it down to the grid alone, like the ready-made 3D_demo."""
    filters: int | None = setting(None, section="settings", label="filters", more=True, ge=4, le=128)
    """Features of the first level; they double at each further one."""
    foreground_patches: float = setting(
        0.9, section="settings", label="patches with an object", more=True, ge=0.0, le=1.0
    )
    """Share of the patches that must show an object; the others may be empty."""
    distance_loss: Literal["mae", "mse", "iou"] = setting(
        "mae", section="settings", label="loss of the distances", more=True
    )
    """mae or mse: the difference of each distance; iou: the overlap of the shapes."""
    distance_weight: float = setting(
        0.2, section="settings", label="weight of the distances", more=True, gt=0.0, le=10.0
    )
    """How much the outlines count in training beside finding the objects, which counts 1."""

    prob_thresh: float | None = setting(
        None, section="use", label="probability threshold", use=True, gt=0.0, lt=1.0
    )
    """How sure the network must be of an object; empty: chosen on the validation images."""
    nms_thresh: float | None = setting(None, section="use", label="allowed overlap", use=True, gt=0.0, lt=1.0)
    """Share of an object that a surer one may cover; above it, it is dropped. Empty: chosen like that."""


def multiple(grid: tuple[int, ...], depth: int) -> tuple[int, ...]:
    """What image sizes must be a multiple of."""
    return tuple(g * 2**depth for g in grid)


def field_of_view(grid: tuple[int, ...], depth: int) -> tuple[int, ...]:
    """How many pixels around an output pixel can change it, rounded up to whole pools of the network."""
    return tuple(-(-_reach(max(grid), g, depth) // (g * 2**depth)) * g * 2**depth for g in grid)


def _reach(largest: int, grid: int, depth: int) -> int:
    """Reach along an axis: filters of 3 pixels, two before every halving and after every doubling."""
    if depth == 0:
        return _residual_reach(grid)
    reach, stride = 0, 1
    for _ in range(largest.bit_length() - 1):  # down to the grid; an axis of a smaller one waits
        reach += 2 * stride
        stride *= 2 if stride < grid else 1
    deepest: int = grid * 2**depth
    levels: int = 4 * grid * (2**depth - 1)  # on the way down and up
    return reach + levels + 2 * deepest + grid + deepest - 1  # pooled pixels join their neighbours


def _residual_reach(grid: int) -> int:
    """The same of the residual network: a filter of 7 pixels, one of 3, blocks of three, and one of 3.

    The first of a block halves the image as long as the grid is coarser, and then looks ahead alone.
    """
    reach, stride = 3 + 1, 1
    for _ in range(RESIDUAL_BLOCKS):
        reach += 2 * stride if stride < grid else stride
        stride *= 2 if stride < grid else 1
        reach += 2 * stride
    return reach + grid + grid - 1


def plan_grid(extents: tuple[float, ...]) -> tuple[int, ...]:
    """The grid on which an object of `extents` pixels (Z)YX keeps 6 to 12 points across, and large ones more.

    Y and X share one, by the shorter side, since objects lie in any direction.
    """
    sides = (*extents[:-2], *(min(extents[-2:]),) * 2)
    return tuple(1 if e < 12 else 2 if e < 48 else 4 if e < 160 else 8 for e in sides)


def plan_view(
    config: StarDistConfig, extents: tuple[float, ...], large: tuple[float, ...], depth: int
) -> tuple[tuple[int, ...], int, bool]:
    """Grid and depth with which the network sees even a large object from end to end, and if it took more.

    `extents` are those of a typical object, which the grid suits; `large` ones must be seen.
    """
    grid = config.grid or plan_grid(extents)
    most = 5 if len(extents) == 2 else 4
    first = (grid, depth)
    while any(f < e for f, e in zip(field_of_view(grid, depth), large, strict=True)):
        room = [g < 8 and e >= 2 * g * POINTS_ACROSS for g, e in zip(grid, extents, strict=True)]
        coarser = tuple(g * (1 + more) for g, more in zip(grid, room, strict=True))
        if config.grid is None and coarser != grid:
            grid = coarser
        elif config.depth is None and depth < most:
            depth += 1
        else:
            break
    return grid, depth, (grid, depth) != first


def plan(config: StarDistConfig, facts: Facts) -> Plan:
    """Fill what is automatic from the labels.

    Raises
    ------
    ConfigError
        The grid, the depth, the anisotropy or the patch does not fit the network or the images.
    """
    config, learned = like_start(config, facts)
    _check(config, facts.ndim)
    gpu = facts.device == "gpu"
    device = "a GPU" if gpu else "a CPU"
    extents = tuple(float(max(1.0, e)) for e in facts.extra["extents"])
    span = f"a typical object spans {size_text(tuple(round(e) for e in extents))} pixels"
    depth = config.depth if config.depth is not None else 3 if facts.ndim == 2 else 2
    large = tuple(map(float, facts.extra.get("large_extents", extents)))
    grid, depth, raised = plan_view(config, extents, large, depth)
    seen = size_text(field_of_view(grid, depth))
    view = f"{span}, and each pixel sees {seen} around it" + " (raised for that)" * raised
    least = multiple(grid, depth)
    base = (128, 128) if facts.ndim == 2 else (16, 64, 64)
    if gpu:
        base = (256, 256) if facts.ndim == 2 else (32, 96, 96)
    wanted = tuple(max(b, math.ceil(2 * e / m) * m) for b, e, m in zip(base, extents, least, strict=True))
    patch = plan_patch(config, facts, wanted, least)
    size = math.prod(patch)
    batch = config.batch_size or max(2, min(8 if gpu else 4, (2**19 if gpu else 2**16) // size))
    rays = 32 if facts.ndim == 2 else 96 if gpu else 48
    filters = 32 if gpu or facts.ndim == 2 else 16
    if facts.ndim == 3:
        flatness = tuple(round(float(a), 2) for a in facts.extra["anisotropy"])
        volume = {"anisotropy": (flatness, "measured from the labels: " + span)}
    else:
        volume = {}
    planned = fill(
        config,
        {
            **volume,
            "n_rays": (rays, f"{facts.ndim}D objects and {device}"),
            "grid": (grid, view),
            "depth": (depth, view),
            "filters": (filters, f"a size that {device} trains in reasonable time"),
            "patch_size": (patch, patch_reason(facts, f"{span}, with its neighbours")),
            "batch_size": (batch, f"about {size_text(patch)} x {batch} pixels a step suit {device}"),
            "patches_per_image": patches_an_image(facts, patch, batch, steps=100 if gpu else 32, most=512),
            "epochs": (
                150 if facts.ndim == 3 else 100,
                "enough for most data; a time limit or early stopping may end sooner",
            ),
            "learning_rate": (1e-3, "fast, and still steady; it falls as training goes on"),
        },
    )
    check_patch(planned.config, facts, least)
    return Plan(planned.config, learned | planned.reasons)


def ready_made(facts: Facts) -> str:
    """Name of stardist's own model for such images; "" where it has none."""
    return {(2, 1): "2D_versatile_fluo", (2, 3): "2D_versatile_he", (3, 1): "3D_demo"}.get(
        (facts.ndim, len(facts.channels)), ""
    )


def like_start(config: StarDistConfig, facts: Facts) -> tuple[StarDistConfig, dict[str, str]]:
    """The architecture of the stardist model that ``start_from`` names, where the user chose no other.

    Raises
    ------
    ConfigError
        That model is of another kind: dimension, several classes, other rays.
    """
    there = model_folders.find(config.start_from) if config.start_from else None
    if there is None or "n_rays" not in there.config:
        return config, {}
    known = there.config
    residual, rays = known.get("backbone") == "resnet", known.get("rays_json", {})
    problem = (
        model_folders.misfit(there, facts.ndim)
        or ("it tells several kinds of objects apart" if known.get("n_classes") is not None else "")
        or ("its rays are no golden spiral" if rays.get("name", SPIRAL) != SPIRAL else "")
    )
    if problem:
        raise ConfigError(
            f"start_from = {config.start_from}: {problem}. Name another one, or leave it empty."
        )
    flatness = rays.get("kwargs", {}).get("anisotropy") or known.get("anisotropy") or (1.0, 1.0, 1.0)
    found = {
        "n_rays": known["n_rays"],
        "grid": tuple(known["grid"]),
        "depth": 0 if residual else known["unet_n_depth"],
        "filters": known["resnet_n_filter_base" if residual else "unet_n_filter_base"],
        "anisotropy": tuple(flatness) if facts.ndim == 3 else None,
    }
    taken = {k: v for k, v in found.items() if v is not None and getattr(config, k) is None}
    why = f"as in {config.start_from}, whose weights fit nothing else"
    return config.changed(**taken), dict.fromkeys(taken, why)


def _check(config: StarDistConfig, ndim: int) -> None:
    """Refuse a grid, a depth or an anisotropy that the network cannot have."""
    axes = "ZYX" if ndim == 3 else "YX"
    if config.grid is not None and (len(config.grid) != ndim or not set(config.grid) <= {1, 2, 4, 8}):
        raise ConfigError(
            f"grid = {size_text(config.grid)}: {ndim} numbers ({axes}) are needed, each 1, 2, 4 or 8. "
            f"Try {size_text((1, 2, 2)[-ndim:])}, or leave it empty."
        )
    if config.depth == 0 and ndim == 2:
        raise ConfigError("depth = 0: the residual network is for stacks. Try 3, or leave it empty.")
    flat = config.anisotropy
    if flat is not None and (ndim == 2 or len(flat) != 3 or min(flat) <= 0):
        raise ConfigError(
            f"anisotropy = {', '.join(f'{a:g}' for a in flat)}: it is for 3D, three numbers above 0, for "
            "example 2, 1, 1 (ZYX). Leave it empty to have it measured."
        )


STARDIST = Network(
    name="stardist",
    title="StarDist: objects",
    task=INSTANCES,
    backend="tensorflow",
    Config=StarDistConfig,
    model="zcdl_common.models.stardist:StarDistModel",
    cite=("10.1007/978-3-030-00934-2_30", "10.1109/WACV45572.2020.9093435"),
    plan=plan,
    primary="ap50",
    scale=lambda facts: Percentile(),
    margin=0.02,
    ready_made=ready_made,
    summary="finds and outlines every single object, touching ones apart, in 2D and 3D",
    limits="Objects must be roundish: from one point inside, the whole border must be in view. Branched or "
    "strongly bent ones come out wrong, and so do ones of quite another size, in pixels, than in training.",
)
