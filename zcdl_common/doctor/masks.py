"""What a mask looks like: classes, numbered objects, colours, soft borders."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from zcdl_common.task import Array

MaskKind = Literal["empty", "full", "binary", "classes", "objects", "soft", "colours"]
"""What a mask looks like.

empty: all background; full: one other value everywhere; binary: two values; classes: few values,
each in several places; objects: a number for each object; soft: grey values between two plateaus,
or fractions; colours: channels that differ.
"""

MOST_COLOURS = 256
"""More colours than this are no labels but a photograph or a lossy file."""


@dataclass(frozen=True)
class Mask:
    """What one mask holds."""

    kind: MaskKind
    values: tuple[int, ...] = ()
    """Values in a binary mask or one of classes."""
    objects: int = 0
    """Connected pieces of equal value."""
    share: float = 0.0
    """Part of the pixels that is foreground."""
    extents: tuple[tuple[int, ...], ...] = ()
    """Size (Z)YX of the box around each piece, in pixels."""
    thickness: float = 0.0
    """Diameter in pixels of the largest circle inside the foreground of any plane; 0 for numbered objects."""
    equal_channels: bool = False
    """Whether a grey mask was saved in several equal channels."""
    colours: int = 0
    """Different colours where `kind` is colours."""
    contrast: float = 0.0
    """Mean of the image inside less outside the foreground, in its standard deviations."""


def single_channel(mask: Array) -> Array | None:
    """(Z)YXC as (Z)YX where the channels agree (a flat fourth one aside), else None: colours."""
    if mask.shape[-1] == 1:
        return mask[..., 0]
    colour = mask[..., :3] if mask.shape[-1] == 4 and np.ptp(mask[..., 3]) == 0 else mask
    return mask[..., 0] if bool(np.all(colour == colour[..., :1])) else None


def colours_of(mask: Array) -> Array:
    """The different colours of a mask (Z)YXC, (N, 3), sorted; more than `MOST_COLOURS` are not all listed."""
    pixels = mask.reshape(-1, mask.shape[-1])[:, :3]
    sample = np.unique(pixels[:: max(1, len(pixels) // 100_000)], axis=0)
    return sample if len(sample) > MOST_COLOURS else np.unique(pixels, axis=0)


def measure_mask(mask: Array, image: Array | None = None) -> Mask:
    """Look at a mask (Z)YXC of any type; `image` (Z)YXC of the same size tells its contrast."""
    plane = single_channel(mask)
    if plane is None:
        return Mask("colours", colours=len(colours_of(mask)))
    equal = mask.shape[-1] > 1
    if plane.dtype.kind == "f" and not np.array_equal(plane, np.round(plane)):
        return Mask("soft", equal_channels=equal)
    values, counts = _values(plane)
    if len(values) == 1:
        return Mask("full" if values[0] else "empty", (int(values[0]),), equal_channels=equal)
    if len(values) > 2 and _is_soft(plane, values, counts):
        return Mask("soft", equal_channels=equal)
    extents = _pieces(plane, values)
    kind: MaskKind = "objects"
    if len(values) == 2:
        kind = "binary"
    elif len(values) <= 10 and len(extents) > 1.5 * (len(values) - 1):
        kind = "classes"
    foreground = plane != 0
    return Mask(
        kind,
        tuple(int(v) for v in values) if kind != "objects" else (),
        objects=len(extents),
        share=float(foreground.mean()),
        extents=extents,
        thickness=0.0 if kind == "objects" else _thickness(foreground),
        equal_channels=equal,
        contrast=_contrast(foreground, image),
    )


def _values(plane: Array) -> tuple[Array, Array]:
    """Different values, ascending, and how often each occurs."""
    if plane.dtype.kind == "u" and plane.dtype.itemsize <= 2:  # counting is many times faster than sorting
        counts = np.bincount(plane.reshape(-1))
        return np.flatnonzero(counts), counts[counts > 0]
    return np.unique(plane, return_counts=True)


def _is_soft(plane: Array, values: Array, counts: Array) -> bool:
    """Whether the values between the two commonest form no areas of their own but borders and speckle."""
    common = values[np.argsort(counts)[-2:]]
    # a mask blurred by compression lies between two far values; low numbers are objects of single slices
    if np.ptp(values) < 32 or np.ptp(common) < 0.5 * np.ptp(values):
        return False
    between = ~np.isin(plane, common)
    if counts.max() + np.sort(counts)[-2] < 0.5 * plane.size or len(values) < 5:
        return False
    flat = np.ones(plane.shape, bool)
    for axis in range(plane.ndim):
        same = np.diff(plane, axis=axis) == 0
        for side in ((1, 0), (0, 1)):
            width = [side if a == axis else (0, 0) for a in range(plane.ndim)]
            flat &= np.pad(same, width, constant_values=True)
    return float(np.mean(flat[between])) < 0.02


def _pieces(plane: Array, values: Array) -> tuple[tuple[int, ...], ...]:
    from scipy import ndimage

    # find_objects lists every number up to the largest: number the values from 1 first
    index = np.searchsorted(values, plane).astype(np.int32)
    index = index + (values[0] != 0)
    found = []
    for value, box in enumerate(ndimage.find_objects(index), start=1):
        if box is not None:
            pieces, _ = ndimage.label(index[box] == value)
            found += [tuple(s.stop - s.start for s in b) for b in ndimage.find_objects(pieces)]
    return tuple(found)


def _thickness(foreground: Array) -> float:
    from scipy import ndimage

    step = -(-max(foreground.shape[-2:]) // 1024)
    planes = foreground.reshape(-1, *foreground.shape[-2:])
    few = planes[:: max(1, len(planes) // 8), ::step, ::step]
    # beyond the border the structure may go on: only what is seen counts
    widest = max(float(ndimage.distance_transform_edt(np.pad(plane, 1)).max()) for plane in few)
    return float(2 * step * widest)


def _contrast(foreground: Array, image: Array | None) -> float:
    if image is None or image.shape[:-1] != foreground.shape or foreground.all():
        return 0.0
    grey = image.mean(axis=-1, dtype=np.float64)
    spread = float(grey.std())
    return float(grey[foreground].mean() - grey[~foreground].mean()) / spread if spread > 0 else 0.0
