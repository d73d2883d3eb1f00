"""Checks of objects at the border of images: most of them cut, or all of those left out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from zcdl_common.doctor.findings import Finding
from zcdl_common.doctor.masks import MARGIN, Mask

FIELD = 5
"""Images with fewer objects may be crops around them, which tell nothing about the border."""
EXPECTED = 5.0
"""So many objects expected at the border are all absent by chance in one set of 150."""
FILLED = 0.3
"""Coverage of the rim, as a multiple of the coverage of the image, above which objects do lie there."""


def expected_at_border(extents: Sequence[Sequence[int]], shape: Sequence[int]) -> float:
    """How many objects a border cuts, where so many lie clear of it.

    An object of e pixels can be seen in n + e - 1 places along an axis of n, and lies clear of the border by
    `MARGIN` in n - e + 1 - 2 `MARGIN` of them: each clear one stands for the inverse of that share (the edge
    correction of Miles and Lantuéjoul), of which all but itself are cut.

    Parameters
    ----------
    extents : sequence of (Y, X)
        Sides in pixels of the boxes around the clear objects.
    shape : (Y, X)
        Of the image, in pixels.

    References
    ----------
    Miles 1974, in Stochastic Geometry (Wiley), 228; Lantuéjoul 1980, Mikroskopie 37:267.
    """
    e, n = np.asarray(extents, float).reshape(-1, 2), np.asarray(shape, float)
    clear = np.maximum(n - e + 1 - 2 * MARGIN, 1)
    return float(np.sum(np.prod((n + e - 1) / clear, axis=1) - 1))


def check_borders(masks: Mapping[str, tuple[Mask, Sequence[int]]]) -> Iterator[Finding]:
    """Whether objects at the border are labelled (file -> mask of numbered objects and image size (Z)YX)."""
    several = {f: found for f, found in masks.items() if found[0].objects >= FIELD}
    total = sum(mask.objects for mask, _ in several.values())
    if total < 4 * FIELD:
        return
    cut = sum(any(sides) for mask, _ in several.values() for sides in mask.touching)
    if 2 * cut > total:
        yield Finding(
            "note",
            "objects-cut-by-border",
            (),
            f"{cut} of {total} objects touch the border of their image, which cuts them: how large they are, "
            "and how flat, cannot be measured well.",
            "Nothing if that cannot be helped. A larger field of view (lower magnification, stitched images, "
            "more planes) shows more of them whole.",
        )
    if not any(any(sides[-2:]) for mask, _ in several.values() for sides in mask.touching):
        yield from _left_out(several, total)


def _left_out(masks: Mapping[str, tuple[Mask, Sequence[int]]], total: int) -> Iterator[Finding]:
    """No object touches the border in Y and X."""
    sides = [[e[-2:] for e in mask.extents] for mask, _ in masks.values()]
    shapes = [shape[-2:] for _, shape in masks.values()]
    expected = sum(map(expected_at_border, sides, shapes))
    rims = [mask.rim for mask, _ in masks.values() if mask.rim is not None]
    # a specimen alone in the middle of its image has none to label there
    if expected < EXPECTED or (rims and np.mean(rims) < FILLED):
        return
    width = math.ceil(np.percentile(np.concatenate(sides), 95))
    seen = ", and the images do show something there" if rims else ""
    yield Finding(
        "warning" if rims else "note",
        "no-object-at-border",
        (),
        f"no object touches the border of an image; beside these {total}, about {expected:.0f} would by "
        f"chance{seen}. Were those cut by it left out? They teach the network to overlook objects.",
        "Label what is in view of them, too (no 'exclude on edges'); or cut off "
        f"{width} pixels on each side of both image and label image.",
    )
