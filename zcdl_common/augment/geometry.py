"""Move pixels: source and target alike. In volumes all planes move together, for Z is sampled differently."""

from __future__ import annotations

import os
import random
import threading
from functools import lru_cache
from typing import Any

import numpy as np

from zcdl_common.task import Array


def flip_and_turn(
    source: Array, target: Array | None, rng: np.random.Generator, flips: bool, turns: bool
) -> tuple[Array, Array | None]:
    """Mirror and turn by multiples of 90° without touching a value: views of the input.

    Parameters
    ----------
    source : (Z)YXC
    target : (Z)YX, (Z)YXK or None
    flips : bool
        Mirror each spatial axis with probability 1/2.
    turns : bool
        Quarter turns in the YX plane; half turns where Y and X differ, so that the shape stays.
    """
    ndim = source.ndim - 1
    mirrored = tuple(axis for axis in range(ndim) if flips and rng.random() < 0.5)
    square = source.shape[ndim - 2] == source.shape[ndim - 1]
    quarters = int(rng.integers(4) if square else 2 * rng.integers(2)) if turns else 0

    def move(array: Array) -> Array:
        return np.rot90(np.flip(array, mirrored), quarters, (ndim - 2, ndim - 1))

    return move(source), None if target is None else move(target)


def warp(
    source: Array,
    target: Array | None,
    rng: np.random.Generator,
    any_angle: bool,
    scale: float,
    shear: float,
    elastic: float,
) -> tuple[Array, Array | None]:
    """Rotate, zoom, shear and deform in the YX plane; what comes in at the border is mirrored.

    Rotation with zoom and shear, and deformation, each happen to half of the patches: interpolation
    smooths, and a network should also see untouched pixels.

    Parameters
    ----------
    source : float32 (Z)YXC
        Interpolated linearly: the range of values stays.
    target : int (Z)YX, float (Z)YXK or None
        Integers keep their values (up to 2**31 - 1), floats are interpolated like the source.
    any_angle : bool
    scale : float
        Largest zoom is 1 + scale, smallest 1 / (1 + scale).
    shear : float
        Largest shear along either axis, in degrees.
    elastic : float
        Root mean square of the displacement along an axis, in pixels.
    """
    transform = _transform(any_angle, scale, shear, elastic, threading.get_ident())
    # one state for both steps: `set_random_seed` gives each the same numbers, and both or none would happen
    transform.set_random_state(rng, random.Random(int(rng.integers(2**31))))
    # a ZYX stack given as `image` would be read as YXC
    image, mask = ("image", "mask") if source.ndim == 3 else ("volume", "mask3d")
    given = {image: np.ascontiguousarray(source)}
    if target is None:
        return transform(**given)[image], None
    if target.dtype.kind == "f":
        moved = transform(**given, **{f"target_{image}": np.ascontiguousarray(target)})
        return moved[image], moved[f"target_{image}"]
    moved = transform(**given, **{mask: np.ascontiguousarray(target, np.int32)})
    return moved[image], moved[mask].astype(target.dtype, copy=False)


@lru_cache(maxsize=64)
def _transform(any_angle: bool, scale: float, shear: float, elastic: float, thread: int) -> Any:
    """Build the transform; each thread has its own, since the random state lives inside."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # importing it would ask the network
    import albumentations
    import cv2
    from albumentations.augmentations.geometric.distortion import BaseDistortion

    from zcdl_common.augment.elastic import displacements

    class Elastic(BaseDistortion):  # type: ignore[misc]
        """Where each pixel comes from; the library applies it."""

        def get_params_dependent_on_data(self, params: Any, data: Any) -> dict[str, Array]:
            height, width = params["shape"][:2]
            y, x = displacements((height, width), elastic, self.random_generator)
            rows, columns = np.arange(height, dtype=np.float32), np.arange(width, dtype=np.float32)
            return {"map_y": y + rows[:, None], "map_x": x + columns}

    affine = albumentations.Affine(
        scale=(1 / (1 + scale), 1 + scale),
        keep_ratio=True,
        rotate=(-180, 180) if any_angle else 0,
        shear=(-shear, shear),
        border_mode=cv2.BORDER_REFLECT_101,
        p=0.5 if any_angle or scale or shear else 0,
    )
    deform = Elastic(
        interpolation=cv2.INTER_LINEAR,
        mask_interpolation=cv2.INTER_NEAREST,
        keypoint_remapping_method="mask",
        border_mode=cv2.BORDER_REFLECT_101,
        p=0.5 if elastic else 0,
    )
    also = {"target_image": "image", "target_volume": "volume"}
    return albumentations.Compose([affine, deform], additional_targets=also)
