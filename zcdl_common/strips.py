"""One image divided into strips, where there is no other to hold out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from zcdl_common.boxes import Boxes, covered
from zcdl_common.config import Config
from zcdl_common.errors import DataError
from zcdl_common.images import ImageRef
from zcdl_common.task import Array, Sample, Split

LEAST = 4 * 16
"""Pixels that all strips need together."""
ENOUGH = 0.25
"""Share of the foreground in each strip, as a multiple of that in the image, which makes a division good."""
ROLES = ("train", "validation", "test")
Span = tuple[int, int]


def strips(sample: Sample, config: Config, has_test: bool, gap: int | None = None) -> tuple[Split, int]:
    """Divide one image into strips for training, validation and test, with a gap of one patch.

    They lie along the longer side, training first; where that leaves a strip almost without objects, in
    the opposite order or along the other side.

    Raises
    ------
    DataError
        The image is too small.
    """
    image = sample.source
    assert isinstance(image, ImageRef)
    shape = image.info().shape
    _refuse_other_size(sample, shape)
    axis = len(shape) - 2 + int(shape[-1] > shape[-2])
    n = shape[axis]
    patch = (
        max(config.patch_size[-2:]) if config.patch_size and len(config.patch_size) == len(shape) else None
    )
    gap = gap or patch or 2 ** int(np.log2(max(n // 8, 8)))
    if n - gap * (1 if has_test else 2) < LEAST:
        raise DataError(
            f"There is one image only ({sample.name}), {n} pixels long: too small to hold out a part that "
            "judges the training. Add images, or set a smaller patch_size."
        )
    axis, spans = _choose(_foreground(sample, len(shape)), shape, axis, gap, has_test)
    parts: list[Sample] = []
    for name, span in zip(ROLES, spans, strict=False):
        region = tuple(span if i == axis else (0, s) for i, s in enumerate(shape))
        part = image.crop(region)
        target: Any = sample.target  # every annotation that opens by file can be cropped like its image
        goal = target.crop(region) if target is not None else None
        parts.append(replace(sample, name=f"{sample.name}_{name}", source=part, target=goal))
    note = (
        f"There is one image. It was divided into strips along {'Y' if axis == len(shape) - 2 else 'X'} for "
        f"training, validation{'' if has_test else ' and test'}, with {gap} pixels left out between them."
    )
    return Split((parts[0],), (parts[1],), tuple(parts[2:]), note=note), gap


def _refuse_other_size(sample: Sample, shape: tuple[int, ...]) -> None:
    """A target image of another size would be divided elsewhere than its image."""
    info = getattr(sample.target, "info", None)
    other = info().shape if info is not None else shape
    if other != shape:
        found, wanted = (" x ".join(map(str, size)) for size in (other, shape))
        plane = len(other) == 2 and len(shape) == 3
        raise DataError(
            f"{sample.source.path.name} is {wanted} pixels, its target {found}. A single pair is divided "
            "into strips for training, validation and test, for which both must agree pixel by pixel. "
            + (
                "To predict one plane from all planes of a stack, set axes = CYX."
                if plane
                else "Crop or scale one of them (Fiji: Image > Scale)."
            )
        )


def _spans(n: int, gap: int, has_test: bool) -> list[Span]:
    """First pixel and end of the strips for training, validation and test."""
    usable = n - gap * (1 if has_test else 2)
    spans, start = [], 0
    for share in (0.8, 0.2) if has_test else (0.6, 0.16, 0.24):
        stop = start + int(usable * share) // 8 * 8
        spans.append((start, stop))
        start = stop + gap
    return spans


def _choose(
    foreground: Array | None, shape: tuple[int, ...], axis: int, gap: int, has_test: bool
) -> tuple[int, list[Span]]:
    """Axis and spans of the first division in which every strip shows enough, else of the best one."""
    other = 2 * len(shape) - 3 - axis
    choices = []
    for along in (axis, other):
        n = shape[along]
        if n - gap * (1 if has_test else 2) >= LEAST:
            spans = _spans(n, gap, has_test)
            choices += [(along, spans), (along, [(n - stop, n - start) for start, stop in spans])]
    if foreground is None or not foreground.any():
        return choices[0]
    shares = [
        min(foreground.take(range(*span), along).mean() for span in spans) / foreground.mean()
        for along, spans in choices
    ]
    good = [choice for choice, share in zip(choices, shares, strict=True) if share >= ENOUGH]
    return good[0] if good else choices[int(np.argmax(shares))]


def _foreground(sample: Sample, ndim: int) -> Array | None:
    """Where the target (Z)YX is not 0; None where there is none or it cannot be read."""
    if sample.target is None:
        return None
    try:
        read = sample.target.read()
        shown = covered(read, sample.size) if isinstance(read, Boxes) else np.asarray(read) != 0
    except Exception:  # what is wrong with it is told where it is used
        return None
    return np.asarray(shown.any(axis=-1) if shown.ndim > ndim else shown)
