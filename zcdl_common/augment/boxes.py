"""Training patches with boxes: windows that keep them honest, mosaics, flips and quarter turns."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from zcdl_common.augment import Augmentation, change_light
from zcdl_common.boxes import area
from zcdl_common.task import Array

KEPT = 0.3
"""Least share of its area that a box has in view to stay, as in the random crops of the TensorFlow Object
Detection API (Huang et al. 2017, doi:10.1109/CVPR.2017.351)."""
OFF_CENTRE = 0.2
"""Least share of a side of a mosaic that each of its images fills, as in Darknet, the code of YOLOv4."""

Annotated = tuple[Array, Array]
"""Scaled image float32 (Y, X, C) and boxes float32 (N, 5) y0 x0 y1 x1 class, in pixels, half-open."""


def augment_boxes(
    images: Sequence[Annotated],
    index: int,
    size: tuple[int, int],
    rng: np.random.Generator,
    settings: Augmentation,
    mosaic: float = 0.0,
) -> Annotated:
    """A training patch of an image, changed at random, with the boxes in it.

    Parameters
    ----------
    images : sequence of Annotated
        The training images, which may differ in size; only those asked for are read. Values may lie outside
        [0, 1] and are never clipped.
    index : int
        The image that the patch comes from; of a mosaic, that one of its parts comes from.
    size : (Y, X)
        Of the patch, in pixels.
    rng : numpy.random.Generator
        Its state alone decides the result.
    settings : Augmentation
    mosaic : float
        Probability of a mosaic, 0 to 1.

    Returns
    -------
    patch : float32 (Y, X, C)
    boxes : float32 (N, 5)
        All within the patch.

    Raises
    ------
    ValueError
        The settings ask for other turns than quarter turns, for shear or elastic deformation: the box of a
        turned box is larger than that of the turned object, which cannot be known from boxes.
    """
    if settings.rotations == "any angle" or settings.shear or settings.elastic:
        raise ValueError(
            f"{settings.rotations!r}, shear {settings.shear:g} and elastic {settings.elastic:g} would "
            "leave boxes that do not fit their objects. Type rotations 'quarter turns', shear 0, elastic 0."
        )
    if rng.random() < mosaic:
        chosen = [index, *(int(i) for i in rng.integers(len(images), size=3))]
        patch, boxes = combine([images[i] for i in chosen], size, rng, settings.scale)
    else:
        patch, boxes = cut_boxes(*images[index], size, rng, settings.scale)
    if settings.flips or settings.rotations != "none":
        patch, boxes = flip_and_turn_boxes(patch, boxes, rng, settings.flips, settings.rotations != "none")
    return change_light(patch, rng, settings), boxes


def cut_boxes(
    image: Array, boxes: Array, size: tuple[int, int], rng: np.random.Generator, scale: float = 0.0
) -> Annotated:
    """A random window of an image, zoomed by a factor between 1 / (1 + scale) and 1 + scale.

    An image that is smaller than the window lies anywhere in it, on its own median: reflections would show
    objects that have no boxes, and repeated edges would draw out those that are cut.

    Returns
    -------
    patch : float32 (Y, X, C)
        Of the given size; a view where nothing had to be changed.
    boxes : float32 (N, 5)
        Clipped to the patch, without those of which less than `KEPT` is in view.
    """
    import cv2

    zoom = float(np.exp(rng.uniform(-1, 1) * np.log1p(scale)))
    window = np.array([max(1, round(side / zoom)) for side in size])
    room = np.array(image.shape[:2]) - window
    start = rng.integers(np.minimum(room, 0), np.maximum(room, 0) + 1)
    patch = _window(image, start, window)
    if tuple(window) != tuple(size):
        how = cv2.INTER_AREA if zoom < 1 else cv2.INTER_LINEAR  # an area's mean, so that nothing aliases
        fours = (patch[..., c : c + 4] for c in range(0, image.shape[-1], 4))  # more channels are refused
        patch = np.dstack([cv2.resize(four, size[::-1], interpolation=how) for four in fours])
    moved = clip_boxes(boxes, image.shape[:2])
    corners = (moved[:, :4] - np.tile(start, 2)) * np.tile(np.divide(size, window), 2)
    return patch, clip_boxes(np.column_stack([corners, moved[:, 4]]), size)


def combine(
    images: Sequence[Annotated], size: tuple[int, int], rng: np.random.Generator, scale: float = 0.0
) -> Annotated:
    """A mosaic: windows of four images that meet at a random point of the patch.

    References
    ----------
    Bochkovskiy, A., Wang, C.-Y. & Liao, H.-Y. M. (2020). YOLOv4: Optimal speed and accuracy of object
    detection. arXiv:2004.10934
    """
    centre = [round(side * rng.uniform(OFF_CENTRE, 1 - OFF_CENTRE)) for side in size]
    patch = np.empty((*size, images[0][0].shape[-1]), np.float32)
    found = []
    for part, (image, boxes) in enumerate(images):
        below, beside = divmod(part, 2)
        top, bottom = (centre[0], size[0]) if below else (0, centre[0])
        left, right = (centre[1], size[1]) if beside else (0, centre[1])
        piece, inside = cut_boxes(image, boxes, (bottom - top, right - left), rng, scale)
        patch[top:bottom, left:right] = piece
        found.append(inside + np.array([top, left, top, left, 0], np.float32))
    return patch, np.concatenate(found)


def flip_and_turn_boxes(
    patch: Array, boxes: Array, rng: np.random.Generator, flips: bool, turns: bool
) -> Annotated:
    """Mirror and turn by multiples of 90° (180° where sides differ); boxes have to lie within the patch."""
    transform = _flips_and_turns(flips, turns, patch.shape[0] == patch.shape[1], threading.get_ident())
    # one state for all steps: `set_random_seed` gives each the same numbers, and both flips or none happen
    transform.set_random_state(rng, random.Random(int(rng.integers(2**31))))
    swapped = [1, 0, 3, 2, 4]  # the library has x before y
    moved = transform(image=np.ascontiguousarray(patch), bboxes=boxes[:, swapped])
    # it divides by the size of the image and multiplies again, which leaves an error of 1e-5 pixels
    return moved["image"], clip_boxes(moved["bboxes"].reshape(-1, 5)[:, swapped], patch.shape[:2])


def clip_boxes(boxes: Array, size: Sequence[int]) -> Array:
    """Boxes float32 (N, 5) within an image of (Y, X) pixels, without those that mostly lie outside."""
    clipped = np.array(boxes, np.float32).reshape(-1, 5)
    clipped[:, :4] = clipped[:, :4].clip(0, np.tile(size, 2))
    inside = area(clipped)
    return np.asarray(clipped[(inside > 0) & (inside >= KEPT * area(boxes))])


def _window(image: Array, start: Array, window: Array) -> Array:
    """The pixels from `start` on, those outside the image as its median (of every eighth pixel)."""
    stop = start + window
    low, high = np.maximum(start, 0), np.minimum(stop, image.shape[:2])
    inside = image[low[0] : high[0], low[1] : high[1]]
    if inside.shape[:2] == tuple(window):
        return inside
    patch = np.empty((*window, image.shape[-1]), np.float32)
    patch[:] = np.median(image[::8, ::8], axis=(0, 1))
    (top, left), (bottom, right) = low - start, high - start
    patch[top:bottom, left:right] = inside
    return patch


@lru_cache(maxsize=64)
def _flips_and_turns(flips: bool, turns: bool, square: bool, thread: int) -> Any:
    """Build the transform; each thread has its own, since the random state lives inside."""
    os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # importing it would ask the network
    from albumentations import BboxParams, Compose, HorizontalFlip, RandomRotate90, Sequential, VerticalFlip

    half = Sequential([HorizontalFlip(p=1), VerticalFlip(p=1)], p=0.5)
    steps = [HorizontalFlip(p=0.5), VerticalFlip(p=0.5)] * flips
    steps += [RandomRotate90(p=1) if square else half] * turns
    return Compose(steps, bbox_params=BboxParams("pascal_voc"))
