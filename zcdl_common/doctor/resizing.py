"""Pairs that show one field in unequal numbers of pixels: a binned camera, or another magnification."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from zcdl_common.doctor.findings import Finding, counted, size_text
from zcdl_common.doctor.shapes import Size
from zcdl_common.task import Array

_PARTS = 4
"""Factors are fractions of whole numbers with a denominator of at most this: 2, 3/2, 4/3, 5/4."""
_SAME_FIELD = 0.1
"""Share by which the fields in micrometres may differ, where both files tell."""


class Scale(NamedTuple):
    """A pair whose images differ in size by one factor along Y and X."""

    file: str
    target_file: str
    size: tuple[int, ...]
    """Of the image, (Z)YX."""
    target_size: tuple[int, ...]
    factor: Fraction
    """Pixels of the target along a side, a pixel of the image."""


def common_factor(
    source: Size,
    target: Size,
    pixel_size: Sequence[float] | None = None,
    target_pixel_size: Sequence[float] | None = None,
) -> Fraction | None:
    """How many times as large as its image a target is, along Y and X alike; None where no factor fits.

    Stacks must have the same planes. Where both pixel sizes ((Z)YX in micrometres) are known and the fields
    differ by more than a tenth, one of them is a part of the other, and there is no factor.
    """
    if len(source.shape) != len(target.shape) or source.shape[:-2] != target.shape[:-2]:
        return None
    sides = list(zip(source.shape[-2:], target.shape[-2:], strict=True))
    factors = {Fraction(b, a).limit_denominator(_PARTS) for a, b in sides if b >= a}
    factors |= {1 / Fraction(a, b).limit_denominator(_PARTS) for a, b in sides if a > b}
    factor = factors.pop()
    exact = all(abs(a * factor - b) < 1 if factor > 1 else abs(b / factor - a) < 1 for a, b in sides)
    if factors or factor == 1 or not exact:
        return None
    if pixel_size is not None and target_pixel_size is not None:
        fields = [
            b * target_pixel_size[i] / (a * pixel_size[i]) for i, (a, b) in zip((-2, -1), sides, strict=True)
        ]
        if any(abs(field - 1) > _SAME_FIELD for field in fields):
            return None
    return factor


def check_scales(scales: Sequence[Scale], word: str, pairs: int) -> Iterator[Finding]:
    """Targets that are larger or smaller than their images by a factor.

    One finding a factor, about the smaller files.

    Parameters
    ----------
    scales : sequence of Scale
    word : str
        What to call a target: "target image".
    pairs : int
        How many pairs there are in all.
    """
    for factor in dict.fromkeys(scale.factor for scale in scales):
        alike = [scale for scale in scales if scale.factor == factor]
        larger = factor > 1
        sizes = size_text(alike[0].size), size_text(alike[0].target_size)
        times = f"{float(factor if larger else 1 / factor):.4g} times"
        one, other = (f"the {word}", "its image") if larger else ("the image", f"its {word}")
        share = "all" if len(alike) == pairs else f"{len(alike)} of"
        yield Finding(
            "error",
            "other-scale",
            tuple(dict.fromkeys(scale.file if larger else scale.target_file for scale in alike)),
            f"in {share} {counted(pairs, 'pair')} {one} has {times} as many pixels along each side as "
            f"{other} (image {sizes[0]}, {word} {sizes[1]}): a binned camera, or another magnification? "
            "The two must agree pixel by pixel.",
            "If both show the same field, let Repair enlarge the smaller ones by interpolation"
            + ("; images to predict later must then be enlarged too" if larger else "")
            + ". Or make the larger ones smaller (Fiji: Image > Scale, with averaging). If they show "
            "different fields, cut out what both show.",
            "enlarge to the size of its partner",
        )


def enlarge(image: Array, shape: Sequence[int]) -> Array:
    """An image (Z)YXC at the size `shape` (Z)YX, by linear interpolation, in its own dtype.

    Pixel i covers [i, i + 1) before and after, so that both images cover the same field. No value leaves the
    range of the image.
    """
    from skimage.transform import resize

    size = (*shape, image.shape[-1])
    found = resize(image.astype(np.float64), size, order=1, mode="edge", anti_aliasing=False)
    whole = np.issubdtype(image.dtype, np.integer)
    return np.asarray((np.rint(found) if whole else found).astype(image.dtype))
